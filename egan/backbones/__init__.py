"""The networks that evolve; a config's `backbone.name` chooses one."""

from typing import Annotated

from pydantic import Field, SerializeAsAny, WrapValidator

from egan.backbones.dcgan.networks import DCGANConfig
from egan.backbones.imported import check_networks, import_backbone
from egan.backbones.maxout import MaxoutConfig
from egan.backbones.mlp import MLPConfig
from egan.backbones.networks import Backbone, Networks, Rows
from egan.backbones.progressive.progan import ProGANConfig
from egan.backbones.r3gan import R3GANConfig
from egan.backbones.stylegan.networks import StyleGANConfig
from egan.backbones.translation.config import ResNetConfig, TranslationBackbone, UNetConfig
from egan.data.condition import Conditions

BuiltIn = Annotated[
    MLPConfig
    | MaxoutConfig
    | DCGANConfig
    | ProGANConfig
    | StyleGANConfig
    | R3GANConfig
    | UNetConfig
    | ResNetConfig,
    Field(discriminator="name"),
]
BackboneConfig = SerializeAsAny[Annotated[BuiltIn, WrapValidator(import_backbone)]]

__all__ = [
    "Backbone",
    "BackboneConfig",
    "DCGANConfig",
    "MLPConfig",
    "MaxoutConfig",
    "Networks",
    "ProGANConfig",
    "R3GANConfig",
    "ResNetConfig",
    "Rows",
    "StyleGANConfig",
    "TranslationBackbone",
    "UNetConfig",
    "build_networks",
]


def build_networks(
    config: Backbone,
    shape: tuple[int, ...],
    conditions: Conditions | None = None,
    classify: bool = False,
) -> Networks:
    """Return the networks that make and judge samples of `shape`, on conditions if there are any.

    `classify` is as for `Backbone.build_conditional`.

    Raises:
        ValueError: the backbone cannot make samples of that shape, or takes no conditions.
    """
    if conditions is None:
        networks = config.build(shape)
    else:
        networks = config.build_conditional(shape, conditions, classify)
    if ":" not in config.name:
        return networks
    return check_networks(config.name, networks, shape, conditions, classify)
