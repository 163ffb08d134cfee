"""Goodfellow et al., arXiv 1406.2661: samples from noise, one generator, one discriminator."""

from collections.abc import Mapping

import torch
from torch import Tensor

from egan.backbones import Networks
from egan.backbones.function import NetworkFunction
from egan.backbones.progressive.growth import GrowthSchedule, Stage, at_stage
from egan.data.draws import AnyDraws, Draws
from egan.games.game import Batch, Buffers, GameDefaults, Genes, Samples, Verdict
from egan.state import Weights
from egan.streams import Purpose


class NoiseGame(GameDefaults):
    """`generator` maps rows of `noise` to samples `x`, which `discriminator` tells from reals."""

    conditioned = False

    def __init__(self, networks: Networks) -> None:
        self.networks = networks
        self.generators: Mapping[str, NetworkFunction] = {"generator": networks.generator}
        self.critics: Mapping[str, NetworkFunction] = {"discriminator": networks.discriminator}

    def growth(self, batch: int) -> GrowthSchedule | None:
        """Return the schedule of growing networks, or None; see `Game.growth`."""
        return self.networks.growth(batch)

    def reals(self, draws: AnyDraws, generation: int, purpose: Purpose) -> Batch:
        """Return a generation's real samples for a purpose, `x` (N, ...)."""
        assert isinstance(draws, Draws)
        return {"x": draws(generation, purpose)}

    def at_stage(self, batch: Batch, stage: Stage | None, shown: int) -> Batch:
        """Return reals in a stage's resolution."""
        if stage is None or "x" not in batch:
            return batch
        images = batch["x"]
        assert isinstance(images, Tensor)
        return {**batch, "x": at_stage(images, stage)}

    def inputs(self, count: int, stream: torch.Generator) -> Batch:
        """Draw the `noise` of `count` fakes, on the CPU."""
        return {"noise": self.networks.noise(count, stream)}

    def conditions(self, reals: Batch) -> Batch:
        """Return nothing: fakes take nothing from reals."""
        return {}

    def generate(
        self, genes: Genes, inputs: Batch, stage: Stage | None = None, training: bool = True
    ) -> tuple[Samples, Buffers]:
        """Return fakes `x` (N, ...) at `stage`, and the generator's buffers after the call."""
        generator = self.generators["generator"]
        fakes, buffers = generator(
            genes["generator"], inputs["noise"], stage=stage, training=training
        )
        return {"x": fakes}, {"generator": buffers}

    def judge(
        self,
        role: str,
        critic: Weights,
        samples: Batch,
        inputs: Batch,
        stage: Stage | None = None,
    ) -> tuple[Verdict, Mapping[str, Tensor]]:
        """Return the discriminator's `logits` (N,), and its buffers after the call."""
        logits, buffers = self.critics[role](critic, samples["x"], stage=stage)
        return {"logits": logits}, buffers

    def fixed_loss(
        self,
        genes: Genes,
        inputs: Batch,
        fakes: Samples,
        verdicts: Mapping[str, Verdict],
        stage: Stage | None = None,
    ) -> Tensor | None:
        """Return None: a child descends its mutation's loss alone."""
        return None

    def directions(self, step: int, count: int, stage: Stage | None) -> tuple[int, ...] | None:
        """Return what the generator's own regularisation takes; see `Game.directions`."""
        return self.networks.directions(step, count, stage)

    def regularisation(
        self,
        genes: Genes,
        inputs: Batch,
        directions: Tensor,
        buffers: Buffers,
        stage: Stage | None = None,
    ) -> tuple[Tensor, Buffers]:
        """Return the generator's own regularisation, and its buffers with the state of that."""
        condition = inputs.get("condition")
        assert condition is None or isinstance(condition, Tensor)
        loss, changed = self.networks.regularisation(
            genes["generator"], inputs["noise"], condition, directions, stage
        )
        return loss, {"generator": {**buffers["generator"], **changed}}

    def reconstruction(self, genes: Genes, inputs: Batch, fakes: Samples) -> Tensor | None:
        """Return None: nothing says what a fake should be."""
        return None
