"""Generators and translators as torch modules that hold their weights, for exporters.

In a run a module holds no weights, and a translator that normalises with the statistics of a batch
gets images one by one. Here each image is normalised by itself, however many there are.
"""

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from egan.backbones.function import NetworkFunction
from egan.backbones.progressive.networks import check_stage
from egan.backbones.stylegan.latents import Latents, every_layer, layers
from egan.backbones.stylegan.networks import Generator
from egan.backbones.stylegan.noise import noise_images
from egan.backbones.stylegan.styles import tracked_mean, truncate
from egan.backbones.translation.layers import Dropout
from egan.games import UnpairedGame
from egan.state import Weights
from runs.common.errors import ConfigError
from runs.sampling.sampler import Sampler
from runs.sampling.translator import Translator

Inputs = dict[str, Tensor]  # examples by name, (N, ...) each
SEED = 1  # of the examples


@dataclass(frozen=True)
class Exportable:
    """A network to be exported.

    Attributes:
        module: takes the inputs in their order.
        example: inputs that it is traced with; the first axis of each is free.
        free: which further axes are free, by input, and what their sizes are multiples of.
        checks: other inputs, and what the run's own code makes of them.
        output: the name of what it gives.
        about: what to know of it, by key.
    """

    module: nn.Module
    example: Inputs
    free: dict[str, dict[int, int]]
    checks: tuple[tuple[Inputs, Tensor], ...]
    output: str
    about: dict[str, object]


def standing(function: NetworkFunction, weights: Weights) -> nn.Module:
    """Return a copy of a function's module that holds weights."""
    module = copy.deepcopy(function.module)
    module.load_state_dict({**function.named(weights.params), **weights.buffers}, assign=True)
    return module


# ----------------------------------------------------------------------------------- from noise


class Generating(nn.Module):
    """A sampler's generator: noise, and a condition where it takes one, to samples."""

    def __init__(self, sampler: Sampler) -> None:
        super().__init__()
        self.network = standing(sampler.function, sampler.weights["generator"])
        self.eval()
        self.sampler = sampler

    def forward(self, *given: Tensor) -> Tensor:
        """Return samples of the inputs of `exportable_sampler`."""
        rows = list(given)
        told = (
            [] if self.sampler.conditions is None else [self.sampler.faded(rows.pop())]
        )  # a tensor, since one is given
        stage = self.sampler.stage
        if self.sampler.psi is not None:
            return self._truncated(Latents(*rows), *told)
        noise = rows[0] if len(rows) == 1 else Latents(*rows)
        options = {} if stage is None else {"stage": stage}
        made: Tensor = self.network(noise, *told, **options)
        return made

    def _truncated(self, latents: Latents, condition: Tensor | None = None) -> Tensor:
        sampler, network = self.sampler, self.network
        assert sampler.psi is not None and isinstance(network, Generator)
        stage = check_stage(sampler.stage, network.resolution)
        w = network.mapping(latents.z, condition)
        mean = tracked_mean(sampler.weights["generator"], condition)
        styles = truncate(
            every_layer(w, layers(stage.resolution)), mean, sampler.psi, sampler.cutoff
        )
        noise = noise_images(latents.seeds, stage.resolution)
        made: Tensor = network.synthesis(styles, noise, stage)
        return made


def exportable_sampler(sampler: Sampler) -> Exportable:
    """Return a generator from noise: `noise` (N, latent), or `z` and `seeds`; and `condition`.

    Raises:
        ConfigError: its noise is of a kind that is not known here.
    """
    inputs, checked = (_given(sampler, count) for count in (2, 5))
    about: dict[str, object] = {}
    if sampler.conditions is not None:
        about = {"condition": sampler.conditions.conditions.names}
    return Exportable(
        Generating(sampler),
        inputs[0],
        {},
        ((checked[0], checked[1]),),
        "images" if sampler.images else "points",
        about,
    )


def _given(sampler: Sampler, count: int) -> tuple[Inputs, Tensor]:
    """Return inputs of `count` samples, and what the sampler makes of them."""
    noise, condition = sampler.inputs(count, SEED), sampler.asked(None, 0, count, SEED)
    if isinstance(noise, Tensor):
        inputs = {"noise": noise}
    elif isinstance(noise, Latents):
        inputs = {"z": noise.z, "seeds": noise.seeds}
    else:
        raise ConfigError(
            f"a generator that takes {type(noise).__name__} as its noise cannot be exported"
        )
    if condition is not None:
        inputs["condition"] = condition
    return inputs, torch.cat(list(sampler.floats(noise, condition)))


# ---------------------------------------------------------------------------------- from images


class AloneNorm(nn.Module):
    """Batch normalisation of each image by its own statistics."""

    def __init__(self, norm: nn.BatchNorm2d) -> None:
        super().__init__()
        self.weight, self.bias, self.eps = norm.weight, norm.bias, norm.eps

    def forward(self, x: Tensor) -> Tensor:
        """Return images (N, C, H, W) of mean bias and deviation weight in each channel."""
        x = x - x.mean((2, 3), keepdim=True)
        x = x / (x.square().mean((2, 3), keepdim=True) + self.eps).sqrt()
        return x * self.weight[:, None, None] + self.bias[:, None, None]


def _alone(module: nn.Module) -> None:
    """Let a module normalise each image by itself."""
    for name, child in module.named_children():
        if isinstance(child, nn.BatchNorm2d):
            setattr(module, name, AloneNorm(child))
        else:
            _alone(child)


class Translating(nn.Module):
    """A translator one way: images, and seeds where dropout is on, to images."""

    def __init__(self, translator: Translator) -> None:
        super().__init__()
        role = "generator"
        if isinstance(translator.game, UnpairedGame):
            role = "g_ba" if translator.reverse else "g_ab"
        self.network = standing(translator.game.generators[role], translator.weights[role])
        training = translator.backbone.inference == "training"
        if training:
            _alone(self.network)
        self.train(training)
        self.drops = training and any(
            isinstance(layer, Dropout) and layer.p for layer in self.network.modules()
        )

    def forward(self, *given: Tensor) -> Tensor:
        """Return translations of the inputs of `exportable_translator`."""
        images = given[0]
        seeds = given[1] if self.drops else torch.zeros(images.shape[0], dtype=torch.int64)
        made: Tensor = self.network(images, seeds)
        return made


def exportable_translator(translator: Translator, factor: int) -> Exportable:
    """Return a translator one way: `images` (N, C, H, W) in [-1, 1]; `seeds` (N,) of dropout.

    `factor` is what the sides of images must be multiples of.
    """
    module = Translating(translator)
    own, other = translator.shape[1:], (2 * factor, 3 * factor)
    checks = tuple(_translated(translator, size, module.drops) for size in (own, other))
    example, _ = _translated(translator, (2 * factor, 2 * factor), module.drops)
    return Exportable(
        module, example, {"images": {2: factor, 3: factor}}, checks, "translations", {}
    )


def _translated(
    translator: Translator, size: tuple[int, ...], drops: bool
) -> tuple[Inputs, Tensor]:
    """Return inputs of two images, and what the translator makes of each by itself."""
    stream = torch.Generator().manual_seed(SEED)
    images = torch.rand(2, translator.shape[0], *size, generator=stream) * 2 - 1
    seeds = torch.randint(2**62, (2,), generator=stream)
    training = translator.backbone.inference == "training"
    with torch.no_grad():
        made = [
            translator.game.translate(
                translator.weights,
                images[n : n + 1],
                seeds[n : n + 1],
                translator.reverse,
                training,
            )
            for n in range(2)
        ]
    return {"images": images} | ({"seeds": seeds} if drops else {}), torch.cat(made)
