"""The context of one generation: the game, the stage, the reals, the random streams."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from egan.augment import Draws, draw
from egan.backbones.progressive.growth import Stage
from egan.data.draws import AnyDraws
from egan.determinism import send
from egan.discriminator import DiscriminatorConfig
from egan.games.game import Batch, Buffers, Game, Genes, Samples, Verdict, rows
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
    draws: AnyDraws
    device: torch.device

    def generate(self, genes: Genes, inputs: Batch) -> tuple[Samples, Buffers]:
        """Return the fakes by name, and each generator's buffers after the call, by role."""
        return self.game.generate(genes, inputs, self.stage)

    def judge(
        self, role: str, critic: Weights, samples: Batch, inputs: Batch
    ) -> tuple[Verdict, Mapping[str, Tensor]]:
        """Return a critic's verdict of samples, and its buffers after the call."""
        return self.game.judge(role, critic, samples, inputs, self.stage)

    def reals(self, purpose: Purpose) -> Batch:
        """Return the generation's reals for a purpose."""
        reals = send(self.game.reals(self.draws, self.generation, purpose), self.device)
        return self.game.at_stage(reals, self.stage, self.shown)

    def batch_of(self, reals: Batch, step: int) -> Batch:
        """Return the rows of a generation's reals that a step takes."""
        return rows(reals, slice(step * self.batch, (step + 1) * self.batch))

    def inputs(
        self,
        count: int,
        purpose: Purpose,
        index: tuple[int, ...],
        reals: Batch,
        own: tuple[int, ...] | None = None,
    ) -> Batch:
        """Return the inputs of `count` fakes; conditions that belong to reals come from `reals`.

        `index` tells which fakes of the purpose they are, and `own`, if given, whose noise it is:
        siblings with noise of their own have the same conditions.
        """
        noise = self.game.inputs(count, self.stream(purpose, *(own or index)))
        marginal = self.game.marginal(self.draws, self.generation, purpose, index, count)
        drawn = send({**noise, **marginal}, self.device)
        return {
            **self.game.at_stage(drawn, self.stage, self.shown),
            **self.game.conditions(reals),
        }

    def changes(self, config: DiscriminatorConfig, *index: int) -> Draws | None:
        """Draw what changes all images that D sees in a step; None: they are not augmented.

        `index` tells which step it is. Row i of the reals is changed as row i of the fakes.
        """
        if config.augment == "none":
            return None
        stream = self.stream(Purpose.AUGMENT, *index)
        return send(draw(self.batch, config.strength, stream), self.device)

    def directions(self, steps: int, step: int) -> Tensor | None:
        """Draw what a regularisation takes in one of a generation's `steps`; None: it has none."""
        taken = self.generation * steps + step
        shape = self.game.directions(taken, self.batch, self.stage)
        if shape is None:
            return None
        drawn = torch.randn(shape, generator=self.stream(Purpose.DIRECTIONS, step))
        return send(drawn, self.device)

    def stream(self, purpose: Purpose, *index: int) -> torch.Generator:
        """Return the random stream of a purpose in this generation."""
        return torch_stream(self.draws.seed, self.generation, purpose, *index)
