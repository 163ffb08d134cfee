"""ProGAN (Karras et al., arXiv 1710.10196): progressive growing without styles.

At 1024 px with the published settings the generator has 23,079,115 parameters and the
discriminator 23,087,249; the paper says 23.1 million each. The images are made and judged at an
explicit `Stage`; see `egan.backbones.progressive.growth`.
"""

from typing import Literal

import torch
from torch import Tensor, nn

from egan.backbones.function import NetworkFunction
from egan.backbones.networks import Networks, check_condition
from egan.backbones.progressive.growth import LOWEST, Stage, doublings
from egan.backbones.progressive.layers import (
    RELU_GAIN,
    ChannelBias,
    EqualConv2d,
    EqualLinear,
    initialise,
    leaky_relu,
    pixel_norm,
)
from egan.backbones.progressive.networks import (
    Discriminator,
    Embedding,
    ProgressiveConfig,
    ProgressiveNetworks,
    ToRGB,
    check_shape,
    check_stage,
    run_block,
)
from egan.data.condition import Conditions


class ProGANConfig(ProgressiveConfig, extra="forbid", frozen=True):
    """A progressively grown generator with pixelwise normalisation, and its discriminator."""

    name: Literal["progan"] = "progan"

    def build(self, shape: tuple[int, ...]) -> Networks:
        """Return the networks for samples of `shape`; see `build` below."""
        return build(self, shape)

    def build_conditional(
        self, shape: tuple[int, ...], conditions: Conditions, classify: bool = False
    ) -> Networks:
        """Return networks that take conditions; see `Backbone.build_conditional`."""
        return build(self, shape, conditions, classify)


class FirstBlock(nn.Module):
    """z (N, inputs), normalised, to features (N, C, 4, 4)."""

    def __init__(self, config: ProGANConfig, inputs: int) -> None:
        super().__init__()
        channels = config.channels(LOWEST)
        # The bias is per channel, so it is the convolution-like layer's and not the linear one's;
        # the gain is the published code's, which treats the layer as a 4 x 4 convolution.
        self.dense = EqualLinear(inputs, channels * LOWEST**2, gain=RELU_GAIN / 4, bias=False)
        self.bias = ChannelBias(channels)
        self.conv = EqualConv2d(channels, channels, 3)

    def forward(self, z: Tensor) -> Tensor:
        """Return the features at 4 x 4."""
        x = self.dense(pixel_norm(z)).view(z.shape[0], -1, LOWEST, LOWEST)
        x = pixel_norm(leaky_relu(self.bias(x)))
        return pixel_norm(leaky_relu(self.conv(x)))


class UpBlock(nn.Module):
    """Two convolutions, the first of them to twice the resolution."""

    def __init__(self, config: ProGANConfig, side: int) -> None:
        super().__init__()
        inputs, outputs = config.channels(side // 2), config.channels(side)
        self.conv_up = EqualConv2d(inputs, outputs, 3, resample="up")
        self.conv = EqualConv2d(outputs, outputs, 3)

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, C, r / 2, r / 2) as (N, C', r, r)."""
        x = pixel_norm(leaky_relu(self.conv_up(x)))
        return pixel_norm(leaky_relu(self.conv(x)))


class Generator(nn.Module):
    """z (N, latent) to images (N, C, r, r) of any stage; linear at the end.

    A condition's embedding, as long as z, is joined to it.
    """

    def __init__(self, config: ProGANConfig, channels: int, resolution: int, told: int = 0) -> None:
        super().__init__()
        self.resolution = resolution
        self.told = told
        self.embedded = Embedding(told, config.latent) if told else None
        inputs = 2 * config.latent if told else config.latent
        self.blocks = nn.ModuleDict({str(LOWEST): FirstBlock(config, inputs)})
        for side in doublings(LOWEST * 2, resolution):
            self.blocks[str(side)] = UpBlock(config, side)
        self.to_rgb = ToRGB(config, channels, resolution)
        self.again = config.checkpoint

    def forward(
        self, z: Tensor, condition: Tensor | None = None, stage: Stage | None = None
    ) -> Tensor:
        """Return images; `condition` (N, told) is for networks that take one.

        Raises:
            ValueError: as for `check_stage`.
        """
        check_condition(condition, self.told)
        if self.embedded is not None:
            z = torch.cat([pixel_norm(z), self.embedded(condition)], 1)

        def grow(side: int, x: Tensor | None) -> Tensor:
            return run_block(self.blocks[str(side)], z if x is None else x, again=self.again)

        images: Tensor = self.to_rgb(grow, check_stage(stage, self.resolution))
        return images


def build(
    config: ProGANConfig,
    shape: tuple[int, ...],
    conditions: Conditions | None = None,
    classify: bool = False,
) -> ProgressiveNetworks:
    """Return the networks for images of `shape` (C, R, R), conditional where there are conditions.

    Raises:
        ValueError: as for `check_shape`.
    """
    check_shape("progan", config, shape)
    channels, resolution, _ = shape
    size = conditions.size if conditions else 0
    told, said = (0, size) if classify else (size, 0)
    return ProgressiveNetworks(
        generator=NetworkFunction(
            lambda: Generator(config, channels, resolution, size), initialise
        ),
        discriminator=NetworkFunction(
            lambda: Discriminator(config, channels, resolution, 1, told, said), initialise
        ),
        latent=config.latent,
        prior="normal",
        config=config,
        resolution=resolution,
    )
