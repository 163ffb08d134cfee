"""The record of a tournament in MLflow: a parent run, and a run nested under it for each island.

The islands' own runs are not logged: this is, after each round, what their tournament knows of
them. A store that does not answer delays nothing; what is missing is made up for after a later
round, at the latest at the end. The step of a row is what all islands had spent by then, and its
time is the step, so that a row that is logged again is the same row.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from runs.config.schema import TrackingConfig
from runs.tracking.client import Say
from runs.tracking.run_logger import ROWS
from runs.tracking.state import FILE
from runs.tracking.study_logger import PARENT, Curves, Files, MlflowStudyRecord, log_curves

if TYPE_CHECKING:
    from mlflow import MlflowClient

ISLAND = "island"  # the tag that names one


@dataclass(frozen=True)
class IslandRows:
    """The rows of an island.

    Attributes:
        name: the nested run's.
        params: with which it began.
        tags: how it stands: its ancestry, its state.
        rows: (name of a metric, value, step, round), in order.
    """

    name: str
    params: Mapping[str, str]
    tags: Mapping[str, str]
    rows: Sequence[tuple[str, float, int, int]]


class TournamentRecord(Protocol):
    """Where a tournament's record goes."""

    @property
    def where(self) -> str | None:
        """Where the parent run is to be found, if there is one."""

    def update(self, islands: Sequence[IslandRows], curves: Curves, rounds: int) -> None:
        """Log what is new of the islands, and the parent's curves, after so many rounds."""

    def close(self, status: str, files: Files = ()) -> None:
        """Log files to the parent run, and end it and its islands' runs."""


class NoTournamentRecord:
    """Keeps no record but the tournament's folder."""

    where = None

    def update(self, islands: Sequence[IslandRows], curves: Curves, rounds: int) -> None:
        """Do nothing."""

    def close(self, status: str, files: Files = ()) -> None:
        """Do nothing."""


def open_tournament_record(
    path: Path, name: str, config: TrackingConfig, tags: dict[str, str], say: Say
) -> TournamentRecord:
    """Begin the record that the config asks for, of the tournament `name` in the folder `path`."""
    if not config.enabled:
        return NoTournamentRecord()
    record = MlflowTournamentRecord(path, name, config, tags, say)
    record.open()
    return record


class MlflowTournamentRecord(MlflowStudyRecord):
    """A tournament's parent run in MLflow, and its islands nested under it."""

    def __init__(
        self, path: Path, name: str, config: TrackingConfig, tags: dict[str, str], say: Say
    ) -> None:
        """Prepare the record; see `open_tournament_record`."""
        super().__init__(path, name, config, tags, say)
        self._tags = tags | {"mlflow.runName": name, "mlflow.source.name": "tournament"}
        self._islands: Sequence[IslandRows] = ()
        self._curves: Curves = {}
        self._rounds = 0

    def update(self, islands: Sequence[IslandRows], curves: Curves, rounds: int) -> None:
        """Log what is new of the islands, and the parent's curves, after so many rounds.

        The parent's are what MLflow's charts show before any click.
        """
        self._islands, self._curves, self._rounds = islands, curves, rounds
        self._attempt(self._log_islands)

    def close(self, status: str, files: Files = ()) -> None:
        """Log files to the parent run, and end it and its islands' runs."""
        self._attempt(partial(self._end_islands, status), now=True)
        super().close(status, files)

    def _end_islands(self, status: str, client: "MlflowClient") -> None:
        self._log_islands(client)
        for run_id in self._state.nested.values():
            client.set_terminated(run_id, status)

    def _log_islands(self, client: "MlflowClient") -> None:
        """Log the rounds after the last one that is logged."""
        from mlflow.entities import Metric, RunTag

        if self._rounds <= self._state.logged:
            return
        for island in self._islands:
            rows = [
                Metric(name, value, step, step)
                for name, value, step, number in island.rows
                if number >= max(0, self._state.logged)
            ]
            if not rows and island.name in self._state.nested:
                continue
            run_id = self._state.nested.get(island.name) or self._begin(client, island)
            tags = [RunTag(key, value) for key, value in island.tags.items()]
            for start in range(0, max(1, len(rows)), ROWS):
                client.log_batch(run_id, metrics=rows[start : start + ROWS], tags=tags)
        log_curves(client, str(self._state.run_id), self._curves)
        self._state.logged = self._rounds
        self._state.write(self._path / FILE)

    def _begin(self, client: "MlflowClient", island: IslandRows) -> str:
        """Begin an island's run, or find the one that a killed process began."""
        from mlflow.entities import Param

        parent = client.get_run(str(self._state.run_id)).info
        query = f"tags.`{PARENT}` = '{parent.run_id}' and tags.`{ISLAND}` = '{island.name}'"
        found = client.search_runs([parent.experiment_id], query)
        if found:
            run_id = str(found[0].info.run_id)
        else:
            tags = {PARENT: parent.run_id, ISLAND: island.name, "mlflow.runName": island.name}
            run_id = str(client.create_run(parent.experiment_id, tags=tags).info.run_id)
        client.log_batch(run_id, params=[Param(k, v) for k, v in island.params.items()])
        self._state.nested[island.name] = run_id
        self._state.write(self._path / FILE)
        return run_id
