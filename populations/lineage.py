"""The evolution so far: the best children, and which operators win."""

from collections import Counter
from collections.abc import Sequence

from deap import tools

from populations.individual import Individual

HALL_SIZE = 10


def same_child(one: Individual, other: Individual) -> bool:
    """Return whether two individuals are the same child of the same generation."""
    return one.generation == other.generation and one.job == other.job


class Lineage:
    """The account of an evolution, updated with every generation's children and survivors.

    `hall_of_fame` is DEAP's. A fitness is relative to what judged its
    generation, so the hall of fame ranks how far children were ahead of that, not their absolute
    worth.
    """

    def __init__(self) -> None:
        self.hall_of_fame = tools.HallOfFame(HALL_SIZE, similar=same_child)
        self.wins: Counter[str] = Counter()
        self.generations = 0

    def update(self, children: Sequence[Individual], survivors: Sequence[Individual]) -> None:
        """Add a generation."""
        self.generations += 1
        self.wins.update(survivor.job.operator for survivor in survivors)
        finite = [child for child in children if child.score.finite]
        if all(child.fitness.valid for child in finite):  # else they were not scored
            self.hall_of_fame.update(finite)

    def shares(self) -> dict[str, float]:
        """Return each operator's share of all survivors so far."""
        total = self.wins.total()
        return {name: count / total for name, count in sorted(self.wins.items())}
