"""The evolution so far: statistics, the best children, and which operators win."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from deap import tools

from populations.individual import Individual

LOGBOOK_LENGTH = 1000  # records kept in memory; the journal on disk has them all
HALL_SIZE = 10


def same_child(one: Individual, other: Individual) -> bool:
    """Return whether two individuals are the same child of the same generation."""
    return one.generation == other.generation and one.job == other.job


class Lineage:
    """Statistics of an evolution, updated with every generation's children and survivors.

    `logbook` and `hall_of_fame` are DEAP's. A fitness is relative to what judged its
    generation, so the hall of fame ranks how far children were ahead of that, not their absolute
    worth.
    """

    def __init__(self) -> None:
        self.logbook = tools.Logbook()
        self.logbook.header = ["generation", "children", "failed", "max", "mean", "min"]
        self.hall_of_fame = tools.HallOfFame(HALL_SIZE, similar=same_child)
        self.wins: Counter[str] = Counter()
        self.generations = 0
        self._statistics = tools.Statistics(lambda individual: individual.fitness.values)
        for name, function in (("max", np.max), ("mean", np.mean), ("min", np.min)):
            self._statistics.register(name, lambda values, f=function: f(values, axis=0).tolist())

    def update(self, children: Sequence[Individual], survivors: Sequence[Individual]) -> None:
        """Add a generation."""
        self.generations += 1
        self.wins.update(survivor.job.operator for survivor in survivors)
        finite = [child for child in children if child.score.finite]
        if not all(child.fitness.valid for child in finite):
            return  # the children were not scored
        self.hall_of_fame.update(finite)
        self.logbook.record(
            generation=children[0].generation,
            children=len(children),
            failed=len(children) - len(finite),
            **self._statistics.compile(finite),
        )
        if len(self.logbook) > LOGBOOK_LENGTH:
            self.logbook.pop(0)

    def shares(self) -> dict[str, float]:
        """Return each operator's share of all survivors so far."""
        total = self.wins.total()
        return {name: count / total for name, count in sorted(self.wins.items())}
