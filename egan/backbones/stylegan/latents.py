"""The inputs of StyleGAN's generator, and which layers take which style."""

from dataclasses import dataclass

import torch
from torch import Tensor

from egan.backbones.progressive.growth import LOWEST, doublings


@dataclass(frozen=True)
class Latents:
    """The inputs of N images, one row each.

    `z` (N, latent); `seeds` (N,) int64, of the per-pixel noise; for style mixing, `z2` (N, latent)
    and `crossover` (N,) in [0, 1]: where among the layers the styles of z give way to those of z2.
    It is relative, for the number of layers grows: 0 is after the first layer, 1 is nowhere.
    """

    z: Tensor
    seeds: Tensor
    z2: Tensor | None = None
    crossover: Tensor | None = None

    def __len__(self) -> int:
        return len(self.z)

    def __getitem__(self, rows: slice) -> "Latents":
        second, place = self.z2, self.crossover
        return Latents(
            self.z[rows],
            self.seeds[rows],
            None if second is None else second[rows],
            None if place is None else place[rows],
        )


def draw_latents(count: int, latent: int, mixing: float, generator: torch.Generator) -> Latents:
    """Draw `count` rows on the CPU; each mixes two latents with probability `mixing`."""
    z = torch.randn(count, latent, generator=generator)
    seeds = torch.randint(2**62, (count,), generator=generator)
    if not mixing:
        return Latents(z, seeds)
    z2 = torch.randn(count, latent, generator=generator)
    place, mixed = torch.rand(2, count, generator=generator)
    return Latents(z, seeds, z2, torch.where(mixed < mixing, place, 1.0))


# ----------------------------------------------------------------------------------- styles in W


def layers(resolution: int) -> int:
    """Return the styled layers up to `resolution`, two for each: 18 for 1024 pixels."""
    return 2 * len(doublings(LOWEST, resolution))


def every_layer(w: Tensor, count: int) -> Tensor:
    """Return w (N, style) as the styles of `count` layers, (N, count, style)."""
    return w[:, None].expand(-1, count, -1)


def crossover_layer(crossover: Tensor, count: int) -> Tensor:
    """Return the first layer (N,) of `count` that takes the second style: 1, ..., count - 1.

    At a crossover of 1 it is `count`: no layer does.
    """
    return 1 + (crossover * (count - 1)).long()


def mix(first: Tensor, second: Tensor, crossover: Tensor) -> Tensor:
    """Style mixing, 1812.04948, section 3.1: `first` up to the layer `crossover`, then `second`.

    The styles are (N, layers, style), one for each layer, and `crossover` (N,) counts layers.
    """
    layer = torch.arange(first.shape[1], device=first.device)
    return torch.where((layer < crossover[:, None])[:, :, None], first, second)
