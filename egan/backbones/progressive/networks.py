"""The parts that ProGAN (Karras et al., arXiv 1710.10196) and StyleGAN (1812.04948) share.

The channel schedule, the shape of the images that both make, the fade between two resolutions, and
the discriminator.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import sqrt
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils.checkpoint import checkpoint

from egan.backbones.networks import Backbone, Networks, check_condition, refuse
from egan.backbones.progressive.growth import LOWEST, GrowthConfig, GrowthSchedule, Stage, doublings
from egan.backbones.progressive.layers import (
    EqualConv2d,
    EqualLinear,
    Taps,
    blur,
    downsample,
    halved,
    leaky_relu,
    minibatch_stddev,
    pixel_norm,
    upsample,
)

RESOLUTIONS = doublings(8, 1024)


class ProgressiveConfig(Backbone, extra="forbid", frozen=True):
    """The keys that both backbones share; the defaults are the published ones."""

    latent: int = Field(512, ge=1, description="size of the noise vector z")
    fmap_base: int = Field(
        8192, ge=1, description="channels at r pixels are 2 fmap_base / r, but at most fmap_max"
    )
    fmap_max: int = Field(512, ge=1, description="the largest number of channels of a layer")
    stddev_group: int = Field(
        4, ge=2, description="samples per group in D's minibatch standard deviation layer"
    )
    growth: GrowthConfig | None = Field(None, description="progressive growing; null: fixed size")
    checkpoint: bool = Field(
        False,
        description="gradient checkpointing: recompute activations in the backward pass, which "
        "saves memory",
    )

    condition: Literal["embedding"] | None = Field(
        None,
        description="how networks use the condition (data.condition); null: embedding, as in "
        "StyleGAN2-ADA",
    )

    @property
    def condition_layers(self) -> tuple[int, float]:
        """D's layers between a condition's embedding and its projection, and their multiplier."""
        return 0, 1.0

    def channels(self, resolution: int) -> int:
        """Return the feature maps of the layers at `resolution`."""
        return max(1, min(2 * self.fmap_base // resolution, self.fmap_max))

    @property
    def grows(self) -> bool:
        """Whether the networks grow while they are trained."""
        return self.growth is not None

    def batches(self, batch: int) -> Mapping[str, int]:
        """Return the batches of a run by the keys that set them: one for every stage, if named."""
        named = self.growth.batch if self.growth else {}
        stages = {f"backbone.growth.batch.{side}": size for side, size in named.items()}
        return stages or super().batches(batch)

    def counted(self, batch: int) -> GrowthSchedule | None:
        """Return a schedule that counts the images shown; None: every batch is `batch`.

        It needs no data: named batches end at the data's resolution, and others are all alike.
        """
        if self.growth is None or not self.growth.batch:
            return None
        return self.growth.schedule(max(self.growth.batch), batch)

    def check_batch(self, key: str, batch: int) -> None:
        """Refuse a batch that does not divide into the groups of the minibatch stddev.

        Raises:
            ValueError: names `key`.
        """
        if batch > self.stddev_group and batch % self.stddev_group:
            raise ValueError(
                f"{key}: {batch} does not divide into the discriminator's groups of "
                f"{self.stddev_group} (backbone.stddev_group); take a multiple of it, or less"
            )


@dataclass(frozen=True)
class ProgressiveNetworks(Networks):
    """Networks for images of `resolution` pixels, which grow if the config says so."""

    config: ProgressiveConfig
    resolution: int

    def growth(self, batch: int) -> GrowthSchedule | None:
        """Return how the networks grow, on batches of `batch` where none is named; None: not."""
        growth = self.config.growth
        return None if growth is None else growth.schedule(self.resolution, batch)


def check_shape(backbone: str, config: ProgressiveConfig, shape: tuple[int, ...]) -> None:
    """Refuse data that the networks cannot make, and a growth that does not lead to them.

    Raises:
        ValueError: not square images of 8 to 1024 pixels, a power of two; see also
            `GrowthConfig.schedule`.
    """
    if len(shape) != 3:
        raise refuse(backbone, shape, "images", "take backbone.name=mlp")
    if shape[1] != shape[2] or shape[1] not in RESOLUTIONS:
        sizes = "square images of a power of two from 8 to 1024 pixels"
        raise refuse(backbone, shape, sizes, "set data.resolution to one of these")
    if config.growth:
        config.growth.schedule(shape[1], batch=config.stddev_group)


def check_stage(stage: Stage | None, resolution: int) -> Stage:
    """Return the stage to compute at: the full resolution unless one is given.

    Raises:
        ValueError: the networks have no such resolution, or alpha is outside [0, 1].
    """
    if stage is None:
        return Stage(resolution)
    if stage.resolution not in doublings(LOWEST, resolution):
        raise ValueError(
            f"a network of {resolution} pixels has no stage at {stage.resolution}: take a power of "
            f"two from {LOWEST} to {resolution}"
        )
    if not 0 <= stage.alpha <= 1:
        raise ValueError(f"a stage's alpha lies in [0, 1], not at {stage.alpha}")
    return stage


def check_image(x: Tensor, stage: Stage) -> None:
    """Refuse images (N, C, r, r) of another resolution than the stage's.

    Raises:
        ValueError: names both.
    """
    if x.shape[-1] != stage.resolution:
        raise ValueError(
            f"the discriminator judges images of {stage.resolution} pixels at this stage, not "
            f"of {x.shape[-1]}"
        )


def run_block(block: nn.Module, *inputs: object, again: bool) -> Tensor:
    """Return a block's features; with `again`, it keeps its inputs alone for the backward pass.

    Gradient checkpointing, Chen et al., arXiv 1604.06174: the block is computed once more for each
    backward pass, from the same weights to the same bits. The module is a shape without weights
    (`egan.backbones.function`), which are gone by then: so they are handed over by name.
    """
    if not (again and torch.is_grad_enabled()):
        features: Tensor = block(*inputs)
        return features
    weights = dict(block.named_parameters())
    found: Tensor = checkpoint(
        functional_call, block, weights, inputs, use_reentrant=False, preserve_rng_state=False
    )
    return found


class ToRGB(nn.Module):
    """The 1 x 1 convolutions to images, one per resolution, and the fade between two of them.

    The image is that of the last resolution; or, if `summed`, the sum of all resolutions' images
    (Karras et al., 1912.04958, figure 7b).
    """

    def __init__(
        self, config: ProgressiveConfig, channels: int, resolution: int, summed: bool = False
    ) -> None:
        super().__init__()
        self.summed = summed
        for side in doublings(LOWEST, resolution):
            self.add_module(str(side), EqualConv2d(config.channels(side), channels, 1, gain=1))

    def forward(self, grow: Callable[[int, Tensor | None], Tensor], stage: Stage) -> Tensor:
        """Return images (N, C, r, r) of a stage.

        `grow(side, x)` returns the features at `side` from those at half of it. While the stage is
        faded in: (1 - alpha) upsample(toRGB(x_{r/2})) + alpha toRGB(x_r), 1710.10196, figure 2.
        """
        if self.summed:
            return self._sum(grow, stage)
        previous, features = None, None
        for side in doublings(LOWEST, stage.resolution):
            previous, features = features, grow(side, features)
        images: Tensor = self.get_submodule(str(stage.resolution))(features)
        if stage.alpha == 1 or previous is None:
            return images
        skip: Tensor = self.get_submodule(str(stage.resolution // 2))(previous)
        return upsample(skip).lerp(images, stage.alpha)

    def _sum(self, grow: Callable[[int, Tensor | None], Tensor], stage: Stage) -> Tensor:
        features = grow(LOWEST, None)
        images: Tensor = self.get_submodule(str(LOWEST))(features)
        for side in doublings(2 * LOWEST, stage.resolution):
            features = grow(side, features)
            images = blur(upsample(images)) + self.get_submodule(str(side))(features)
        return images


class DownBlock(nn.Module):
    """Two convolutions, the second of them to half the resolution, with a filter of `taps`."""

    def __init__(self, config: ProgressiveConfig, side: int, taps: Taps) -> None:
        super().__init__()
        inputs, outputs = config.channels(side), config.channels(side // 2)
        self.conv = EqualConv2d(inputs, inputs, 3)
        self.conv_down = EqualConv2d(inputs, outputs, 3, resample="down", taps=taps)

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, C, r, r) as (N, C', r / 2, r / 2)."""
        return leaky_relu(self.conv_down(leaky_relu(self.conv(x))))


class ResidualDown(DownBlock):
    """The same, and a 1 x 1 convolution past it: StyleGAN2's, 1912.04958, figure 7c.

    Both halves of the sum are divided by sqrt(2), so that it is as large as they are.
    """

    def __init__(self, config: ProgressiveConfig, side: int, taps: Taps) -> None:
        super().__init__(config, side, taps)
        sizes = config.channels(side), config.channels(side // 2)
        self.skip = EqualConv2d(*sizes, 1, gain=1, bias=False)
        self.taps: Taps = taps

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, C, r, r) as (N, C', r / 2, r / 2)."""
        past: Tensor = self.skip(halved(x, self.taps))
        return (super().forward(x) + past) / sqrt(2)


class Embedding(nn.Module):
    """A condition (N, size) as a vector (N, width) of mean square 1, then `layers` layers."""

    def __init__(self, size: int, width: int, layers: int = 0, multiplier: float = 1.0) -> None:
        super().__init__()
        self.embed = EqualLinear(size, width, gain=1)
        self.layers = nn.ModuleList(
            EqualLinear(width, width, multiplier=multiplier) for _ in range(layers)
        )

    def forward(self, condition: Tensor) -> Tensor:
        """Return the vectors."""
        vector = pixel_norm(self.embed(condition))
        for layer in self.layers:
            vector = leaky_relu(layer(vector))
        return vector


class Verdict(nn.Module):
    """The discriminator at 4 x 4: minibatch stddev, a convolution, two linear layers.

    Told a condition, it projects as StyleGAN2-ada (Karras et al., 2006.06676) does:
    features . mapped(condition) / sqrt(width). It says one of `said` places: (N, 1 + said).
    """

    def __init__(self, config: ProgressiveConfig, told: int = 0, said: int = 0) -> None:
        super().__init__()
        channels, hidden = config.channels(LOWEST), config.channels(LOWEST // 2)
        self.group = config.stddev_group
        self.conv = EqualConv2d(channels + 1, channels, 3)
        self.hidden = EqualLinear(channels * LOWEST**2, hidden)
        self.out = EqualLinear(hidden, hidden if told else 1 + said, gain=1)
        self.told = told
        self.mapped = Embedding(told, hidden, *config.condition_layers) if told else None

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """Return logits (N,) of features (N, C, 4, 4)."""
        check_condition(condition, self.told)
        x = leaky_relu(self.conv(minibatch_stddev(x, self.group)))
        logits: Tensor = self.out(leaky_relu(self.hidden(x.flatten(1))))
        if self.mapped is not None:
            projected: Tensor = (logits * self.mapped(condition)).sum(1)
            return projected / sqrt(logits.shape[1])
        return logits.squeeze(1)


class Discriminator(nn.Module):
    """Images (N, C, r, r) of any stage to logits (N,): 23,087,249 parameters for 1024 px colour.

    ProGAN's; StyleGAN's differs by the filter before each downsampling (of `taps`), and StyleGAN2's
    by what goes past each block, too (`residual`).
    """

    def __init__(
        self,
        config: ProgressiveConfig,
        channels: int,
        resolution: int,
        taps: Taps,
        told: int = 0,
        said: int = 0,
        residual: bool = False,
    ) -> None:
        super().__init__()
        sides = doublings(LOWEST, resolution)
        block = ResidualDown if residual else DownBlock
        self.resolution = resolution
        self.from_rgb = nn.ModuleDict(
            {str(side): EqualConv2d(channels, config.channels(side), 1) for side in sides}
        )
        self.blocks = nn.ModuleDict({str(side): block(config, side, taps) for side in sides[1:]})
        self.verdict = Verdict(config, told, said)
        self.again = config.checkpoint

    def forward(
        self, x: Tensor, condition: Tensor | None = None, stage: Stage | None = None
    ) -> Tensor:
        """Return D's logits (N,) of images at the stage's resolution, and their condition if told.

        Raises:
            ValueError: the images are of another resolution, or as for `check_stage`.
        """
        stage = check_stage(stage, self.resolution)
        check_image(x, stage)
        features = self._features(x, stage.resolution)
        for side in reversed(doublings(LOWEST * 2, stage.resolution)):
            features = run_block(self.blocks[str(side)], features, again=self.again)
            if side == stage.resolution and stage.alpha < 1:
                skip = self._features(downsample(x), side // 2)
                features = skip.lerp(features, stage.alpha)
        logits: Tensor = self.verdict(features, condition)
        return logits

    def _features(self, x: Tensor, side: int) -> Tensor:
        return leaky_relu(self.from_rgb[str(side)](x))
