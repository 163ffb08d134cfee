"""A StyleGAN generator of a sampler, entered at W."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from egan.backbones.function import NetworkFunction
from egan.backbones.progressive.growth import Stage
from egan.backbones.progressive.networks import check_stage
from egan.backbones.stylegan.latents import every_layer, layers
from egan.backbones.stylegan.networks import Generator
from egan.backbones.stylegan.noise import noise_images
from egan.backbones.stylegan.styles import map_latents, synthesise, tracked_mean, truncate
from egan.state import Weights
from runs.common.errors import ConfigError
from runs.sampling.sampler import BATCH, PIXELS, Sampler


@dataclass(frozen=True)
class StyledGenerator:
    """A StyleGAN generator at a stage, entered at W."""

    function: NetworkFunction
    weights: Weights
    stage: Stage
    psi: float | None
    cutoff: int | None
    faded: Callable[[Tensor | None], Tensor | None]  # what it is told in place of conditions

    @classmethod
    def of(cls, sampler: Sampler, tool: str, hint: str = "") -> "StyledGenerator":
        """Return a sampler's generator; `hint` ends the message where it cannot be.

        Raises:
            ConfigError: it has no styles, which `tool` needs.
        """
        function = sampler.function
        if not isinstance(function.module, Generator):
            raise ConfigError(
                f"{tool} needs a generator with styles (backbone.name: stylegan); this run's has "
                f"none{hint}"
            )
        stage = check_stage(sampler.stage, function.module.resolution)
        weights = sampler.weights["generator"]
        return cls(function, weights, stage, sampler.psi, sampler.cutoff, sampler.faded)

    @property
    def layers(self) -> int:
        """Return how many layers take a style."""
        return layers(self.stage.resolution)

    def map(self, z: Tensor, conditions: Tensor | None = None) -> Tensor:
        """Return w (N, style) of z (N, latent), and of conditions (N, size) if it takes any."""
        with torch.no_grad():
            return map_latents(self.function, self.weights, z, self.faded(conditions))

    def styles(self, w: Tensor, conditions: Tensor | None = None) -> Tensor:
        """Return w (N, style) as every layer's styles (N, layers, style), truncated if asked.

        With conditions (N, size) the truncation is towards the mean of each one's class.
        """
        styles = every_layer(w, self.layers)
        if self.psi is None:
            return styles
        mean = tracked_mean(self.weights, self.faded(conditions))
        return truncate(styles, mean, self.psi, self.cutoff)

    def parts(self, styles: Tensor, seeds: Tensor) -> Iterator[Tensor]:
        """Yield images (n, C, r, r) in [-1, 1], a few at a time.

        They are of styles (N, layers, style) and the noise's seeds (N,).
        """
        side = self.stage.resolution
        step = min(BATCH, max(1, PIXELS // side**2))
        for at in range(0, len(styles), step):
            noise = noise_images(seeds[at : at + step], side)
            rows = styles[at : at + step]
            with torch.no_grad():
                yield synthesise(self.function, self.weights, rows, noise, self.stage)
