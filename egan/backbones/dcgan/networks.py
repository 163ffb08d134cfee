"""DCGAN (Radford et al., arXiv 1511.06434) at any power-of-two resolution from 8 to 256.

At 64 px with latent 100 and width 64 the networks are the published ones: 3,576,704 and 2,765,568
parameters. E-GAN's own CIFAR networks (arXiv 1803.00657, the authors' PyTorch code) are a setting:
width 128, `generator_norm: none`, `bias: true`, `prior: uniform`.

Activations lie channels-last in memory, which convolutions read fastest on CPUs and GPUs alike.
"""

import itertools
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from egan.backbones.dcgan.convolutions import Closing, Doubling, Halving, Opening
from egan.backbones.function import NetworkFunction
from egan.backbones.networks import Backbone, Networks, refuse

Norm = Literal["batch", "instance", "none"]
LARGEST_MULTIPLE = 8  # the widest layer, in units of `width`: the paper's at 64 px


class DCGANConfig(Backbone, extra="forbid", frozen=True):
    """A convolutional generator and its mirror image as discriminator."""

    name: Literal["dcgan"] = "dcgan"
    latent: int = Field(100, ge=1, description="size of the noise vector z")
    prior: Literal["normal", "uniform"] = "normal"
    width: int = Field(64, ge=1, description="channels of the layer next to the image")
    generator_norm: Norm = "batch"
    discriminator_norm: Norm = "batch"
    bias: bool = Field(False, description="biases in the convolutions; DCGAN has none")

    def build(self, shape: tuple[int, ...]) -> Networks:
        """Return the networks for samples of `shape`; see `build` below."""
        return build(self, shape)


def widths(resolution: int, width: int) -> list[int]:
    """Return the channels at resolution / 2, resolution / 4, ..., 4."""
    halvings = resolution.bit_length() - 3
    return [width * min(2**level, LARGEST_MULTIPLE) for level in range(halvings)]


def _norm(kind: Norm, channels: int) -> list[nn.Module]:
    if kind == "batch":
        return [nn.BatchNorm2d(channels)]
    if kind == "instance":
        return [nn.InstanceNorm2d(channels, affine=True)]
    return []


class Generator(nn.Module):
    """z (N, latent) to images (N, C, R, R) in [-1, 1] by fractionally strided convolutions."""

    def __init__(self, config: DCGANConfig, channels: int, resolution: int) -> None:
        super().__init__()
        sizes = widths(resolution, config.width)[::-1]  # from 4 x 4 up
        layers: list[nn.Module] = []
        layers += [Opening(config.latent, sizes[0], config.bias)]
        layers += [*_norm(config.generator_norm, sizes[0]), nn.ReLU(inplace=True)]
        for size, following in itertools.pairwise(sizes):
            layers += [Doubling(size, following, config.bias)]
            layers += [*_norm(config.generator_norm, following), nn.ReLU(inplace=True)]
        layers += [Doubling(sizes[-1], channels, config.bias), nn.Tanh()]
        self.layers = nn.Sequential(*layers)

    def forward(self, z: Tensor) -> Tensor:
        """Return images."""
        pixels = z[:, :, None, None].contiguous(memory_format=torch.channels_last)
        images: Tensor = self.layers(pixels)  # (N, C, R, R)
        return images


class Discriminator(nn.Module):
    """Images (N, C, R, R) to logits (N,) by strided convolutions; no norm in the first layer."""

    def __init__(self, config: DCGANConfig, channels: int, resolution: int) -> None:
        super().__init__()
        sizes = widths(resolution, config.width)  # from the image down to 4 x 4
        layers: list[nn.Module] = [Halving(channels, sizes[0], config.bias)]
        layers += [nn.LeakyReLU(0.2, inplace=True)]
        for size, following in itertools.pairwise(sizes):
            layers += [Halving(size, following, config.bias)]
            layers += [*_norm(config.discriminator_norm, following)]
            layers += [nn.LeakyReLU(0.2, inplace=True)]
        layers += [Closing(sizes[-1], 1, config.bias)]
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """Return D's logits (N,)."""
        logits: Tensor = self.layers(_channels_last(x))
        return logits.flatten()


def _channels_last(x: Tensor) -> Tensor:
    """Return images (N, C, R, R) channels-last in memory, and in name.

    With one channel the two layouts are one in memory; only the strides tell torch which is meant.
    """
    pixels = x.permute(0, 2, 3, 1)
    return pixels.flatten(2).view(pixels.shape).permute(0, 3, 1, 2)


def initialise(module: nn.Module, generator: torch.Generator) -> None:
    """Draw weights from N(0, 0.02) and normalisers' gains from N(1, 0.02), as published."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, 0.0, 0.02, generator=generator)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.BatchNorm2d | nn.InstanceNorm2d):
        module.reset_running_stats()
        nn.init.normal_(module.weight, 1.0, 0.02, generator=generator)
        nn.init.zeros_(module.bias)


def build(config: DCGANConfig, shape: tuple[int, ...]) -> Networks:
    """Return the networks for images of `shape` (C, R, R).

    Raises:
        ValueError: the data are not square images of 8, 16, 32, 64, 128 or 256 pixels.
    """
    if len(shape) != 3:
        raise refuse("dcgan", shape, "images", "take backbone.name=mlp")
    channels, height, width = shape
    if height != width or height not in (8, 16, 32, 64, 128, 256):
        needs = "square images of 8, 16, 32, 64, 128 or 256 pixels"
        raise refuse("dcgan", shape, needs, "set data.resolution to one of these")
    return Networks(
        generator=NetworkFunction(
            lambda: Generator(config, channels, height), initialise, direct=True
        ),
        discriminator=NetworkFunction(
            lambda: Discriminator(config, channels, height), initialise, direct=True
        ),
        latent=config.latent,
        prior=config.prior,
    )
