"""Mirza and Osindero, arXiv 1411.1784: samples from noise and a condition, judged with it.

min over G, max over D of E[log D(x | y)] + E[log(1 - D(G(z | y) | y))]. Fakes' conditions y are
drawn from the data's own, the same for all siblings. How networks take y is the backbone's matter.
"""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from egan.backbones import Networks
from egan.backbones.progressive.growth import Stage
from egan.data.condition import Conditions
from egan.data.draws import AnyDraws, Draws
from egan.games.game import Batch, Buffers, Genes, Samples, Verdict
from egan.games.noise import NoiseGame
from egan.games.rules import GameRules
from egan.state import Weights
from egan.streams import Purpose


class ConditionalGame(NoiseGame):
    """The game of noise, in which every sample `x` has a `condition` (N, size).

    Attributes:
        condition: what a condition vector means.
    """

    def __init__(self, networks: Networks, condition: Conditions, rules: GameRules) -> None:
        super().__init__(networks)
        self.condition = condition
        self.rules = rules

    def reals(self, draws: AnyDraws, generation: int, purpose: Purpose) -> Batch:
        """Return a generation's real samples for a purpose, and their conditions."""
        assert isinstance(draws, Draws)
        condition = draws.conditions(generation, purpose)
        return {**super().reals(draws, generation, purpose), "condition": condition}

    def at_stage(self, batch: Batch, stage: Stage | None, shown: int) -> Batch:
        """Return reals in a stage's resolution; conditions are faded in."""
        return {
            **super().at_stage(batch, stage, shown),
            "condition": self.faded(_tensor(batch["condition"]), shown),
        }

    def faded(self, condition: Tensor, shown: int) -> Tensor:
        """Return conditions (N, size) as networks get them after `shown` reals, faded in.

        Unconditional training survives on data that are too few for conditional training at once
        (Shahbazi et al., 2201.06578). So all conditions are their mean at first, which tells
        nothing, and become themselves linearly: (1 - t) mean(y) + t y.
        """
        share = self.share(shown)
        if share == 1:
            return condition
        mean = torch.tensor(self.condition.mean, dtype=condition.dtype, device=condition.device)
        return mean.lerp(condition, share)

    def share(self, shown: int) -> float:
        """Return how far conditions have faded in after `shown` reals: from 0 to 1."""
        ramp = self.rules.condition_ramp
        return shown / ramp if shown < ramp else 1.0

    def marginal(
        self, draws: AnyDraws, generation: int, purpose: Purpose, index: tuple[int, ...], count: int
    ) -> Batch:
        """Draw the conditions of `count` fakes from those of the data."""
        assert isinstance(draws, Draws)
        return {"condition": draws.marginal(count, generation, purpose, *index)}

    def generate(
        self, genes: Genes, inputs: Batch, stage: Stage | None = None, training: bool = True
    ) -> tuple[Samples, Buffers]:
        """Return fakes `x` (N, ...) of noise and conditions, and the generator's buffers."""
        given = inputs["noise"], inputs["condition"]
        generator = self.generators["generator"]
        fakes, buffers = generator(genes["generator"], *given, stage=stage, training=training)
        return {"x": fakes}, {"generator": buffers}

    def judge(
        self,
        role: str,
        critic: Weights,
        samples: Batch,
        inputs: Batch,
        stage: Stage | None = None,
    ) -> tuple[Verdict, Mapping[str, Tensor]]:
        """Return the discriminator's verdict of samples with their conditions, and its buffers.

        With `ac_weight` it is not told the condition; then its verdict has the logits `classes`
        (N, size), too.
        """
        if not self.rules.ac_weight:
            given = samples["x"], inputs["condition"]
            logits, buffers = self.critics[role](critic, *given, stage=stage)
            return {"logits": logits}, buffers
        output, buffers = self.critics[role](critic, samples["x"], stage=stage)
        return {"logits": output[:, 0], "classes": output[:, 1:]}, buffers

    def fixed_loss(
        self,
        genes: Genes,
        inputs: Batch,
        fakes: Samples,
        verdicts: Mapping[str, Verdict],
        stage: Stage | None = None,
    ) -> Tensor | None:
        """Return the weighted cross entropy of D's predictions of the fakes' conditions."""
        if not self.rules.ac_weight:
            return None
        return self.rules.ac_weight * self._mistaken(verdicts["discriminator"], inputs)

    def critic_loss(
        self,
        role: str,
        real: Batch,
        verdict_real: Verdict,
        inputs: Batch,
        verdict_fake: Verdict,
    ) -> Tensor | None:
        """Return the weighted cross entropy of D's predictions of reals' and of fakes' conditions.

        AC-GAN, Odena et al., 1610.09585: L_C = -E[log P(y | x)] - E[log P(y | G(z, y))].
        """
        if not self.rules.ac_weight:
            return None
        wrong = self._mistaken(verdict_real, real) + self._mistaken(verdict_fake, inputs)
        return self.rules.ac_weight * wrong

    def _mistaken(self, verdict: Verdict, batch: Batch) -> Tensor:
        """Return the cross entropy () of classes, or the mean of each tag's."""
        logits, condition = verdict["classes"], _tensor(batch["condition"])
        if self.condition.kind == "labels":
            return cross_entropy(logits, condition)
        return binary_cross_entropy_with_logits(logits, condition)


def _tensor(rows: object) -> Tensor:
    assert isinstance(rows, Tensor)
    return rows
