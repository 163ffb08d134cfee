"""The networks that evolve; a config's `backbone.name` chooses one."""

from typing import Annotated

from pydantic import Field, SerializeAsAny, WrapValidator

from egan.backbones.dcgan.networks import DCGANConfig
from egan.backbones.imported import check_networks, import_backbone
from egan.backbones.mlp import MLPConfig
from egan.backbones.networks import Backbone, Networks, Rows
from egan.backbones.progressive.progan import ProGANConfig
from egan.backbones.stylegan.networks import StyleGANConfig

BuiltIn = Annotated[
    MLPConfig | DCGANConfig | ProGANConfig | StyleGANConfig, Field(discriminator="name")
]
BackboneConfig = SerializeAsAny[Annotated[BuiltIn, WrapValidator(import_backbone)]]

__all__ = [
    "Backbone",
    "BackboneConfig",
    "DCGANConfig",
    "MLPConfig",
    "Networks",
    "ProGANConfig",
    "Rows",
    "StyleGANConfig",
    "build_networks",
]


def build_networks(config: Backbone, shape: tuple[int, ...]) -> Networks:
    """Return the networks that make and judge samples of `shape`.

    Raises:
        ValueError: the backbone cannot make samples of that shape.
    """
    networks = config.build(shape)
    return check_networks(config.name, networks, shape) if ":" in config.name else networks
