"""DCGAN (Radford et al., arXiv 1511.06434) at any power-of-two resolution from 8 to 256.

At 64 px with latent 100 and width 64 the networks are the published ones: 3,576,704 and 2,765,568
parameters. E-GAN's own CIFAR networks (arXiv 1803.00657, the authors' PyTorch code) are a setting:
width 128, `generator_norm: none`, `bias: true`, `prior: uniform`.

Networks that take a condition do so by `projection` (class-conditional batch normalisation in G, a
projection in D), or by `concat` (Mirza and Osindero, 1411.1784: joined to z and to the image).

Activations lie channels-last in memory, which convolutions read fastest on CPUs and GPUs alike.
"""

import itertools
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from egan.backbones.dcgan.convolutions import Closing, Doubling, Halving, Opening
from egan.backbones.function import NetworkFunction
from egan.backbones.networks import Backbone, Networks, check_condition, refuse
from egan.data.condition import Conditions

Norm = Literal["batch", "instance", "none"]
EMBEDDING = 128  # numbers of a condition's embedding, BigGAN's
LARGEST_MULTIPLE = 8  # the widest layer, in units of `width`: the paper's at 64 px


class DCGANConfig(Backbone, extra="forbid", frozen=True):
    """A convolutional generator and its mirror image as discriminator."""

    name: Literal["dcgan"] = "dcgan"
    latent: int = Field(100, ge=1, description="size of the noise vector z")
    prior: Literal["normal", "uniform"] = "normal"
    width: int = Field(64, ge=1, description="channels of the layer nearest to the image")
    generator_norm: Norm = "batch"
    discriminator_norm: Norm = "batch"
    bias: bool = Field(
        False,
        description="whether convolutions have biases; the published DCGAN has none, and a "
        "discriminator_norm of none learns badly without",
    )
    condition: Literal["projection", "concat"] | None = Field(
        None, description="how networks use the condition (data.condition); null: projection"
    )

    @property
    def advice(self) -> str | None:
        """A line on a discriminator with neither norm nor biases: see docs/training.md."""
        if self.bias or self.discriminator_norm != "none":
            return None
        return (
            "backbone.discriminator_norm: none learns badly without biases, for a grey image then "
            "has the logit 0 whatever D's weights are; set backbone.bias=true"
        )

    def build(self, shape: tuple[int, ...]) -> Networks:
        """Return the networks for samples of `shape`; see `build` below."""
        return build(self, shape)

    def build_conditional(
        self, shape: tuple[int, ...], conditions: Conditions, classify: bool = False
    ) -> Networks:
        """Return networks that take conditions; see `Backbone.build_conditional`.

        Raises:
            ValueError: a projection without a norm to condition; or as for `build`.
        """
        if self.condition != "concat" and self.generator_norm == "none":
            raise ValueError(
                "backbone.generator_norm: none leaves no norm that a condition could scale: set "
                "backbone.condition=concat, or backbone.generator_norm=batch"
            )
        return build(self, shape, conditions, classify)


def widths(resolution: int, width: int) -> list[int]:
    """Return the channels at resolution / 2, resolution / 4, ..., 4."""
    halvings = resolution.bit_length() - 3
    return [width * min(2**level, LARGEST_MULTIPLE) for level in range(halvings)]


def norm_layers(kind: Norm, channels: int) -> list[nn.Module]:
    """Return the layers of a norm: one, or none."""
    if kind == "batch":
        return [nn.BatchNorm2d(channels)]
    if kind == "instance":
        return [nn.InstanceNorm2d(channels, affine=True)]
    return []


class ConditionalNorm(nn.Module):
    """Class-conditional normalisation: (1 + W_g e) norm(x) + W_b e, the norm without parameters.

    Dumoulin et al., 1610.07629, with one embedding e of the condition for all layers, as in BigGAN
    (Brock et al., 1809.11096): gains that were learned one by one would move too slowly.
    """

    def __init__(self, kind: Norm, channels: int) -> None:
        super().__init__()
        norm = nn.BatchNorm2d if kind == "batch" else nn.InstanceNorm2d
        self.norm = norm(channels, affine=False)
        self.scale = nn.Linear(EMBEDDING, channels, bias=False)
        self.shift = nn.Linear(EMBEDDING, channels, bias=False)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """Return (N, C, H, W) of the same, for e (N, EMBEDDING)."""
        gain, shift = 1 + self.scale(embedding), self.shift(embedding)
        return torch.addcmul(shift[:, :, None, None], gain[:, :, None, None], self.norm(x))


class Generator(nn.Module):
    """z (N, latent) to images (N, C, R, R) in [-1, 1] by fractionally strided convolutions."""

    def __init__(self, config: DCGANConfig, channels: int, resolution: int, told: int = 0) -> None:
        super().__init__()
        self.told, self.joined = told, bool(told) and config.condition == "concat"

        def norm(channels: int) -> list[nn.Module]:
            if told and not self.joined:
                return [ConditionalNorm(config.generator_norm, channels)]
            return norm_layers(config.generator_norm, channels)

        sizes = widths(resolution, config.width)[::-1]  # from 4 x 4 up
        layers: list[nn.Module] = []
        layers += [Opening(config.latent + told * self.joined, sizes[0], config.bias)]
        layers += [*norm(sizes[0]), nn.ReLU(inplace=True)]
        for size, following in itertools.pairwise(sizes):
            layers += [Doubling(size, following, config.bias)]
            layers += [*norm(following), nn.ReLU(inplace=True)]
        layers += [Doubling(sizes[-1], channels, config.bias), nn.Tanh()]
        self.layers = nn.Sequential(*layers)
        projected = told and not self.joined
        self.embedding = nn.Linear(told, EMBEDDING, bias=False) if projected else None

    def forward(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        """Return images; `condition` (N, told) is for networks that take one."""
        check_condition(condition, self.told)
        if condition is not None and self.joined:
            z = torch.cat([z, condition], 1)
        images = z[:, :, None, None].contiguous(memory_format=torch.channels_last)
        embedding = self.embedding(condition) if self.embedding is not None else None
        for layer in self.layers:
            own = (embedding,) if isinstance(layer, ConditionalNorm) else ()
            images = layer(images, *own)
        return images  # (N, C, R, R)


class Discriminator(nn.Module):
    """Images (N, C, R, R) to logits (N,) by strided convolutions; no norm in the first layer.

    Told a condition y of `told` places by projection, Miyato and Koyama, 1802.05637, it gives
    linear(h) + <V y, h>, h being the last features. It says one of `said`: (N, 1 + said).
    """

    def __init__(
        self,
        config: DCGANConfig,
        channels: int,
        resolution: int,
        told: int = 0,
        said: int = 0,
    ) -> None:
        super().__init__()
        self.told, self.joined = told, bool(told) and config.condition == "concat"
        channels += told * self.joined
        outputs = 1 + said + told * (not self.joined)
        sizes = widths(resolution, config.width)  # from the image down to 4 x 4
        layers: list[nn.Module] = [Halving(channels, sizes[0], config.bias)]
        layers += [nn.LeakyReLU(0.2, inplace=True)]
        for size, following in itertools.pairwise(sizes):
            layers += [Halving(size, following, config.bias)]
            layers += [*norm_layers(config.discriminator_norm, following)]
            layers += [nn.LeakyReLU(0.2, inplace=True)]
        layers += [Closing(sizes[-1], outputs, config.bias)]
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """Return D's logits; `condition` (N, told) is for networks that are told one."""
        check_condition(condition, self.told)
        if condition is not None and self.joined:
            planes = condition[:, :, None, None].expand(-1, -1, *x.shape[2:])
            x = torch.cat([x, planes], 1)
        logits: Tensor = self.layers(_channels_last(x)).flatten(1)
        if condition is not None and not self.joined:
            return logits[:, 0] + (logits[:, 1:] * condition).sum(1)  # V is the last layer's, too
        return logits.squeeze(1)


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
        if module.affine:
            nn.init.normal_(module.weight, 1.0, 0.02, generator=generator)
            nn.init.zeros_(module.bias)
    elif isinstance(module, Generator) and module.embedding is not None:
        nn.init.normal_(module.embedding.weight, generator=generator)
    elif isinstance(module, ConditionalNorm):  # at first it is the norm alone
        nn.init.zeros_(module.scale.weight)
        nn.init.zeros_(module.shift.weight)


def build(
    config: DCGANConfig,
    shape: tuple[int, ...],
    conditions: Conditions | None = None,
    classify: bool = False,
) -> Networks:
    """Return the networks for images of `shape` (C, R, R), conditional where there are conditions.

    Raises:
        ValueError: the data are not square images of 8, 16, 32, 64, 128 or 256 pixels.
    """
    if len(shape) != 3:
        raise refuse("dcgan", shape, "images", "take backbone.name=mlp")
    channels, height, width = shape
    if height != width or height not in (8, 16, 32, 64, 128, 256):
        needs = "square images of 8, 16, 32, 64, 128 or 256 pixels"
        raise refuse("dcgan", shape, needs, "set data.resolution to one of these")
    size = conditions.size if conditions else 0
    told, said = (0, size) if classify else (size, 0)
    return Networks(
        generator=NetworkFunction(
            lambda: Generator(config, channels, height, size), initialise, direct=True
        ),
        discriminator=NetworkFunction(
            lambda: Discriminator(config, channels, height, told, said), initialise, direct=True
        ),
        latent=config.latent,
        prior=config.prior,
    )
