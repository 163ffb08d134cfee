"""The networks that evolve; a config's `backbone.name` chooses one."""

from typing import Annotated

from pydantic import Field

from egan.backbones.dcgan.networks import DCGANConfig
from egan.backbones.dcgan.networks import build as build_dcgan
from egan.backbones.mlp import MLPConfig
from egan.backbones.mlp import build as build_mlp
from egan.backbones.networks import Networks, Rows
from egan.backbones.progressive.progan import ProGANConfig
from egan.backbones.progressive.progan import build as build_progan
from egan.backbones.stylegan.networks import StyleGANConfig
from egan.backbones.stylegan.networks import build as build_stylegan

BackboneConfig = Annotated[
    MLPConfig | DCGANConfig | ProGANConfig | StyleGANConfig, Field(discriminator="name")
]

__all__ = [
    "BackboneConfig",
    "DCGANConfig",
    "MLPConfig",
    "Networks",
    "ProGANConfig",
    "Rows",
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
            return build_mlp(config, shape)
        case DCGANConfig():
            return build_dcgan(config, shape)
        case ProGANConfig():
            return build_progan(config, shape)
        case StyleGANConfig():
            return build_stylegan(config, shape)
