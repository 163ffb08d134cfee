"""The networks that evolve; a config's `backbone.name` chooses one."""

from typing import Annotated

from pydantic import Field

from egan.backbones import dcgan, mlp, progan, stylegan
from egan.backbones.dcgan import DCGANConfig
from egan.backbones.mlp import MLPConfig
from egan.backbones.networks import Inputs, Networks
from egan.backbones.progan import ProGANConfig
from egan.backbones.stylegan import StyleGANConfig

BackboneConfig = Annotated[
    MLPConfig | DCGANConfig | ProGANConfig | StyleGANConfig, Field(discriminator="name")
]

__all__ = [
    "BackboneConfig",
    "DCGANConfig",
    "Inputs",
    "MLPConfig",
    "Networks",
    "ProGANConfig",
    "StyleGANConfig",
    "build_networks",
]


def build_networks(config: BackboneConfig, shape: tuple[int, ...]) -> Networks:
    """Return the networks that make and judge samples of `shape`.

    Raises:
        ValueError: the backbone cannot make samples of that shape.
    """
    match config:
        case MLPConfig():
            return mlp.build(config, shape)
        case DCGANConfig():
            return dcgan.build(config, shape)
        case ProGANConfig():
            return progan.build(config, shape)
        case StyleGANConfig():
            return stylegan.build(config, shape)
