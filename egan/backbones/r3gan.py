"""R3GAN (Huang et al., arXiv 2501.05441): residual networks without normalisation.

A stage for each resolution, from 4 x 4 on: inverted bottlenecks of grouped convolutions, with
bilinear resampling between stages; G ends in no tanh, and D has no deviation of the batch. The last
convolution of a block starts at zero, so that a network starts as its resampling path; the gains of
the others follow Zhang et al., 1901.09321 (Fixup). The defaults are the published networks for
CIFAR at 32 px and FFHQ at 64. Play it with `discriminator.loss: relativistic`, R1 and R2.
"""

import itertools
from math import sqrt
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import conv2d

from egan.backbones.function import NetworkFunction
from egan.backbones.networks import Backbone, Networks, check_condition, refuse
from egan.backbones.progressive.layers import Layer, initialise, leaky_relu
from egan.data.condition import Conditions

LOWEST = 4  # the resolution of the first stage
WIDEST = 32  # up to this resolution a stage is as wide as `width`; each doubling beyond halves it
SLOPE = 0.2
RELU_GAIN = sqrt(2 / (1 + SLOPE**2))  # He et al., 1502.01852, for a leaky ReLU
CONVOLUTIONS = 3  # of a block


class R3GANConfig(Backbone, extra="forbid", frozen=True):
    """A convolutional generator and its mirror image as discriminator, of residual blocks."""

    name: Literal["r3gan"] = "r3gan"
    latent: int = Field(64, ge=1, description="size of the noise vector z")
    prior: Literal["normal", "uniform"] = "normal"
    width: int = Field(
        768, ge=1, description="channels at 4 to 32 pixels; halved at 64, again at 128, and so on"
    )
    blocks: int = Field(2, ge=1, description="residual blocks of each stage")
    expansion: int = Field(
        2, ge=1, description="factor by which a block has more channels inside than outside"
    )
    group: int = Field(16, ge=1, description="channels per group of a grouped 3 x 3 convolution")
    condition: Literal["projection"] | None = Field(
        None, description="how networks use the condition (data.condition); null: projection"
    )

    def build(self, shape: tuple[int, ...]) -> Networks:
        """Return the networks for samples of `shape`; see `build` below."""
        return build(self, shape)

    def build_conditional(
        self, shape: tuple[int, ...], conditions: Conditions, classify: bool = False
    ) -> Networks:
        """Return networks that take conditions; see `Backbone.build_conditional`."""
        return build(self, shape, conditions, classify)

    def widths(self, resolution: int) -> list[int]:
        """Return the channels at 4, 8, ..., `resolution` pixels.

        Raises:
            ValueError: a stage's channels do not divide into groups.
        """
        stages = (resolution // LOWEST).bit_length()
        widths = [self.width * WIDEST // max(WIDEST, LOWEST << stage) for stage in range(stages)]
        for stage, width in enumerate(widths):
            if not width or width * self.expansion % self.group:
                raise ValueError(
                    f"backbone.width: {self.width} gives {width} channels at {LOWEST << stage} "
                    f"pixels, and {width * self.expansion} inside a block, which do not divide "
                    f"into groups of {self.group}; take another width, or backbone.group"
                )
        return widths


# ------------------------------------------------------------------------------------------ layers


def resample(x: Tensor, up: bool) -> Tensor:
    """Double or halve the side of (N, C, H, H) bilinearly, with zeros beyond the border.

    A product with a banded matrix along each axis: many times faster on a CPU than a convolution of
    single channels, whose derivatives are the slowest part of a step.
    """
    side = x.shape[-1] if up else x.shape[-1] // 2
    fine, coarse = (
        torch.arange(count, device=x.device, dtype=x.dtype) for count in (2 * side, side)
    )
    # Pixel j of the fine grid lies |j - 2 i - 1/2| from pixel i of the coarse one: 3/4, 1/4, or 0.
    weights = (1 - (fine[:, None] - 2 * coarse - 0.5).abs() / 2).clamp(min=0)
    along = weights.T if up else weights / 2
    return ((x @ along).mT @ along).mT


class Convolution(Layer):
    """A convolution that keeps the side, without bias; weights are N(0, gain^2 / inputs)."""

    def __init__(
        self, inputs: int, outputs: int, side: int = 1, groups: int = 1, gain: float = 1.0
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, inputs // groups, side, side))
        self.groups, self.gain = groups, gain

    def reset(self, generator: torch.Generator) -> None:
        """Draw the weights; see above."""
        deviation = self.gain / sqrt(self.weight[0].numel())
        nn.init.normal_(self.weight, 0.0, deviation, generator=generator)

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, outputs, H, W)."""
        return conv2d(x, self.weight, padding=self.weight.shape[-1] // 2, groups=self.groups)


class Linear(Layer):
    """A linear layer without bias; weights are N(0, gain^2 / inputs)."""

    def __init__(self, inputs: int, outputs: int, gain: float = 1.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, inputs))
        self.gain = gain

    def reset(self, generator: torch.Generator) -> None:
        """Draw the weights; see above."""
        deviation = self.gain / sqrt(self.weight.shape[1])
        nn.init.normal_(self.weight, 0.0, deviation, generator=generator)

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, outputs)."""
        return nn.functional.linear(x, self.weight)


class Activation(Layer):
    """Leaky ReLU of x plus a bias for each channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.empty(channels))

    def reset(self, generator: torch.Generator) -> None:
        """Set the biases to zero."""
        nn.init.zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, C, H, W) of the same."""
        return leaky_relu(x + self.bias[:, None, None])


class Block(nn.Module):
    """x + an inverted bottleneck of x: 1 x 1 to more channels, grouped 3 x 3, 1 x 1 back."""

    def __init__(self, config: R3GANConfig, channels: int, blocks: int) -> None:
        super().__init__()
        inside = channels * config.expansion
        # With L blocks of m convolutions each starts L^(-1 / (2 m - 2)) smaller: 1901.09321.
        gain = RELU_GAIN * blocks ** (-1 / (2 * CONVOLUTIONS - 2))
        self.layers = nn.Sequential(
            Convolution(channels, inside, gain=gain),
            Activation(inside),
            Convolution(inside, inside, 3, inside // config.group, gain),
            Activation(inside),
            Convolution(inside, channels, gain=0.0),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, C, H, W) of the same."""
        out: Tensor = x + self.layers(x)
        return out


class Opening(Layer):
    """z (N, inputs) to (N, C, 4, 4): a linear map weighs one learned 4 x 4 map per channel."""

    def __init__(self, inputs: int, channels: int) -> None:
        super().__init__()
        self.basis = nn.Parameter(torch.empty(channels, LOWEST, LOWEST))
        self.linear = Linear(inputs, channels)

    def reset(self, generator: torch.Generator) -> None:
        """Draw the maps from N(0, 1)."""
        nn.init.normal_(self.basis, generator=generator)

    def forward(self, z: Tensor) -> Tensor:
        """Return the first stage's input."""
        weighed: Tensor = self.linear(z)[:, :, None, None] * self.basis
        return weighed


class Closing(Layer):
    """(N, C, 4, 4) to (N, outputs): each channel's product with a 4 x 4 map, then a linear map."""

    def __init__(self, channels: int, outputs: int) -> None:
        super().__init__()
        self.basis = nn.Parameter(torch.empty(channels, LOWEST, LOWEST))
        self.linear = Linear(channels, outputs)

    def reset(self, generator: torch.Generator) -> None:
        """Draw the maps from N(0, 1 / 16)."""
        nn.init.normal_(self.basis, 0.0, 1 / LOWEST, generator=generator)

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs."""
        said: Tensor = self.linear((x * self.basis).sum((2, 3)))
        return said


# ---------------------------------------------------------------------------------------- networks


class Generator(nn.Module):
    """z (N, latent) to images (N, C, R, R); `told` places of a condition are embedded beside z."""

    def __init__(self, config: R3GANConfig, channels: int, resolution: int, told: int) -> None:
        super().__init__()
        widths = config.widths(resolution)
        blocks = config.blocks * len(widths)
        self.told = told
        self.embedding = Linear(told, config.latent) if told else None
        self.opening = Opening(config.latent * (2 if told else 1), widths[0])
        self.widening = nn.ModuleList(
            nn.Identity() if size == following else Convolution(size, following)
            for size, following in itertools.pairwise(widths)
        )
        self.stages = nn.ModuleList(
            nn.Sequential(*[Block(config, width, blocks) for _ in range(config.blocks)])
            for width in widths
        )
        self.to_image = Convolution(widths[-1], channels)

    def forward(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        """Return images; `condition` (N, told) is for networks that take one."""
        check_condition(condition, self.told)
        if self.embedding is not None:
            z = torch.cat([z, self.embedding(condition)], 1)
        x = self.stages[0](self.opening(z))
        for widening, stage in zip(self.widening, self.stages[1:], strict=True):
            x = stage(resample(widening(x), up=True))
        images: Tensor = self.to_image(x)
        return images


class Discriminator(nn.Module):
    """Images (N, C, R, R) to logits (N,), by projection on the embedding of a condition if told.

    It says one of `said` places: (N, 1 + said).
    """

    def __init__(
        self, config: R3GANConfig, channels: int, resolution: int, told: int, said: int
    ) -> None:
        super().__init__()
        widths = config.widths(resolution)[::-1]
        blocks, features = config.blocks * len(widths), widths[-1] if told else 1 + said
        self.told = told
        self.embedding = Linear(told, features, gain=1 / sqrt(features)) if told else None
        self.from_image = Convolution(channels, widths[0])
        self.stages = nn.ModuleList(
            nn.Sequential(*[Block(config, width, blocks) for _ in range(config.blocks)])
            for width in widths
        )
        self.widening = nn.ModuleList(
            nn.Identity() if size == following else Convolution(size, following)
            for size, following in itertools.pairwise(widths)
        )
        self.closing = Closing(widths[-1], features)

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """Return D's logits; `condition` (N, told) is for networks that are told one."""
        check_condition(condition, self.told)
        x = self.stages[0](self.from_image(x))
        for widening, stage in zip(self.widening, self.stages[1:], strict=True):
            x = stage(widening(resample(x, up=False)))
        features: Tensor = self.closing(x)
        if self.embedding is None:
            return features.squeeze(1)
        logits: Tensor = (features * self.embedding(condition)).sum(1)
        return logits


def build(
    config: R3GANConfig,
    shape: tuple[int, ...],
    conditions: Conditions | None = None,
    classify: bool = False,
) -> Networks:
    """Return the networks for images of `shape` (C, R, R), conditional where there are conditions.

    Raises:
        ValueError: the data are not square images of 8, 16, ... or 256 pixels, or the channels do
            not divide into groups.
    """
    if len(shape) != 3:
        raise refuse("r3gan", shape, "images", "take backbone.name=mlp")
    channels, height, width = shape
    if height != width or height not in (8, 16, 32, 64, 128, 256):
        needs = "square images of 8, 16, 32, 64, 128 or 256 pixels"
        raise refuse("r3gan", shape, needs, "set data.resolution to one of these")
    config.widths(height)
    size = conditions.size if conditions else 0
    told, said = (0, size) if classify else (size, 0)
    return Networks(
        generator=NetworkFunction(lambda: Generator(config, channels, height, size), initialise),
        discriminator=NetworkFunction(
            lambda: Discriminator(config, channels, height, told, said), initialise
        ),
        latent=config.latent,
        prior=config.prior,
    )
