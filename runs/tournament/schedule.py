"""The plan of a tournament: its rounds, and what each costs, before anything runs.

The budget is counted in optimiser steps, of generators and discriminators alike, of all islands.
Each stage gets an equal share of it; in it fewer islands train longer. A judgement is charged a
step for each batch of samples that it takes. Nothing depends on the time that anything takes.
"""

from dataclasses import dataclass
from math import ceil
from typing import Literal

from runs.common.errors import ConfigError
from runs.config.schema import RunConfig
from runs.tournament.config import TournamentConfig

Ending = Literal["event", "check", "halve", "end"]


@dataclass(frozen=True)
class Round:
    """A round: the training of islands up to a decision, and the kind of the decision.

    Attributes:
        stage: counted from 0.
        islands: how many train.
        steps: optimiser steps of each.
        ending: the worst copy the best; or the last stage is watched; or islands are dropped; or
            all is done.
        left: how many islands there are after the decision.
    """

    stage: int
    islands: int
    steps: int
    ending: Ending
    left: int


@dataclass(frozen=True)
class Plan:
    """The rounds of a tournament.

    Attributes:
        rounds: one after the other.
        judgement: what the judgement of one island costs, in steps.
        stages: how many islands train in each stage.
    """

    rounds: tuple[Round, ...]
    judgement: int
    stages: tuple[int, ...]

    @property
    def last_stage(self) -> int:
        """The number of the last stage."""
        return len(self.stages) - 1

    @property
    def verdict(self) -> int:
        """The steps of the last choice: two states are judged with other draws."""
        return 2 * self.judgement

    def spent(self, rounds: int) -> int:
        """Return the steps of the first rounds at most; after the last, with the last choice."""
        done = self.rounds[:rounds]
        cost = sum(each.islands * (each.steps + self.judgement) for each in done)
        return cost + (self.verdict if rounds == len(self.rounds) else 0)

    def steps_left(self, number: int) -> int:
        """Return the steps of an island from the beginning of a round to the end of its stage."""
        stage = self.rounds[number].stage
        return sum(each.steps for each in self.rounds[number:] if each.stage == stage)


def stages_of(config: TournamentConfig) -> tuple[int, ...]:
    """Return how many islands train in each stage."""
    if not config.schedule.halves:
        return (config.count,)
    counts = [config.count]
    while counts[-1] > 1:
        counts.append(counts[-1] // 2)
    return tuple(counts)


def steps_of_generation(config: RunConfig) -> int:
    """Return the optimiser steps of a generation: of all children, and of the discriminator."""
    return config.children * config.population.steps + config.discriminator.updates


def budget_of(config: TournamentConfig, base: RunConfig) -> int:
    """Return the steps of a tournament: by default those of one run of its base."""
    return config.steps or base.generations * steps_of_generation(base)


def plan_of(config: TournamentConfig, base: RunConfig) -> Plan:
    """Return the rounds that a budget buys.

    Raises:
        ConfigError: it does not buy one generation in each round.
    """
    stages, budget = stages_of(config), budget_of(config, base)
    judgement = ceil(config.judge.samples / base.population.batch)
    rounds: list[Round] = []
    for stage, count in enumerate(stages):
        last = stage == len(stages) - 1
        share = budget // len(stages) - (2 * judgement if last else 0)
        parts = _parts(config, share // count, count, last)
        steps = (share // count - parts * judgement) // parts
        if steps < steps_of_generation(base):
            raise ConfigError(_too_small(config, base, stages, judgement, budget))
        inside: Ending = "event" if _has_events(config, count) else "check"
        after = 1 if last else stages[stage + 1]
        endings: list[Ending] = [inside] * (parts - 1) + ["end" if last else "halve"]
        rounds += [
            Round(stage, count, steps, ending, after if place == parts - 1 else count)
            for place, ending in enumerate(endings)
        ]
    return Plan(tuple(rounds), judgement, stages)


def _has_events(config: TournamentConfig, count: int) -> bool:
    return config.schedule.copies and count > 1


def _parts(config: TournamentConfig, steps: int, count: int, last: bool) -> int:
    """Return in how many rounds a stage is divided, in which an island has so many steps."""
    if _has_events(config, count):
        interval = config.schedule.interval
        return 2 if interval == "once" else max(1, steps // interval)
    if last and count == 1 and config.insurance.enabled:
        return config.insurance.checks
    return 1


def _too_small(
    config: TournamentConfig, base: RunConfig, stages: tuple[int, ...], judgement: int, budget: int
) -> str:
    generation = steps_of_generation(base)
    least = 0
    for stage, count in enumerate(stages):
        last = stage == len(stages) - 1
        parts = 2 if config.schedule.interval != "once" else _parts(config, 0, count, last)
        least = max(least, count * parts * (judgement + generation) + 2 * judgement * last)
    return (
        f"steps: {budget:,} are too few for {config.count} islands in {len(stages)} stage(s), in "
        f"which each judgement costs {judgement} steps and each generation {generation}; at least "
        f"about {least * len(stages):,} are needed. Give more steps, or fewer islands by --count"
    )
