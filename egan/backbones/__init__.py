"""The networks that evolve; a config's `backbone.name` chooses one."""

from typing import Annotated

from pydantic import Field

from egan.backbones import dcgan, mlp
from egan.backbones.dcgan import DCGANConfig
from egan.backbones.mlp import MLPConfig
from egan.backbones.networks import Networks

BackboneConfig = Annotated[MLPConfig | DCGANConfig, Field(discriminator="name")]

__all__ = ["BackboneConfig", "DCGANConfig", "MLPConfig", "Networks", "build_networks"]


def build_networks(config: BackboneConfig, shape: tuple[int, ...]) -> Networks:
    """Return the networks that make and judge samples of `shape`.

    Raises:
        ValueError: the backbone cannot make samples of that shape.
    """
    if isinstance(config, MLPConfig):
        return mlp.build(config, shape)
    return dcgan.build(config, shape)
