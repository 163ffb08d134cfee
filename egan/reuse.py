"""The critics' last fakes, on which the parent is varied next (`population.reuse_fakes`).

Most GAN programs compute G(z) once: D is trained on these fakes, then G on the same. Here, too, the
parent's forward pass is kept with its graph from D's last update to the next variation. It is no
state: where it is lost, it is computed again, with the same bits. So it is in each generation where
steps are recorded as CUDA graphs, for a recording's results have no graph.
"""

from collections.abc import Callable
from dataclasses import dataclass

from egan import gradients
from egan.context import Context
from egan.critics import seen_in
from egan.games.game import Batch, Genes, Samples
from egan.gradients import Forward
from egan.streams import Purpose


@dataclass(frozen=True)
class LastFakes:
    """What the critics saw in their last update before `generation`.

    Attributes:
        generation: the one whose variation takes it.
        parent: what makes the fakes.
        reals: the update's.
        inputs: of the fakes.
        forward: the call that made them, with its graph; None where calls are recorded.
    """

    generation: int
    parent: Genes
    reals: Batch
    inputs: Batch
    forward: Forward | None


class Reuse:
    """Makes the critics' last fakes, and hands them to the variation that follows."""

    def __init__(self, updates: int, keep: bool) -> None:
        """Prepare for critics that take `updates` steps; do not `keep` graphs of recorded calls."""
        self._updates = updates
        self._keep = keep
        self._kept: LastFakes | None = None

    def make(self, context: Context, reals: Batch, parent: Genes) -> Samples | None:
        """Return the fakes of the critics' last update on `reals`; None: they make them."""
        if not self._keep:
            return None
        made = self._kept = self._made(context, reals, context.generation + 1, parent)
        assert made.forward is not None
        return {name: fakes.detach() for name, fakes in made.forward.fakes.items()}

    def take(
        self, context_of: Callable[[int], Context], generation: int, parent: Genes
    ) -> LastFakes:
        """Return what a generation's variation takes: made before, or made now.

        Before the first update of all, generation 0 takes that update's inputs.
        """
        kept, self._kept = self._kept, None  # its graph is let go after one use
        if kept is not None and kept.generation == generation and _same(kept.parent, parent):
            return kept
        before = context_of(max(generation - 1, 0))
        return self._made(before, before.reals(Purpose.DISCRIMINATOR_DATA), generation, parent)

    def _made(self, context: Context, reals: Batch, generation: int, parent: Genes) -> LastFakes:
        reals, inputs = seen_in(context, reals, self._updates - 1)
        forward = gradients.forward(context, parent, inputs) if self._keep else None
        return LastFakes(generation, parent, reals, inputs, forward)


def _same(a: Genes, b: Genes) -> bool:
    """Tell whether genes are the very same tensors."""
    return all(a[role] is weights for role, weights in b.items())
