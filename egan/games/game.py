"""The protocol of a game: what is generated from what, and who judges it.

A game is pure. It holds the networks' functions and what is known of the data, no weights and no
state: weights, random streams and reals are arguments. `egan.games.noise` is the first one.

All that a critic or a generator sees of one sample lies in one row of a batch. Conditions (a label,
the other image of a pair) are rows like any other, so no signature has a special argument for them.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol, TypeVar

import torch
from torch import Tensor

from egan.backbones.function import NetworkFunction
from egan.backbones.networks import Rows
from egan.backbones.progressive.growth import GrowthSchedule, Stage
from egan.data.draws import AnyDraws
from egan.state import Weights
from egan.streams import Purpose
from egan.tensor_tree import filled, leaves

Batch = Mapping[str, Rows]  # aligned rows by name: x | noise | label | a, b
Samples = Mapping[str, Tensor]  # a batch of what critics judge
Verdict = Mapping[str, Tensor]  # what a critic says of samples: `logits` (N, ...), and what else
Genes = Mapping[str, Weights]  # a genome's networks, by role
AnyBatch = TypeVar("AnyBatch", bound=Mapping)
Buffers = Mapping[str, Mapping[str, Tensor]]  # networks' buffers, by role


class Game(Protocol):
    """The members that the engine needs of a game.

    Attributes:
        generators: the networks of a genome, by role.
        critics: the networks that judge, by role; the first one is the population's main critic.
        conditioned: whether fakes take anything from reals, so that each step draws some.
        pools: the shape of the earlier fakes (K, ...) that critics see again, by the fakes' name.
    """

    @property
    def generators(self) -> Mapping[str, NetworkFunction]:
        """See above."""

    @property
    def critics(self) -> Mapping[str, NetworkFunction]:
        """See above."""

    @property
    def conditioned(self) -> bool:
        """See above."""

    @property
    def pools(self) -> Mapping[str, tuple[int, ...]]:
        """See above."""

    def growth(self, batch: int) -> GrowthSchedule | None:
        """Return the schedule of growing networks, or None if they do not grow.

        `batch` is the batch of stages whose batch the config does not give.
        """

    def reals(self, draws: AnyDraws, generation: int, purpose: Purpose) -> Batch:
        """Return a generation's real samples for a purpose, with what belongs to them."""

    def at_stage(self, batch: Batch, stage: Stage | None, shown: int) -> Batch:
        """Return a batch of reals, or of the marginal, as networks get it at a point of training.

        `stage` is that of networks that grow, `shown` the number of reals that critics have seen.
        """

    def inputs(self, count: int, stream: torch.Generator) -> Batch:
        """Draw the noise that `count` fakes are made from, on the CPU."""

    def marginal(
        self, draws: AnyDraws, generation: int, purpose: Purpose, index: tuple[int, ...], count: int
    ) -> Batch:
        """Draw the conditions of `count` fakes from the data's marginal, such as labels; {}: none.

        `purpose` and `index` tell which fakes of a generation they are.
        """

    def conditions(self, reals: Batch) -> Batch:
        """Return the conditions that fakes take from the same number of reals; {}: none."""

    def generate(
        self, genes: Genes, inputs: Batch, stage: Stage | None = None, training: bool = True
    ) -> tuple[Samples, Buffers]:
        """Return the fakes by name, and each generator's buffers after the call, by role."""

    def judge(
        self,
        role: str,
        critic: Weights,
        samples: Batch,
        inputs: Batch,
        stage: Stage | None = None,
    ) -> tuple[Verdict, Mapping[str, Tensor]]:
        """Return a critic's verdict of samples, and its buffers after the call.

        `inputs` holds the samples' conditions. For reals, `inputs` is `samples` again.
        """

    def fixed_loss(
        self,
        genes: Genes,
        inputs: Batch,
        fakes: Samples,
        verdicts: Mapping[str, Verdict],
        stage: Stage | None = None,
    ) -> Tensor | None:
        """Return a loss () that every child descends beside its mutation's; None: there is none.

        Examples are reconstruction, cycle and identity terms, and the classification of fakes, for
        which `verdicts` are the critics', by role. Siblings share its gradient.
        """

    def directions(self, step: int, count: int, stage: Stage | None) -> tuple[int, ...] | None:
        """Return the shape of the normal numbers that `regularisation` takes in a generator's step.

        None: the step has none. `step` counts the steps of the whole run, `count` fakes each.
        """

    def regularisation(
        self,
        genes: Genes,
        inputs: Batch,
        directions: Tensor,
        buffers: Buffers,
        stage: Stage | None = None,
    ) -> tuple[Tensor, Buffers]:
        """Return a loss () that every child descends besides, and the buffers with its own state.

        It is of the generators alone, such as path length regularisation; siblings share it.
        """

    def critic_loss(
        self,
        role: str,
        real: Batch,
        verdict_real: Verdict,
        inputs: Batch,
        verdict_fake: Verdict,
    ) -> Tensor | None:
        """Return a loss () that a critic descends beside its adversarial one; None: there is none.

        `inputs` are what the fakes were made from.
        """

    def reconstruction(self, genes: Genes, inputs: Batch, fakes: Samples) -> Tensor | None:
        """Return how far fakes are from what they should be (); None: nothing says."""


class GameDefaults:
    """The members of a `Game` that most games leave empty."""

    pools: Mapping[str, tuple[int, ...]] = {}

    def marginal(
        self, draws: AnyDraws, generation: int, purpose: Purpose, index: tuple[int, ...], count: int
    ) -> Batch:
        """Return nothing: fakes take nothing from the data at large."""
        return {}

    def directions(self, step: int, count: int, stage: Stage | None) -> tuple[int, ...] | None:
        """Return None: no generator is regularised."""
        return None

    def regularisation(
        self,
        genes: Genes,
        inputs: Batch,
        directions: Tensor,
        buffers: Buffers,
        stage: Stage | None = None,
    ) -> tuple[Tensor, Buffers]:
        """Not asked for, as there are no directions."""
        raise NotImplementedError

    def critic_loss(
        self,
        role: str,
        real: Batch,
        verdict_real: Verdict,
        inputs: Batch,
        verdict_fake: Verdict,
    ) -> Tensor | None:
        """Return None: a critic descends its adversarial loss alone."""
        return None


def rows(batch: Batch, part: slice) -> Batch:
    """Return some rows of a batch."""
    return {name: value[part] for name, value in batch.items()}


def joined(batches: Sequence[AnyBatch]) -> AnyBatch:
    """Return the rows of all batches, one after the other; they have the same names."""
    parts = zip(*map(leaves, batches), strict=True)
    whole: AnyBatch = filled(batches[0], [torch.cat(part) for part in parts])
    return whole
