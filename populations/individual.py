"""Individuals as plain values: which child, of which parents, by which operator, how good.

An individual does not hold what evolves. It has a few bytes, so DEAP may copy it freely, and it can
be sent to any worker.
"""

import math
from dataclasses import dataclass
from typing import Any

from deap import base


@dataclass(frozen=True, slots=True)
class Operator:
    """What makes children: its name, and how many it takes.

    A mutation takes one parent; a crossover takes two of the children that mutations have made.
    """

    name: str
    arity: int = 1


@dataclass(frozen=True, slots=True)
class Job:
    """One child to be made.

    Attributes:
        index: its place among all children that the parents and operators can make.
        parents: as many as the operator takes: of a mutation the place of the parent; of a
            crossover the indices of two mutations' jobs in the same generation, the better first.
        operator: the name of what varies them.
    """

    index: int
    parents: tuple[int, ...]
    operator: str

    @property
    def origin(self) -> str:
        """What it is made of, to read."""
        if len(self.parents) == 1:
            return f"parent {self.parents[0]}"
        return f"children {' and '.join(map(str, self.parents))}"


@dataclass(frozen=True, slots=True)
class Score:
    """A child's objectives, each to be maximised, or why it has none.

    Where there was nothing to choose, a child is not scored: no values and no failure.
    """

    values: tuple[float, ...]
    failure: str | None = None

    @property
    def finite(self) -> bool:
        """Return whether the child may survive: it did not fail and no objective is infinite."""
        return self.failure is None and all(map(math.isfinite, self.values))


class Maximise(base.Fitness):  # type: ignore[misc]
    """Any number of objectives, each to be maximised and none of them preferred."""

    def __init__(self, values: tuple[float, ...] = ()) -> None:
        self.weights = (1.0,) * len(values)
        super().__init__(values)

    def __deepcopy__(self, memo: dict[int, Any]) -> "Maximise":
        return Maximise(self.values)


@dataclass
class Individual:
    """A child as DEAP's object: its job, its score, and the fitness that selection compares."""

    generation: int
    job: Job
    score: Score
    fitness: base.Fitness
