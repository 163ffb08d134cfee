"""What a run spends, on six axes, and how many generations a budget on one of them buys.

Evolution makes several children where a control makes one, so "equal generations" favours it and
"equal generator steps" makes it pay. Which of them is fair depends on what is scarce; a study fixes
one and reports quality against all.
"""

from bisect import bisect_right
from collections.abc import Mapping
from typing import Literal, get_args

from pydantic import BaseModel, Field, model_validator

from egan.schedule import Schedule
from runs.config.schema import RunConfig
from runs.store.lines import Entry

Axis = Literal[
    "generations", "discriminator_updates", "generator_steps", "steps", "images", "seconds"
]
AXES: tuple[Axis, ...] = get_args(Axis)
COUNTED = AXES[:-1]  # a function of the config and the seed; seconds differ from time to time
UNLIMITED = 10**9  # generations, where seconds decide


class BudgetConfig(BaseModel, extra="forbid", frozen=True):
    """How much every run of a study may spend: exactly one of these."""

    generations: int | None = Field(None, ge=1)
    discriminator_updates: int | None = Field(
        None, ge=1, description="optimiser steps of the discriminator"
    )
    generator_steps: int | None = Field(
        None, ge=1, description="optimiser steps of all children, also of those that do not survive"
    )
    steps: int | None = Field(
        None, ge=1, description="optimiser steps of all children and of the discriminator"
    )
    images: int | None = Field(None, ge=1, description="real images shown to the discriminator")
    seconds: float | None = Field(
        None, gt=0, description="time of the generations, without start, scorings and snapshots"
    )

    @model_validator(mode="after")
    def _exactly_one(self) -> "BudgetConfig":
        given = [axis for axis in AXES if getattr(self, axis) is not None]
        if len(given) != 1:
            raise ValueError(
                f"exactly one of {', '.join(AXES)} is needed; {', '.join(given) or 'none'} arrived"
            )
        return self

    @property
    def axis(self) -> Axis:
        """The axis that is limited."""
        return next(axis for axis in AXES if getattr(self, axis) is not None)

    @property
    def amount(self) -> float:
        """The limit on that axis."""
        return float(getattr(self, self.axis))

    def __str__(self) -> str:
        return f"{self.amount:,.10g} {self.axis.replace('_', ' ')}"


def cost(config: RunConfig, generations: int) -> dict[Axis, int]:
    """Return what the first `generations` of a run cost on every axis that can be counted.

    Networks that grow may be shown another number of images at every stage.
    """
    updates = generations * config.discriminator.updates
    children = generations * config.children * config.population.steps
    return {
        "generations": generations,
        "discriminator_updates": updates,
        "generator_steps": children,
        "steps": updates + children,
        "images": Schedule.counting(config).shown(generations),
    }


def generations_within(budget: BudgetConfig, config: RunConfig) -> int:
    """Return how many generations of a config a budget buys; `UNLIMITED` where seconds decide."""
    if budget.axis == "seconds":
        return UNLIMITED
    longest = range(int(budget.amount) + 2)  # a generation costs at least 1 on every axis
    return bisect_right(longest, budget.amount, key=lambda g: cost(config, g)[budget.axis]) - 1


def seconds_of(phases: Mapping[str, float]) -> float:
    """Return a generation's seconds of evolving: its phases, without scoring and snapshots."""
    return sum(spent for phase, spent in phases.items() if phase != "total")


class Spent:
    """A running account of what a run has spent, fed with its journal."""

    def __init__(self, config: RunConfig) -> None:
        self._config = config
        self._children = 0
        self._first: int | None = None  # of a fork, not 0
        self.generations = 0
        self.seconds = 0.0

    def add(self, entry: Entry) -> None:
        """Add a generation; one that was added before is passed over."""
        if entry.generation < self.generations:
            return
        self._first = entry.generation if self._first is None else self._first
        self.generations = entry.generation + 1
        self._children += len(entry.jobs)
        self.seconds += seconds_of(entry.seconds)

    def values(self) -> dict[str, float]:
        """Return what was spent so far, on every axis."""
        before = cost(self._config, self._first or 0)
        counted: dict[str, float] = {
            axis: float(spent - before[axis])
            for axis, spent in cost(self._config, self.generations).items()
        }
        counted["generator_steps"] = float(self._children * self._config.population.steps)
        counted["steps"] = counted["generator_steps"] + counted["discriminator_updates"]
        return {**counted, "seconds": self.seconds}
