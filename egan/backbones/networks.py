"""What every backbone gives the engine."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from egan.backbones.function import NetworkFunction

Prior = Literal["normal", "uniform"]


@dataclass(frozen=True)
class Networks:
    """The generator z (N, latent) -> fakes, and the discriminator samples -> logits (N,)."""

    generator: NetworkFunction
    discriminator: NetworkFunction
    latent: int
    prior: Prior

    def noise(self, count: int, generator: torch.Generator) -> Tensor:
        """Return z (count, latent), normal or uniform in (-1, 1), drawn on the CPU.

        The CPU draws for every device, so that a run sees the same noise wherever it runs.
        """
        if self.prior == "uniform":
            return torch.rand(count, self.latent, generator=generator) * 2 - 1
        return torch.randn(count, self.latent, generator=generator)


def refuse(backbone: str, shape: tuple[int, ...], needs: str, remedy: str) -> ValueError:
    """Return the error for data of a shape that a backbone cannot make."""
    size = " x ".join(map(str, shape))
    return ValueError(
        f"backbone.name: {backbone} makes {needs}, but the data's samples are {size}; {remedy}"
    )
