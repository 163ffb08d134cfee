"""What one generation is computed with: the game, the stage, the reals, the random streams."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from egan.backbones.progressive.growth import Stage
from egan.data.draws import Draws
from egan.determinism import send
from egan.games.game import Batch, Buffers, Game, Genes, Samples
from egan.state import Weights
from egan.streams import Purpose, torch_stream


@dataclass(frozen=True)
class Context:
    """Everything that the computations of one generation share.

    Attributes:
        generation: its number.
        stage: how far the networks are grown; None: they do not grow.
        batch: number of fakes in a step of a mutation, and in a step of a critic.
        shown: number of reals that the critics were trained on before.
        game: what is generated from what.
        draws: gives the reals.
        device: where everything is computed.
    """

    generation: int
    stage: Stage | None
    batch: int
    shown: int
    game: Game
    draws: Draws
    device: torch.device

    def generate(self, genes: Genes, inputs: Batch) -> tuple[Samples, Buffers]:
        """Return the fakes by name, and each generator's buffers after the call, by role."""
        return self.game.generate(genes, inputs, self.stage)

    def judge(
        self, role: str, critic: Weights, samples: Batch, inputs: Batch
    ) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Return a critic's logits (N, ...), and its buffers after the call."""
        return self.game.judge(role, critic, samples, inputs, self.stage)

    def reals(self, purpose: Purpose) -> Batch:
        """Return the generation's reals for a purpose."""
        reals = send(self.game.reals(self.draws, self.generation, purpose), self.device)
        return reals if self.stage is None else self.game.at_stage(reals, self.stage)

    def inputs(self, count: int, stream: torch.Generator, reals: Batch) -> Batch:
        """Return the inputs of `count` fakes; their conditions, if any, come from `reals`."""
        drawn = send(self.game.inputs(count, stream), self.device)
        return {**drawn, **self.game.conditions(reals)}

    def stream(self, purpose: Purpose, *index: int) -> torch.Generator:
        """Return the random stream of a purpose in this generation."""
        return torch_stream(self.draws.seed, self.generation, purpose, *index)
