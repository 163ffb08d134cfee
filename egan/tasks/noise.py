"""Unconditional generation: samples from latent noise."""

from collections.abc import Mapping

import torch
from torch import Tensor

from egan.backbones import Networks
from egan.backbones.function import NetworkFunction
from egan.state import Weights


class NoiseTask:
    """One network, `generator`, maps z (N, latent) to fakes."""

    def __init__(self, networks: Networks) -> None:
        self._networks = networks
        self.functions: dict[str, NetworkFunction] = {"generator": networks.generator}

    def inputs(self, count: int, generator: torch.Generator) -> Tensor:
        """Draw what `count` fakes are made from, on the CPU."""
        return self._networks.noise(count, generator)

    def generate(
        self, weights: Mapping[str, Weights], inputs: Tensor, training: bool = True
    ) -> tuple[Tensor, dict[str, dict[str, Tensor]]]:
        """Return fakes (N, ...), and each network's buffers after the call, by role."""
        fakes, buffers = self.functions["generator"](
            weights["generator"], inputs, training=training
        )
        return fakes, {"generator": buffers}
