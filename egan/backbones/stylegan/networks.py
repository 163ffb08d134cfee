"""StyleGAN (Karras et al., arXiv 1812.04948), evolvable: every random number is an argument.

At 1024 px with the published settings the generator (mapping and synthesis, as the published code
counts) has 26,219,627 parameters; the paper says 26.2 million. The discriminator is ProGAN's with
filtered downsampling, 23,087,249 parameters.

An image is a function of the weights, the stage and one row of `Latents`: z, the seed of its
per-pixel noise, and, in training, a second latent with the place where the styles change over. So
nothing is drawn inside a network, the inputs are small at every resolution, and an image does not
depend on the batch that it is made in.

A condition's embedding is joined to z before the mapping, each of mean square 1, as StyleGAN2-ada
(Karras et al., 2006.06676) does.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from egan.backbones.dcgan.networks import LARGEST_MULTIPLE, Norm
from egan.backbones.dcgan.networks import initialise as initialise_dcgan
from egan.backbones.function import NetworkFunction
from egan.backbones.networks import Networks, check_condition
from egan.backbones.progressive.growth import LOWEST, Stage, doublings
from egan.backbones.progressive.layers import (
    EqualLinear,
    Layer,
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
from egan.backbones.stylegan.blocks import FirstBlock, ModulatedFirst, ModulatedUp, UpBlock
from egan.backbones.stylegan.latents import (
    Latents,
    crossover_layer,
    draw_latents,
    every_layer,
    layers,
    mix,
)
from egan.backbones.stylegan.noise import noise_images
from egan.backbones.stylegan.path_length import path_penalty
from egan.backbones.stylegan.plain import FIRST, PlainDiscriminator
from egan.data.condition import Conditions
from egan.state import Weights


class StyleGANConfig(ProgressiveConfig, extra="forbid", frozen=True):
    """A style-based generator and its discriminator; the defaults are the published ones."""

    name: Literal["stylegan"] = "stylegan"
    style: int = Field(512, ge=1, description="size of w, and width of the mapping network")
    mapping_layers: int = Field(8, ge=1)
    mapping_multiplier: float = Field(
        0.01, gt=0, description="learning-rate multiplier of the mapping network"
    )
    mixing: float = Field(0.9, ge=0, le=1, description="probability of style mixing in training")
    mean_decay: float = Field(
        0.995, ge=0, lt=1, description="decay per batch of the running average of w"
    )
    norm: Literal["instance", "batch", "demodulation"] = Field(
        "instance",
        description="what is normalised before a style acts. instance: each image by itself, as "
        "published; batch: all images of the batch together, which keeps what makes them differ; "
        "demodulation: nothing, as in StyleGAN2: outputs are divided by their expected size",
    )
    rgb: Literal["last", "sum"] = Field(
        "last",
        description="the image: of the last resolution's features, as published; sum: of all "
        "resolutions' images, as in StyleGAN2's skip generator",
    )
    filter_taps: Literal[3, 4] = Field(
        3,
        description="filter beside each change of resolution. 3: [1, 2, 1], as in StyleGAN; 4: "
        "[1, 3, 3, 1], as in StyleGAN2, in fewer multiplications: other images at their borders",
    )
    output: Literal["linear", "tanh"] = Field(
        "linear",
        description="of images: linear, as published; tanh: bounded, which a discriminator with a "
        "norm needs, since it cannot see how far all values are from zero",
    )
    constant: Literal["ones", "normal"] = Field(
        "ones", description="initial values of the learned input: ones, or normal random numbers"
    )
    discriminator: Literal["progressive", "plain", "residual"] = Field(
        "progressive",
        description="progressive: as published; residual: as in StyleGAN2; plain: DCGAN's strided "
        "convolutions",
    )
    discriminator_norm: Norm = Field("none", description="of the plain discriminator")
    discriminator_width: int | None = Field(
        None,
        ge=1,
        description="of the plain discriminator: channels after its first layer, doubled by each "
        "following one up to eight times as many; null: as many as the generator has",
    )
    path_weight: float = Field(
        0,
        ge=0,
        allow_inf_nan=False,
        description="weight of StyleGAN2's path length regularisation, published as 2: a step in W "
        "shall change all images equally; 0: none",
    )
    path_every: int = Field(
        4, ge=1, description="compute that in every n-th step of G only, with n times its weight"
    )

    @model_validator(mode="after")
    def _only_of_a_plain_one(self) -> "StyleGANConfig":
        if self.discriminator != "plain":
            for key, default in (("discriminator_norm", "none"), ("discriminator_width", None)):
                if getattr(self, key) != default:
                    raise ValueError(
                        f"{key} is for discriminator: plain, not {self.discriminator}: set that, "
                        f"or leave {key} out"
                    )
        return self

    @model_validator(mode="after")
    def _sum_from_the_start(self) -> "StyleGANConfig":
        if self.rgb == "sum" and self.growth:
            raise ValueError(
                "rgb: sum makes images of all resolutions from the start, in place of growing: "
                "leave growth out, or take rgb: last"
            )
        return self

    @model_validator(mode="after")
    def _plain_from_eight(self) -> "StyleGANConfig":
        if self.discriminator == "plain" and self.growth and self.growth.start < FIRST:
            raise ValueError(
                f"growth.start is {self.growth.start}, and discriminator: plain judges images of "
                f"{FIRST} pixels or more; take growth.start: {FIRST}"
            )
        return self

    def plain_channels(self, resolution: int) -> dict[int, int]:
        """Return the channels of the plain discriminator's features by their pixels."""
        width = self.discriminator_width
        return {
            side: min(width * (resolution // 2 // side), LARGEST_MULTIPLE * width)
            if width
            else self.channels(side)
            for side in doublings(LOWEST, resolution // 2)
        }

    def check_batch(self, key: str, batch: int) -> None:
        """Refuse a batch that does not divide into groups; a plain discriminator takes any."""
        if self.discriminator != "plain":
            super().check_batch(key, batch)

    @property
    def condition_layers(self) -> tuple[int, float]:
        """D maps a condition as G maps z."""
        return self.mapping_layers, self.mapping_multiplier

    def build(self, shape: tuple[int, ...]) -> Networks:
        """Return the networks for samples of `shape`; see `build` below."""
        return build(self, shape)

    def build_conditional(
        self, shape: tuple[int, ...], conditions: Conditions, classify: bool = False
    ) -> Networks:
        """Return networks that take conditions; see `Backbone.build_conditional`."""
        return build(self, shape, conditions, classify)


# --------------------------------------------------------------------------------------- networks


class Mapping(Layer):
    """f: Z -> W, normalised z (N, latent) to w (N, style); it tracks the mean of w.

    Its layers learn `mapping_multiplier` times as fast as others. Where conditions are labels, it
    tracks a mean for each class, too: the mean of all would blend them.
    """

    mean: Tensor
    class_means: Tensor

    def __init__(self, config: StyleGANConfig, conditions: Conditions | None = None) -> None:
        super().__init__()
        self.told = conditions.size if conditions else 0
        self.embedded = Embedding(self.told, config.style) if conditions else None
        inputs = config.latent + (config.style if conditions else 0)
        sizes = [inputs] + [config.style] * config.mapping_layers
        self.layers = nn.ModuleList(
            EqualLinear(inputs, config.style, multiplier=config.mapping_multiplier)
            for inputs in sizes[:-1]
        )
        self.latent, self.multiplier = config.latent, config.mapping_multiplier
        self.decay = config.mean_decay
        self.register_buffer("mean", torch.empty(config.style))
        self.labelled = conditions is not None and conditions.kind == "labels"
        if conditions is not None and self.labelled:
            self.register_buffer("class_means", torch.empty(conditions.size, config.style))

    def reset(self, generator: torch.Generator) -> None:
        """Set the tracked means to zero."""
        nn.init.zeros_(self.mean)
        if self.labelled:
            nn.init.zeros_(self.class_means)

    def forward(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        """Return w; `condition` (N, told) is for networks that take one."""
        check_condition(condition, self.told)
        w = pixel_norm(z)
        if self.embedded is not None:
            w = torch.cat([w, self.embedded(condition)], 1)
        for layer in self.layers:
            w = leaky_relu(layer(w))
        return w

    def track(self, w: Tensor, condition: Tensor | None = None) -> None:
        """Move the tracked means towards those of a batch w (N, style)."""
        w = w.detach().float()
        self.mean.lerp_(w.mean(0), 1 - self.decay)
        if condition is not None and self.labelled:
            shares = condition.sum(0)[:, None]  # of each class in the batch
            means = condition.T @ w / torch.where(shares > 0, shares, 1)
            self.class_means.lerp_(means, (1 - self.decay) * (shares > 0))


class Synthesis(nn.Module):
    """g: styles (N, layers, style) and noise images to images (N, C, r, r) of any stage."""

    def __init__(self, config: StyleGANConfig, channels: int, resolution: int) -> None:
        super().__init__()
        style, first, normal = config.style, config.channels(LOWEST), config.constant == "normal"
        modulated, batch = config.norm == "demodulation", config.norm == "batch"
        self.blocks = nn.ModuleDict(
            {
                str(LOWEST): ModulatedFirst(style, first, normal)
                if modulated
                else FirstBlock(style, first, normal, batch)
            }
        )
        for side in doublings(LOWEST * 2, resolution):
            sizes = style, config.channels(side // 2), config.channels(side), config.filter_taps
            self.blocks[str(side)] = ModulatedUp(*sizes) if modulated else UpBlock(*sizes, batch)
        self.to_rgb = ToRGB(config, channels, resolution, summed=config.rgb == "sum")
        self.bounded = config.output == "tanh"
        self.again = config.checkpoint

    def forward(self, styles: Tensor, noise: list[Tensor], stage: Stage) -> Tensor:
        """Return images; `noise` holds an (N, 1, s, s) for each layer, as `noise_images` does."""

        def grow(side: int, x: Tensor | None) -> Tensor:
            layer = layers(side) - 2
            own = noise[layer : layer + 2], styles[:, layer : layer + 2]
            return run_block(self.blocks[str(side)], x, *own, again=self.again)

        images: Tensor = self.to_rgb(grow, stage)
        return images.tanh() if self.bounded else images


class Generator(Layer):
    """`Latents` to images (N, C, r, r) of any stage."""

    path_length: Tensor | None  # the running mean, where there is path length regularisation

    def __init__(
        self,
        config: StyleGANConfig,
        channels: int,
        resolution: int,
        conditions: Conditions | None = None,
    ) -> None:
        super().__init__()
        self.resolution = resolution
        self.mapping = Mapping(config, conditions)
        self.synthesis = Synthesis(config, channels, resolution)
        self.register_buffer("path_length", torch.empty(()) if config.path_weight else None)

    def reset(self, generator: torch.Generator) -> None:
        """The running mean of path lengths starts at zero, as published."""
        if self.path_length is not None:
            nn.init.zeros_(self.path_length)

    def forward(
        self,
        latents: Latents,
        condition: Tensor | None = None,
        offsets: Tensor | None = None,
        stage: Stage | None = None,
    ) -> Tensor:
        """Return images; `condition` (N, size) is for networks that take one.

        In training, styles mix and the mean of w is tracked; otherwise each image has one style.
        `offsets` (N, layers, style) are added to the styles.

        Raises:
            ValueError: as for `check_stage`.
        """
        stage = check_stage(stage, self.resolution)
        count = layers(stage.resolution)
        w = self.mapping(latents.z, condition)
        styles = every_layer(w, count)
        if self.training:
            self.mapping.track(w, condition)
            if latents.z2 is not None and latents.crossover is not None:
                second = every_layer(self.mapping(latents.z2, condition), count)
                styles = mix(styles, second, crossover_layer(latents.crossover, count))
        if offsets is not None:
            styles = styles + offsets
        noise = noise_images(latents.seeds, stage.resolution)
        images: Tensor = self.synthesis(styles, noise, stage)
        return images


# ------------------------------------------------------------------------------- for the engine


@dataclass(frozen=True)
class StyleNetworks(ProgressiveNetworks):
    """Networks whose generator takes `Latents` and makes images of `channels`."""

    config: StyleGANConfig
    channels: int

    def noise(self, count: int, generator: torch.Generator) -> Latents:
        """Return `count` rows of latents, drawn on the CPU."""
        return draw_latents(count, self.config.latent, self.config.mixing, generator)

    def directions(self, step: int, count: int, stage: Stage | None) -> tuple[int, ...] | None:
        """Return the shape of the directions of path lengths, in the steps that compute them.

        They are those of half the batch, as in the published code.
        """
        if not self.config.path_weight or step % self.config.path_every:
            return None
        side = check_stage(stage, self.resolution).resolution
        return max(1, count // 2), self.channels, side, side

    def regularisation(
        self,
        weights: Weights,
        latents: Latents,
        condition: Tensor | None,
        directions: Tensor,
        stage: Stage | None,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the weighted path length penalty (), and the running mean as a buffer."""
        styles = len(directions), layers(directions.shape[-1]), self.config.style
        offsets = torch.zeros(styles, device=directions.device, requires_grad=True)
        latents = latents[: len(directions)]
        condition = None if condition is None else condition[: len(directions)]
        images, _ = self.generator(weights, latents, condition, offsets, stage=stage)
        penalty, mean = path_penalty(images, offsets, directions, weights.buffers["path_length"])
        return self.config.path_weight * self.config.path_every * penalty, {"path_length": mean}


def build(
    config: StyleGANConfig,
    shape: tuple[int, ...],
    conditions: Conditions | None = None,
    classify: bool = False,
) -> StyleNetworks:
    """Return the networks for images of `shape` (C, R, R), conditional where there are conditions.

    Raises:
        ValueError: as for `check_shape`.
    """
    check_shape("stylegan", config, shape)
    channels, resolution, _ = shape
    size = conditions.size if conditions else 0
    told, said = (0, size) if classify else (size, 0)
    if config.discriminator == "plain":
        plain = config.plain_channels(resolution), config.discriminator_norm, channels, told, said
        discriminator = NetworkFunction(lambda: PlainDiscriminator(*plain), initialise_dcgan)
    else:
        residual = config.discriminator == "residual"
        own = config, channels, resolution, config.filter_taps, told, said, residual
        discriminator = NetworkFunction(lambda: Discriminator(*own), initialise)
    return StyleNetworks(
        generator=NetworkFunction(
            lambda: Generator(config, channels, resolution, conditions), initialise
        ),
        discriminator=discriminator,
        latent=config.latent,
        prior="normal",
        config=config,
        resolution=resolution,
        channels=channels,
    )
