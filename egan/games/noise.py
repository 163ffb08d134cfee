"""Unconditional generation: samples from latent noise."""

from collections.abc import Mapping

import torch
from torch import Tensor

from egan.backbones import Inputs, Networks
from egan.backbones.function import NetworkFunction
from egan.backbones.progressive.growth import Stage
from egan.state import Weights


class NoiseTask:
    """One network, `generator`, maps rows of noise to fakes."""

    def __init__(self, networks: Networks) -> None:
        self._networks = networks
        self.functions: dict[str, NetworkFunction] = {"generator": networks.generator}

    def inputs(self, count: int, generator: torch.Generator) -> Inputs:
        """Draw what `count` fakes are made from, on the CPU."""
        return self._networks.noise(count, generator)

    def generate(
        self,
        weights: Mapping[str, Weights],
        inputs: Inputs,
        stage: Stage | None = None,
        training: bool = True,
    ) -> tuple[Tensor, dict[str, dict[str, Tensor]]]:
        """Return fakes (N, ...) at `stage`, and each network's buffers after the call, by role."""
        fakes, buffers = self.functions["generator"](
            weights["generator"], inputs, stage=stage, training=training
        )
        return fakes, {"generator": buffers}
