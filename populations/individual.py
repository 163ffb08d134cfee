"""Individuals as plain values: which child, of which parent, by which mutation, how good.

Networks never enter here: an individual is a handle of a few bytes, so DEAP may copy it freely and
it travels to any worker.
"""

import math
from dataclasses import dataclass
from typing import ClassVar

from deap import base


@dataclass(frozen=True, slots=True)
class Job:
    """One child to be made: `index` is its place in the full grid of parents x mutations."""

    index: int
    parent: int
    mutation: str


@dataclass(frozen=True, slots=True)
class Score:
    """A child's objectives, each to be maximised, or why it has none."""

    values: tuple[float, ...]
    failure: str | None = None

    @property
    def finite(self) -> bool:
        """Return whether the child was scored and every objective is a finite number."""
        return self.failure is None and all(map(math.isfinite, self.values))


class Maximise(base.Fitness):  # type: ignore[misc]
    """One number, the larger the better."""

    weights: ClassVar[tuple[float, ...]] = (1.0,)


class MaximiseBoth(base.Fitness):  # type: ignore[misc]
    """Two objectives, neither of them preferred."""

    weights: ClassVar[tuple[float, ...]] = (1.0, 1.0)


@dataclass
class Individual:
    """What DEAP sees of a child: its job, its score, and the fitness that selection compares."""

    generation: int
    job: Job
    score: Score
    fitness: base.Fitness
