"""The record of a run in MLflow: a reader of the journal, in a thread of its own.

The journal on disk is the one source of truth. The logger follows it with a cursor, in batches;
a server that is down or slow delays nothing: the thread tries again, and what is missing at the end
is logged by `resume`. Timestamps come from the journal, so no row is logged twice.
"""

import os
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from uuid import uuid4

from runs.common.addresses import without_secrets
from runs.common.hints import hint
from runs.config.schema import RunConfig
from runs.store.class_values import ClassValues
from runs.store.folder import RunFolder
from runs.store.journal import read_journal_from
from runs.tracking.address import choose, is_gone
from runs.tracking.client import VARIABLE, Say, describe, experiment_of, open_store, reopen_run
from runs.tracking.failures import artifacts, is_refused, reason_of, warning_of
from runs.tracking.metrics import EVALUATION, MetricsReader, Row, metrics_of_classes
from runs.tracking.model import log_model
from runs.tracking.params import flatten, tags_of
from runs.tracking.state import FOLDER, TrackingState, original_of, read_state, recorded_folder

if TYPE_CHECKING:
    from mlflow import MlflowClient

PAUSE = 2.0  # seconds between looks at the journal
PATIENCE = 30.0  # seconds between attempts to reach a store that failed
LAST_PATIENCE = 60.0  # seconds that a run's end waits for the record at most
ROWS = 1000  # metrics in a batch, MLflow's limit
PARAMS = 100  # params in a batch, MLflow's limit
QUEUE = 500  # generations read ahead of the store
TICKET = "evolution.ticket"  # the tag of a run that tracking.json may not name yet


class Tracker(Protocol):
    """Where a run's record goes."""

    def finish(self, status: str) -> None:
        """Bring the record up to date and close it with MLflow's `status`."""


class NoTracking:
    """Keeps no record but the journal."""

    def finish(self, status: str) -> None:
        """Do nothing."""


def open_tracker(folder: RunFolder, config: RunConfig, say: Say) -> Tracker:
    """Return the tracker that the config asks for."""
    return MlflowTracker(folder, config, say) if config.tracking.enabled else NoTracking()


def is_recorded(folder: RunFolder, config: RunConfig) -> bool:
    """Return whether the record that a config asks for of a finished run is whole."""
    if not config.tracking.enabled:
        return True
    state = read_state(folder.tracking)
    if not state.ended or original_of(state, folder.path) is not None:
        return False
    default = "sqlite:///mlflow.db"
    uri = choose(config.tracking.uri, os.environ.get(VARIABLE), state.uri, default)
    return without_secrets(uri) == state.uri and not is_gone(uri)


class MlflowTracker:
    """Follows a run's journal into MLflow from a thread."""

    def __init__(self, folder: RunFolder, config: RunConfig, say: Say) -> None:
        self._say = say
        self._record = RunRecord(folder, config, say)
        self._status: str | None = None
        self._failure: BaseException | None = None  # of the last attempt
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="tracker", daemon=True)
        self._thread.start()

    def finish(self, status: str) -> None:
        """Wait for the record to be complete, but not for a store that does not answer."""
        self._status = status
        self._wake.set()
        self._thread.join(LAST_PATIENCE)
        if self._record.complete:
            self._say(f"MLflow: {self._record.where}")
        else:
            refused = self._failure is not None and is_refused(self._failure)
            when = "that is put right" if refused else "the store answers"
            self._say(
                f"MLflow: the record is not complete; "
                f"`{hint('resume', self._record.folder.path)}` logs the rest once {when}"
            )

    def _follow(self) -> None:
        while True:
            ending = self._status
            try:
                if ending is None:
                    self._record.update()
                else:
                    self._record.close(ending)
                if self._failure is not None:
                    self._say("MLflow: the store answers again; the record has caught up")
                self._failure = None
            except Exception as error:  # MLflow and its stores raise anything; the run goes on
                if self._failure is None:
                    self._say(warning_of(error, "run"))
                self._failure = error
            if ending is not None:
                self._record.stop_monitor()
                return
            self._wake.wait(PAUSE if self._failure is None else PATIENCE)


class RunRecord:
    """One MLflow run, and how far the journal is in it."""

    def __init__(self, folder: RunFolder, config: RunConfig, say: Say) -> None:
        self.folder = folder
        self.complete = False
        self._config = config
        self._say = say
        self._client: MlflowClient | None = None
        self._uri = ""  # with the secrets that `_state` never holds
        self._monitor: Any = None
        self._state = read_state(folder.tracking)  # empty if damaged: a new MLflow run begins
        self._start_over()

    @property
    def where(self) -> str:
        """Where the run is to be found."""
        return describe(self._config.tracking.experiment, self._state.run_id, self._state.uri)

    def update(self) -> None:
        """Log what the journal and the folders have got since the last time."""
        self._log_pictures(self._log_journal())

    def close(self, status: str) -> None:
        """Log what is new, the plots and the model, and close the run with MLflow's `status`."""
        client = self._log_journal()
        self.stop_monitor()
        try:
            self._log_pictures(client)
            self._log_files(client, status)
        finally:  # a run that has ended must not be shown as running
            client.set_terminated(self._state.run_id, status)
        self.complete = True
        self._state.ended = status == "FINISHED"
        self._save()

    def stop_monitor(self) -> None:
        """Stop the thread that watches the machine."""
        if self._monitor is not None:
            self._monitor.finish()
            self._monitor = None

    # -------------------------------------------------------------------------------- the journal

    def _start_over(self) -> None:
        """Read the journal from its beginning."""
        self._offset = 0  # bytes of the journal that were read
        self._rows: list[Row] = []  # read, not yet logged
        self._reader = MetricsReader(self._config)

    def _log_journal(self) -> "MlflowClient":
        """Log the journal's new lines; connecting again mends what was deleted from the store."""
        connected = self._client is not None
        try:
            return self._log_lines()
        except Exception as error:
            self._disconnect()
            if not (connected and is_refused(error)):
                raise
            return self._log_lines()

    def _log_lines(self) -> "MlflowClient":
        client = self._client or self._connect()
        while self._read() or self._rows:
            self._flush(client)
        return client

    def _read(self) -> bool:
        """Take in lines of the journal, as many as a few batches hold; return if there were any."""
        if len(self._rows) >= QUEUE:
            return False
        start = self._offset
        for line, offset in read_journal_from(self.folder.journal, self._offset):
            self._offset = offset
            row = self._reader.row(line)
            if row.metrics and row.place > getattr(self._state, row.cursor):
                self._rows.append(row)
            if len(self._rows) >= QUEUE:
                break
        return self._offset > start

    def _flush(self, client: "MlflowClient") -> None:
        """Log the rows that were read; those that the store did not take stay for the next time."""
        from mlflow.entities import Metric

        while self._rows:
            batch: list[Metric] = []
            taken: list[Row] = []
            for row in self._rows:
                if taken and len(batch) + len(row.metrics) > ROWS:
                    break
                now = round(row.time * 1000)
                batch += [Metric(key, v, now, row.generation) for key, v in row.metrics.items()]
                taken.append(row)
            client.log_batch(self._state.run_id, metrics=batch)
            for row in taken:
                setattr(self._state, row.cursor, row.place)
            self._save()
            del self._rows[: len(taken)]

    # ------------------------------------------------------------------------------------ the files

    def _log_pictures(self, client: "MlflowClient") -> None:
        for picture in sorted(self.folder.samples.glob("generation-*.png")):
            if picture.name not in self._state.artifacts:
                with artifacts():
                    client.log_artifact(self._state.run_id, str(picture), "samples")
                self._state.artifacts.append(picture.name)
                self._save()

    def _log_files(self, client: "MlflowClient", status: str) -> None:
        run_id = str(self._state.run_id)
        with artifacts():
            client.log_artifact(run_id, str(self.folder.config))
            for picture in sorted(self.folder.plots.glob("*.png")):
                client.log_artifact(run_id, str(picture), "plots")
            if self._config.tracking.model and status != "FAILED":
                log_model(client, self.folder, self._config, self._uri, run_id)

    # ---------------------------------------------------------------------------- the MLflow run

    def _connect(self) -> "MlflowClient":
        tracking = self._config.tracking
        self._leave(original_of(self._state, self.folder.path))
        client, self._uri = open_store(tracking.uri, self._state.uri)
        place = without_secrets(self._uri)
        if self._state.uri == place:
            self._leave_moved(client)
        if self._state.uri != place or not reopen_run(client, self._state.run_id, self._say):
            run_id, ticket = self._create(client)
            self._state = TrackingState(run_id=run_id, ticket=ticket, uri=place)
            self._start_over()
        self._state.ended = False
        here = str(self.folder.path.absolute())
        if self._state.folder != here:  # it is new, or was moved
            client.set_tag(self._state.run_id, FOLDER, here)
        self._save()  # with where the folder lies now
        if not self._state.described:
            self._describe(client)
        if tracking.system_metrics:
            self._start_monitor()
        self._client = client
        return client

    def _disconnect(self) -> None:
        self.stop_monitor()
        self._client = None

    def _leave_moved(self, client: "MlflowClient") -> None:
        """Begin a record of its own in a copy of a folder that was then moved itself."""
        from mlflow.exceptions import MlflowException

        with suppress(MlflowException):  # the run is gone, of which `reopen_run` tells
            recorded = recorded_folder(client, self._state, self.folder.path)
            self._leave(original_of(self._state, self.folder.path, recorded))

    def _leave(self, original: Path | None) -> None:
        """Begin a record of its own in a folder that is a copy of another one with a record."""
        if original is not None:
            self._say(
                f"MLflow: {self.folder.path} is a copy of {original}, whose record stays as it "
                "is; a new one begins"
            )
            self._state = TrackingState()

    def _create(self, client: "MlflowClient") -> tuple[str, str]:
        """Make an MLflow run, or find the one that a process made that was killed just then."""
        experiment = experiment_of(client, self._config.tracking.experiment, self._say)
        if ticket := self._state.ticket:
            found = client.search_runs([experiment], f"tags.`{TICKET}` = '{ticket}'")
            if found:
                return str(found[0].info.run_id), ticket
        self._state.ticket = ticket = uuid4().hex
        self._save()
        tags = tags_of(self._config, self.folder.load_identity()) | {TICKET: ticket}
        run = client.create_run(experiment, run_name=self.folder.path.name, tags=tags)
        return str(run.info.run_id), ticket

    def _describe(self, client: "MlflowClient") -> None:
        from mlflow.entities import Param

        values = flatten(self._config.model_dump(mode="json")).items()
        known = client.get_run(self._state.run_id).data.params  # which never change in MLflow
        params = [Param(key, value) for key, value in values if key not in known]
        for start in range(0, len(params), PARAMS):
            client.log_batch(self._state.run_id, params=params[start : start + PARAMS])
        self._state.described = True
        self._save()

    def _start_monitor(self) -> None:
        from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

        self._monitor = SystemMetricsMonitor(
            self._state.run_id, resume_logging=True, tracking_uri=self._uri
        )
        self._monitor.start()

    def _save(self) -> None:
        self._state.write(self.folder.tracking)


def log_evaluation(
    folder: RunFolder,
    values: dict[str, float],
    generation: int,
    classes: Mapping[str, ClassValues] | None = None,
) -> str:
    """Log metrics of the `evaluate` command to the run's MLflow record; return what became of it.

    `classes` are the values by class, of those that have any.

    A store that does not answer is no error: the values are in the run's folder.
    """
    state = read_state(folder.tracking)
    if state.run_id is None or state.uri is None:
        return "this run has no MLflow record"
    theirs = "this folder is a copy of {}, to which the record belongs; a resumed copy gets its own"
    if original := original_of(state, folder.path):
        return f"not logged to MLflow: {theirs.format(original)}"
    try:
        from mlflow.entities import Metric

        # The generation stands for a time, so that the same evaluation makes the same row.
        named = {f"{EVALUATION}{name}": value for name, value in values.items()}
        named |= metrics_of_classes(classes or {})
        metrics = [Metric(key, value, generation, generation) for key, value in named.items()]
        client, _ = open_store(state.uri, state.uri, create=False)
        recorded = recorded_folder(client, state, folder.path)
        if original := original_of(state, folder.path, recorded):
            return f"not logged to MLflow: {theirs.format(original)}"
        for start in range(0, len(metrics), ROWS):
            client.log_batch(state.run_id, metrics=metrics[start : start + ROWS])
    except Exception as error:  # MLflow and its stores raise anything
        return f"not logged to MLflow: {reason_of(error)}"
    return f"logged to run {state.run_id}"
