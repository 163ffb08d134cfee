"""The record of a study in MLflow: a parent run, and the study's runs nested under it."""

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from runs.common.addresses import without_secrets
from runs.config.schema import TrackingConfig
from runs.store.folder import RunFolder
from runs.tracking.client import Say, describe, experiment_of, open_store, reopen_run
from runs.tracking.failures import artifacts, warning_of
from runs.tracking.run_logger import PATIENCE, ROWS
from runs.tracking.state import FILE, TrackingState, original_of, read_state

if TYPE_CHECKING:
    from mlflow import MlflowClient

PARENT = "mlflow.parentRunId"  # what MLflow's pages nest runs by
COLOUR = "mlflow.runColor"  # a run's in MLflow's charts
COMPARES = "evolution.compares"  # the tag of a strategy's own run: the study's run
TAG_LENGTH = 5000  # MLflow's limit
Files = Iterable[tuple[Path, str | None]]
Curves = Mapping[str, Iterable[tuple[int, float]]]


@dataclass(frozen=True)
class StrategyCurves:
    """What a study found out about one strategy.

    Attributes:
        name: the strategy's.
        colour: in all pictures, such as "#0072B2".
        seeds: how many, such as "5 seeds".
        curves: medians over the seeds as (spent, value), by "METRIC by AXIS".
        finals: by metric, the median of the last scoring.
    """

    name: str
    colour: str
    seeds: str
    curves: Mapping[str, list[tuple[int, float]]]
    finals: Mapping[str, float]


class StudyRecord(Protocol):
    """Where a study's record goes."""

    @property
    def where(self) -> str | None:
        """Where the parent run is to be found, if there is one."""

    def nest(self, run: Path, name: str, values: dict[str, str]) -> None:
        """Put a run under the study as soon as it has a record; `values` become tags and params."""

    def end(self, run: Path, status: str, tags: dict[str, str]) -> None:
        """Say how a run ended, with MLflow's `status`."""

    def compare(self, strategies: Sequence[StrategyCurves]) -> None:
        """Show each strategy's curves where MLflow's charts open: see `MlflowStudyRecord`."""

    def close(self, status: str, files: Files = ()) -> None:
        """Log files, each with the folder to put it in, to the parent run, and end it."""


class NoStudyRecord:
    """Keeps no record but the study's folder."""

    where = None

    def nest(self, run: Path, name: str, values: dict[str, str]) -> None:
        """Do nothing."""

    def end(self, run: Path, status: str, tags: dict[str, str]) -> None:
        """Do nothing."""

    def compare(self, strategies: Sequence[StrategyCurves]) -> None:
        """Do nothing."""

    def close(self, status: str, files: Files = ()) -> None:
        """Do nothing."""


def open_study_record(
    path: Path, name: str, config: TrackingConfig, tags: dict[str, str], say: Say
) -> StudyRecord:
    """Begin the record that the config asks for, of the study `name` in the folder `path`."""
    if not config.enabled:
        return NoStudyRecord()
    record = MlflowStudyRecord(path, name, config, tags, say)
    record.open()
    return record


class MlflowStudyRecord:
    """A study's parent run in MLflow, and its runs nested under it.

    A store that does not answer delays nothing and is told once: what is missing is made up for by
    a later call, at the latest when the study ends.
    """

    def __init__(
        self, path: Path, name: str, config: TrackingConfig, tags: dict[str, str], say: Say
    ) -> None:
        """Prepare the record; see `open_study_record`."""
        self._path = path
        self._name = name
        self._config = config
        self._tags = tags | {"study": name, "mlflow.runName": name, "mlflow.source.name": "study"}
        self._say = say
        self._lock = threading.Lock()  # the runs of a study are nested from several threads
        self._failed_at: float | None = None
        self._nested: set[Path] = set()
        self._waiting: dict[Path, tuple[str, dict[str, str]]] = {}  # runs that are to be nested
        self._client: MlflowClient | None = None
        self._state = read_state(path / FILE)

    @property
    def where(self) -> str | None:
        """Where the parent run is to be found, if there is one."""
        if self._client is None:
            return None
        return describe(self._config.experiment, self._state.run_id, self._state.uri)

    def open(self) -> None:
        """Begin the parent run, or go on with it."""
        self._attempt(lambda client: None, now=True)

    def nest(self, run: Path, name: str, values: dict[str, str]) -> None:
        """Put a run under the study as soon as it has a record; `values` become tags and params."""
        if run not in self._nested:
            self._waiting[run] = name, values
            self._attempt(partial(self._nest, run))

    def _nest(self, run: Path, client: "MlflowClient") -> None:
        """Put a run under the study, if it waits for that and has a record by now."""
        from mlflow.entities import Param, RunTag

        run_id = self._id_of(run)
        if run_id is None or run not in self._waiting:
            return
        name, values = self._waiting[run]
        client.update_run(run_id, name=name)
        tags = [RunTag(key, value) for key, value in values.items()]
        tags.append(RunTag(PARENT, self._state.run_id))
        client.log_batch(run_id, params=[Param(k, v) for k, v in values.items()], tags=tags)
        self._nested.add(run)
        del self._waiting[run]

    def end(self, run: Path, status: str, tags: dict[str, str]) -> None:
        """Say how a run ended, with MLflow's `status`."""

        def put(client: "MlflowClient") -> None:
            self._nest(run, client)
            run_id = self._id_of(run)
            if run_id is not None:
                for key, value in tags.items():
                    client.set_tag(run_id, key, value[:TAG_LENGTH])
                client.set_terminated(run_id, status)

        self._attempt(put, now=True)

    def compare(self, strategies: Sequence[StrategyCurves]) -> None:
        """Log each strategy's curves, where MLflow's charts show them before any click.

        The parent run gets all of them. A chart of MLflow draws one line for a run, and shows only
        runs that are not nested. So each strategy also gets a run beside the parent: the chart of a
        metric has a line for each strategy then, and that of its last values a bar for each.
        """
        self._attempt(partial(self._compare, strategies), now=True)

    def _compare(self, strategies: Sequence[StrategyCurves], client: "MlflowClient") -> None:
        parent = client.get_run(self._state.run_id).info
        query = f"tags.`{COMPARES}` = '{parent.run_id}'"
        known = {
            (run.data.tags["strategy"], run.data.tags["seeds"]): str(run.info.run_id)
            for run in client.search_runs([parent.experiment_id], query)
        }
        for strategy in reversed(strategies):  # MLflow lists the newest run first
            panels = strategy.curves.items()
            of_all = {f"{panel}/{strategy.name} {strategy.seeds}": curve for panel, curve in panels}
            log_curves(client, parent.run_id, of_all)
            own = {f"{panel}/all strategies": curve for panel, curve in panels}
            own |= {metric: [(0, last)] for metric, last in strategy.finals.items()}
            run_id = known.pop((strategy.name, strategy.seeds), None)
            run_id = run_id or self._begin_strategy(client, parent.experiment_id, strategy)
            log_curves(client, run_id, own)
            client.set_terminated(run_id, "FINISHED")
        for run_id in known.values():  # of fewer seeds, from before the study was extended
            client.delete_run(run_id)

    def _begin_strategy(
        self, client: "MlflowClient", experiment: str, strategy: StrategyCurves
    ) -> str:
        """Begin the run beside the parent that shows a strategy."""
        tags = {
            COMPARES: str(self._state.run_id),
            COLOUR: strategy.colour,
            "strategy": strategy.name,
            "seeds": strategy.seeds,
            "mlflow.runName": f"{strategy.name} of {self._name}, {strategy.seeds}",
        }
        return str(client.create_run(experiment, tags=self._tags | tags).info.run_id)

    def close(self, status: str, files: Files = ()) -> None:
        """Log files, each with the folder to put it in, to the parent run, and end it."""

        def put(client: "MlflowClient") -> None:
            try:
                with artifacts():
                    for path, place in files:
                        client.log_artifact(self._state.run_id, str(path), place)
            finally:
                client.set_terminated(self._state.run_id, status)

        for run in list(self._waiting):
            self._attempt(partial(self._nest, run), now=True)
        self._attempt(put, now=True)

    def _attempt(self, task: Callable[["MlflowClient"], None], now: bool = False) -> None:
        """Do something with the store; after a failure, nothing for a while that can wait."""
        with self._lock:
            since = None if self._failed_at is None else time.monotonic() - self._failed_at
            if since is not None and since < PATIENCE and not now:
                return
            try:
                task(self._client or self._connect())
                self._failed_at = None
            except Exception as error:  # MLflow and its stores raise anything; the study goes on
                if self._failed_at is None:
                    self._say(warning_of(error, "study"))
                self._failed_at = time.monotonic()
                self._client = None  # connecting again mends what was deleted from the store

    def _connect(self) -> "MlflowClient":
        if original_of(self._state, self._path) is not None:
            self._state = TrackingState()  # a copied study gets a record of its own
        client, uri = open_store(self._config.uri, self._state.uri)
        place = without_secrets(uri)
        if self._state.uri != place or not reopen_run(client, self._state.run_id, self._say):
            experiment = experiment_of(client, self._config.experiment, self._say)
            run = client.create_run(experiment, tags=self._tags)
            self._state = TrackingState(run_id=run.info.run_id, uri=place)
        self._state.write(self._path / FILE)
        self._client = client
        return client

    def _id_of(self, run: Path) -> str | None:
        """Return the MLflow run of a run's folder, if it has one in this store."""
        state = read_state(RunFolder(run).tracking)
        return state.run_id if state.uri == self._state.uri else None


def log_curves(client: "MlflowClient", run_id: str, curves: Curves) -> None:
    """Log curves to a run; the step stands for a time, so that the same curve is logged once."""
    from mlflow.entities import Metric

    rows = [
        Metric(name, value, step, step) for name, curve in curves.items() for step, value in curve
    ]
    for start in range(0, len(rows), ROWS):
        client.log_batch(run_id, metrics=rows[start : start + ROWS])
