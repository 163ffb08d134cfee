"""A study: strategies x seeds at equal budgets, each run the real thing in a process of its own.

A study's folder::

    study.yaml                      the study, its base config spelled out
    runs/STRATEGY/seed-SEED/        ordinary run folders, with outcome.json and log.txt
    results.csv, results.json       what the config and the seeds decide
    timings.csv, selection.json     what it took, and selection's own signal
    report.html, plots/             to read

The same command again goes on where a study was: finished runs are kept, half-done ones resumed to
the bit, failed ones tried once more.
"""

import fcntl
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, field_validator

from fitness.metrics.names import expand_metrics
from runs.common.errors import ConfigError
from runs.common.files import read_text, write_text
from runs.common.lock import RunBusy
from runs.config.explaining import checked
from runs.config.loading import load_config, validate
from runs.config.safe_yaml import LARGEST_CONFIG, parse_yaml
from runs.config.schema import RunConfig
from runs.store.budgets import UNLIMITED, BudgetConfig, generations_within
from runs.study.queue import Task
from runs.study.strategies import (
    BUILT_IN,
    check_choice,
    strategy_overrides,
    typed_overrides,
    with_overrides,
)

LOCK = "study.lock"
NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
Name = Annotated[str, Field(pattern=NAME)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]


class StudyConfig(BaseModel):
    """What is compared, with what, at what price."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    name: Name
    base: str | dict[str, Any] = Field(description="a preset, a config file, or a config itself")
    common: dict[str, Any] = Field(default={}, alias="set", description="overrides for all runs")
    strategies: dict[Name, dict[str, Any] | None] = Field(
        description="overrides by name; a built-in's name needs none"
    )
    seeds: tuple[Seed, ...] = Field(description="how many, from 0 on, or which")
    budget: BudgetConfig
    scorings: int = Field(20, ge=1, description="how often each run is scored on its way")
    metrics: tuple[str, ...] | None = Field(
        None, description="what is compared; the first decides. By default the base's metrics"
    )
    draws: int = Field(
        16, ge=2, description="evaluation draws that selection's signal is judged on"
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
            raise ValueError(f"at least one seed, and none twice: {list(seeds)} arrived")
        return seeds

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
        """The config of every strategy, with the first seed.

        Raises:
            ConfigError: an override does not fit, a budget buys nothing, two strategies are one.
        """
        return {name: self._strategy(name) for name in self.config.strategies}

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
        return yaml.safe_dump(values, sort_keys=False)

    def check(self) -> None:
        """Refuse what cannot be run or compared.

        Raises:
            ConfigError: see `configs`.
        """
        seen: dict[str, str] = {}
        for name, config in self.configs.items():
            same = seen.setdefault(config.to_yaml(), name)
            if same != name:
                raise ConfigError(
                    f"strategies.{name}: is the same as {same}; one of them is enough"
                )

    def _strategy(self, name: str) -> RunConfig:
        config = self.config
        overrides = strategy_overrides(name, config.strategies[name])
        common = with_overrides(self.base, config.common, "set").model_dump(mode="json")
        common["seed"] = config.seeds[0]
        chosen = with_overrides(common, overrides, f"strategies.{name}")
        check_choice(name, chosen)
        return self._within_budget(name, chosen)

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


# ------------------------------------------------------------------------------------------ reading


def load_study(path: str | Path) -> Study:
    """Return the study of a YAML file or of a study that comes with the package, checked.

    Raises:
        ConfigError: no such study, an unknown key, a value that is not allowed.
    """
    from runs.studies import study_text

    file = Path(path)
    if file.suffix in (".yaml", ".yml") or file.is_file():
        try:
            text = read_text(file, LARGEST_CONFIG)
        except (OSError, ValueError) as error:
            raise ConfigError(f"cannot read the study {file}: {error}") from None
    else:
        text = study_text(str(path))
    return parse_study(text, str(path), file.parent)


def parse_study(text: str, source: str, folder: Path) -> Study:
    """Return the study of a YAML text; a base config's path is relative to `folder`.

    Raises:
        ConfigError: see `load_study`.
    """
    config = checked(StudyConfig, _typed_overrides(parse_yaml(text, source)), f"the study {source}")
    study = Study(config, _base_of(config.base, folder))
    study.check()
    try:
        wanted = expand_metrics(config.metrics) if config.metrics else ()
    except ValueError as error:
        raise ConfigError(f"metrics: {error}") from None
    for name, run in study.configs.items():
        missing = [m for m in wanted if m not in expand_metrics(run.evaluation.metrics)]
        if missing:
            raise ConfigError(
                f"metrics: {', '.join(missing)} is not among evaluation.metrics of {name}: "
                f"{', '.join(expand_metrics(run.evaluation.metrics))}"
            )
    return study


def _base_of(base: str | dict[str, Any], folder: Path) -> Mapping[str, Any]:
    if isinstance(base, dict):
        return validate(base, "base").model_dump(mode="json")
    beside = folder / base
    source = beside if beside.suffix in (".yaml", ".yml") and beside.is_file() else base
    return load_config(source).model_dump(mode="json")


def _typed_overrides(values: dict[str, Any]) -> dict[str, Any]:
    """Return a study's values, those that change the base's config as the config wants them."""
    values = dict(values)
    if "set" in values:
        values["set"] = typed_overrides(values["set"])
    strategies = values.get("strategies")
    if isinstance(strategies, Mapping):
        values["strategies"] = {
            name: typed_overrides(overrides) for name, overrides in strategies.items()
        }
    return values


# ------------------------------------------------------------------------------------------- folder


@dataclass(frozen=True)
class StudyFolder:
    """The paths of one study."""

    path: Path

    @property
    def config(self) -> Path:
        """The study, as YAML."""
        return self.path / "study.yaml"

    @property
    def tracking(self) -> Path:
        """Which MLflow run is the study's."""
        return self.path / "tracking.json"

    @property
    def plots(self) -> Path:
        """The pictures of the report."""
        return self.path / "plots"

    def run(self, strategy: str, seed: int) -> Path:
        """The folder of one run."""
        return self.path / "runs" / strategy / f"seed-{seed}"

    def load(self) -> Study:
        """Return the study.

        Raises:
            ConfigError: there is none, or it cannot be read.
        """
        if not self.config.is_file():
            raise ConfigError(f"{self.path} is not a study's folder: it has no study.yaml")
        try:
            text = read_text(self.config, LARGEST_CONFIG)
        except (OSError, ValueError) as error:
            raise ConfigError(f"cannot read the study {self.config}: {error}") from None
        return parse_study(text, str(self.config), self.path)

    def keep(self, study: Study) -> None:
        """Write the study down, or check that it is the one that lies here, or that one with more.

        The folder is locked, so it exists.

        Raises:
            ConfigError: another study lies here, or something else.
        """
        if self.config.is_file():
            self._check_same(self.load(), study)
        elif any(entry.name != LOCK for entry in self.path.iterdir()):
            raise ConfigError(
                f"{self.path} is not empty and holds no study: choose another --output"
            )
        write_text(self.config, study.to_yaml())

    def _check_same(self, former: Study, study: Study) -> None:
        """Refuse a study that would continue runs under another config; more runs are welcome."""
        for name, config in former.configs.items():
            now = study.configs.get(name)
            values, kept = _deciding(config), _deciding(now) if now else None
            if values != kept:
                change = "was left out" if kept is None else _difference(values, kept)
                raise ConfigError(
                    f"{self.path} holds a study {former.name!r} with another config: strategy "
                    f"{name}: {change}. More strategies and seeds may be added; for other "
                    "changes choose another --output"
                )
        gone = [str(s) for s in former.config.seeds if s not in study.config.seeds]
        if gone:
            raise ConfigError(
                f"{self.path} holds runs of seeds that are left out: {', '.join(gone)}"
            )

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the study against a second process.

        Raises:
            RunBusy: another one holds it.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        with (self.path / LOCK).open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise RunBusy(f"another process is working on the study {self.path}") from None
            yield


def _deciding(config: RunConfig) -> dict[str, Any]:
    """Return the part of a config that decides a run's result."""
    values = config.model_dump(mode="json", exclude={"seed", "execution", "tracking"})
    return values | {"execution": {"threads": config.execution.threads}}


def _difference(former: Mapping[str, Any], now: Mapping[str, Any], prefix: str = "") -> str:
    for key in dict.fromkeys((*former, *now)):
        one, other = former.get(key), now.get(key)
        if one != other:
            if isinstance(one, Mapping) and isinstance(other, Mapping):
                return _difference(one, other, f"{prefix}{key}.")
            return f"{prefix}{key} was {one}, is {other}"
    return "nothing"


def tasks_of(folder: StudyFolder, trials: Sequence[tuple[str, int]], execution: str) -> list[Task]:
    """Return the processes that run trials; `execution` is JSON."""
    start = [sys.executable, "-m", "runs.study.trial", str(folder.path)]
    return [
        Task(
            f"{strategy} seed {seed}",
            [*start, strategy, str(seed), execution],
            folder.run(strategy, seed) / "log.txt",
        )
        for strategy, seed in trials
    ]
