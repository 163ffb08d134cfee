"""A study: what is compared, with what seeds, at what price; the config of each of its runs."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from egan.schedule import Schedule
from fitness.metrics.names import nearest_name
from runs.common.errors import ConfigError
from runs.common.formats import STAMP
from runs.config.loading import check_comparable, validate
from runs.config.schema import RunConfig
from runs.store.budgets import UNLIMITED, BudgetConfig, generations_within
from runs.study.strategies import (
    BUILT_IN,
    OWN_KEYS,
    check_choice,
    strategy_overrides,
    with_overrides,
)
from runs.tournament.config import Tournament, tournament_of
from runs.tournament.schedule import plan_of

NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
Name = Annotated[str, Field(pattern=NAME)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]


class StudyConfig(BaseModel):
    """A study: the strategies to compare, their seeds, the budget of each run."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    name: Name
    base: str | dict[str, Any] = Field(
        description="a preset's name, a config file's path, or a whole config"
    )
    common: dict[str, Any] = Field(
        default={}, alias="set", description="changes to the base that all runs share"
    )
    strategies: dict[Name, dict[str, Any] | None] = Field(
        description="changes to the base for each strategy; a built-in strategy needs none"
    )
    seeds: tuple[Seed, ...] = Field(description="how many seeds, counted from 0, or a list of them")
    budget: BudgetConfig
    scorings: int = Field(20, ge=1, description="how many times each run is scored")
    metrics: tuple[str, ...] | None = Field(
        None, description="metrics to compare, the deciding one first; default: those of the base"
    )
    control: Name | None = Field(
        None,
        description="the strategy that each other one is compared with; null: every two are "
        "compared, which takes more seeds",
    )
    draws: int = Field(
        16,
        ge=2,
        description="number of evaluation draws from which the signal-to-noise ratio of selection"
        " is estimated",
    )

    @field_validator("strategies", mode="before")
    @classmethod
    def _names_alone(cls, value: Any) -> Any:
        return dict.fromkeys(value) if isinstance(value, list) else value

    @field_validator("seeds", mode="before")
    @classmethod
    def _count(cls, value: Any) -> Any:
        if isinstance(value, int) and not isinstance(value, bool):
            if value < 1:
                raise ValueError(f"at least 1 seed is needed, not {value}")
            return tuple(range(value))
        return value

    @field_validator("seeds")
    @classmethod
    def _each_once(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if not seeds or len(set(seeds)) < len(seeds):
            raise ValueError(f"needs at least one seed and no duplicates, not {list(seeds)}")
        return seeds

    @model_validator(mode="after")
    def _control_is_one(self) -> "StudyConfig":
        if self.control is not None and self.control not in self.strategies:
            raise ValueError(f"control: {nearest_name(self.control, self.strategies, 'strategy')}")
        return self

    @field_validator("strategies")
    @classmethod
    def _at_least_one(cls, value: dict[str, Any]) -> dict[str, Any]:
        if not value:
            raise ValueError(f"at least one is needed; built-in: {', '.join(BUILT_IN)}")
        return value


@dataclass(frozen=True)
class Study:
    """A checked study; its base is a whole config."""

    config: StudyConfig
    base: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The study's name."""
        return self.config.name

    @property
    def budget(self) -> BudgetConfig:
        """What every run may spend."""
        return self.config.budget

    @cached_property
    def configs(self) -> dict[str, RunConfig]:
        """The config of every strategy, with the first seed; of a tournament, that of its base.

        Raises:
            ConfigError: an override does not fit, a budget buys nothing, two strategies are one.
        """
        return {name: self._strategy(name) for name in self.config.strategies}

    @cached_property
    def tournaments(self) -> dict[str, Tournament]:
        """The tournaments among the strategies, with the first seed.

        Raises:
            ConfigError: one is not valid, or the budget is not in steps, or too small for it.
        """
        found = {}
        for name, overrides in self.config.strategies.items():
            values = strategy_overrides(name, overrides).get("tournament")
            if values is not None:
                found[name] = self._tournament(name, values)
        return found

    def tournament_of(
        self, strategy: str, seed: int, execution: Mapping[str, Any] | None = None
    ) -> Tournament | None:
        """Return the tournament of one trial; None: the strategy is a run."""
        tournament = self.tournaments.get(strategy)
        if tournament is None:
            return None
        return replace(tournament, base=self.config_of(strategy, seed, execution))

    @property
    def trials(self) -> list[tuple[str, int]]:
        """Every strategy with every seed; a seed's runs stand together, so that pairs are early."""
        return [(name, seed) for seed in self.config.seeds for name in self.config.strategies]

    def config_of(
        self, strategy: str, seed: int, execution: Mapping[str, Any] | None = None
    ) -> RunConfig:
        """Return the config of one run."""
        values = self.configs[strategy].model_dump(mode="json")
        values |= {"seed": seed, "name": f"{self.name}-{strategy}-{seed}"}
        values["execution"] |= execution or {}
        if mirror := values["checkpoint"]["mirror"]:  # one place holds one run
            place, mark, query = mirror.partition("?")
            values["checkpoint"]["mirror"] = f"{place.rstrip('/')}/{strategy}-{seed}{mark}{query}"
        return validate(values, f"of strategy {strategy}")

    def to_yaml(self) -> str:
        """Return the study with its base spelled out."""
        values = self.config.model_dump(mode="json", by_alias=True)
        values["base"] = dict(self.base)
        values["budget"] = {self.budget.axis: getattr(self.budget, self.budget.axis)}
        return yaml.safe_dump(STAMP | values, sort_keys=False)

    def check(self) -> None:
        """Refuse what cannot be run or compared.

        Raises:
            ConfigError: see `configs`.
        """
        seen: dict[str, str] = {}
        for name, config in self.configs.items():
            tournament = self.tournaments.get(name)
            same = seen.setdefault(tournament.to_yaml() if tournament else config.to_yaml(), name)
            if same != name:
                raise ConfigError(
                    f"strategies.{name}: is the same as {same}; one of them is enough"
                )

    def _strategy(self, name: str) -> RunConfig:
        config = self.config
        whole = strategy_overrides(name, config.strategies[name])
        overrides = {key: value for key, value in whole.items() if key not in OWN_KEYS}
        common = with_overrides(self.base, config.common, "set").model_dump(mode="json")
        common["seed"] = config.seeds[0]
        chosen = with_overrides(common, overrides, f"strategies.{name}")
        check_choice(name, chosen)
        check_comparable(chosen, f"strategies.{name}")
        collapse = chosen.evaluation.collapse
        if collapse is not None and collapse.action == "fork":
            raise ConfigError(
                f"strategies.{name}: evaluation.collapse.action: fork begins a run again, so that "
                "budgets would not be equal; take warn or stop"
            )
        limited = self._within_budget(name, chosen)
        fall = whole.get("decay")
        return limited if fall is None else _decaying(limited, fall, f"strategies.{name}.decay")

    def _tournament(self, name: str, values: Any) -> Tournament:
        where = f"strategies.{name}.tournament"
        if self.budget.axis != "steps":
            raise ConfigError(
                f"{where}: a tournament is limited by optimiser steps, and the budget is "
                f"{self.budget}; give it as budget: {{steps: N}}"
            )
        if not isinstance(values, Mapping) or {"base", "steps"} & values.keys():
            raise ConfigError(
                f"{where}: needs keys of a tournament, such as {{count: 8}}, without base and "
                f"steps, which are the study's; {values!r:.60} arrived"
            )
        whole = {**values, "steps": int(self.budget.amount)}
        tournament = tournament_of(whole, self.configs[name], where)
        plan_of(tournament.config, tournament.base)
        return tournament

    def _within_budget(self, name: str, config: RunConfig) -> RunConfig:
        """Give a config the generations that the budget buys, the last of them scored."""
        generations = generations_within(self.budget, config)
        if generations == UNLIMITED:
            if config.evaluation.every is None:
                raise ConfigError(
                    "evaluation.every: must be set in the base, or in `set`, where the budget is "
                    "in seconds: how often runs are scored cannot be told from it"
                )
            return config.model_copy(update={"generations": generations})
        every = generations // self.config.scorings
        if every < 1:
            raise ConfigError(
                f"budget: {self.budget} buys {generations} generation(s) of {name}, fewer than "
                f"the {self.config.scorings} scorings; raise the budget or lower `scorings`"
            )
        evaluation = config.evaluation.model_copy(update={"every": every})
        spent = every * self.config.scorings
        return config.model_copy(update={"generations": spent, "evaluation": evaluation})


def _decaying(config: RunConfig, to: Any, where: str) -> RunConfig:
    """Return a config whose learning rates fall linearly over the whole run to a part of theirs.

    Raises:
        ConfigError: it is no part of them, or the length of the run is not known.
    """
    if config.generations == UNLIMITED:
        raise ConfigError(
            f"{where}: the number of generations in a budget of seconds is not known in advance"
        )
    images = Schedule.counting(config).shown(config.generations)
    return with_overrides(
        config.model_dump(mode="json"),
        {"optimizer.decay": {"to": to, "over": images / 1000}},
        where,
    )
