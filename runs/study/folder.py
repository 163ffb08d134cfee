"""A study's folder: strategies x seeds, each run in a folder and a process of its own.

    study.yaml                      the study, its base config spelled out
    runs/STRATEGY/seed-SEED/        ordinary run folders, with outcome.json and log.txt
    results.csv, results.json       what the config and the seeds decide
    timings.csv, selection.json     what it took, and selection's own signal
    report.html, plots/             to read

The same command again goes on where a study was: finished runs are kept, half-done ones resumed to
the bit, failed ones tried once more.
"""

import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runs.batch.queue import Task
from runs.common.errors import ConfigError
from runs.common.files import read_text, write_text
from runs.common.lock import folder_lock
from runs.config.differences import differences
from runs.config.safe_yaml import LARGEST_CONFIG
from runs.study.loading import parse_study
from runs.study.study import Study

LOCK = "study.lock"


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
        for name in former.configs:
            values = _deciding(former, name)
            kept = _deciding(study, name) if name in study.configs else None
            if values != kept:
                change = "was left out"
                if kept is not None:
                    key, one, other = next(differences(values, kept))
                    change = f"{key} was {one}, is {other}"
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

    def lock(self) -> AbstractContextManager[None]:
        """Hold the study against a second process.

        Raises:
            ConfigError: the folder cannot be written to.
            RunBusy: another process holds it.
        """
        return folder_lock(self.path, LOCK, "study")


def _deciding(study: Study, name: str) -> dict[str, Any]:
    """Return the part of a strategy's config that decides the result of its runs."""
    config, tournament = study.configs[name], study.tournaments.get(name)
    own = tournament.config.model_dump(mode="json", exclude={"base"}) if tournament else None
    values = config.model_dump(mode="json", exclude={"seed", "execution", "tracking"})
    if config.choosing or config.population.survivors == 1:
        del values["fitness"]["every"]  # which decides the order of several survivors alone
    return values | {"execution": {"threads": config.execution.threads}, "tournament": own}


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
