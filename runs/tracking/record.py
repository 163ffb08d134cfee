"""The record in MLflow: a reader of the journal, in a thread of its own.

The journal on disk is the one source of truth. The tracker follows it with a cursor, in batches;
a server that is down or slow delays nothing: the thread tries again, and what is missing at the end
is logged by `resume`. Timestamps come from the journal, so no row is logged twice.
"""

import logging
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from uuid import uuid4

import numpy as np
from pydantic import BaseModel

from egan.schedule import Schedule
from fitness.scores import OBJECTIVES
from populations.lineage import Lineage
from populations.selection import Selection, build_selection
from runs.common.errors import ConfigError, nearest
from runs.common.files import read_json, write_json
from runs.common.hints import hint
from runs.config.schema import RunConfig, TrackingConfig
from runs.sampling.generators import load_sampler, save_generator
from runs.sampling.opening import chosen_snapshot
from runs.store.budgets import Spent
from runs.store.folder import RunFolder
from runs.store.journal import Afterword, Entry, Line, Scoring, read_journal_from

if TYPE_CHECKING:
    from mlflow import MlflowClient

# Nothing leaves the machine but to the store that the user names; a dead server fails fast.
QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_MODEL_CATALOG_URI": "",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
}
PAUSE = 2.0  # seconds between looks at the journal
PATIENCE = 30.0  # seconds between attempts to reach a store that failed
LAST_PATIENCE = 60.0  # seconds that a run's end waits for the record at most
ROWS = 1000  # metrics in a batch, MLflow's limit
PARAMS = 100  # params in a batch, MLflow's limit
QUEUE = 500  # generations read ahead of the store
TICKET = "evolution.ticket"  # the tag of a run that tracking.json may not name yet
EVALUATION, SPENT = "evaluation/", "spent/"  # before the names of scorings' metrics
NO_FAULTS = ("worker-joined", "workers-waiting")  # events that a run need not survive
Say = Callable[[str], None]


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


class MlflowTracker:
    """Follows a run's journal into MLflow from a thread."""

    def __init__(self, folder: RunFolder, config: RunConfig, say: Say) -> None:
        for name, value in QUIET.items():
            os.environ.setdefault(name, value)
        self._say = say
        self._record = Record(folder, config)
        self._status: str | None = None
        self._warned = False
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="tracker", daemon=True)
        self._thread.start()

    def finish(self, status: str) -> None:
        """Wait for the record to be complete, but not for a store that does not answer."""
        self._status = status
        self._wake.set()
        self._thread.join(LAST_PATIENCE)
        if self._thread.is_alive() or not self._record.complete:
            self._say(
                f"MLflow: the record is not complete; "
                f"`{hint('resume', self._record.folder.path)}` logs the rest once the store answers"
            )
        else:
            self._say(f"MLflow: {self._record.where}")

    def _follow(self) -> None:
        while True:
            ending = self._status is not None
            try:
                self._record.update()
                if ending:
                    self._record.close(self._status or "FAILED")
                pause = PAUSE
                if self._warned:
                    self._warned = False
                    self._say("MLflow: the store answers again; the record has caught up")
            except Exception as error:  # MLflow and its stores raise anything; the run goes on
                pause = PATIENCE
                if not self._warned:
                    self._warned = True
                    reason = " ".join(str(error).split())[:200]
                    self._say(f"warning: MLflow cannot be reached, the run goes on: {reason}")
            if ending:
                self._record.stop_monitor()
                return
            self._wake.wait(pause)


class Record:
    """One MLflow run, and how far the journal is in it."""

    def __init__(self, folder: RunFolder, config: RunConfig) -> None:
        self.folder = folder
        self.complete = False
        self.where = ""
        self._config = config
        self._selection = build_selection(
            config.selection, config.population.survivors, config.fitness.weights
        )
        self._lineage = Lineage()
        self._spent = Spent(config)
        self._faults: Counter[str] = Counter()
        self._offset = 0  # bytes of the journal that were read
        self._rows: list[tuple[str, Line, dict[str, float]]] = []  # read, not yet logged
        self._client: MlflowClient | None = None
        self._monitor: Any = None
        self._state: dict[str, Any] = {"run_id": None, "ticket": None, "described": False}
        self._state |= {"logged": -1, "scored": -1, "after": -1, "artifacts": []}
        self._state |= read_state(folder.tracking)  # nothing if damaged: a new MLflow run begins

    def update(self) -> None:
        """Log what the journal and the folders have got since the last time."""
        client = self._client or self._connect()
        while self._read() or self._rows:
            self._flush(client)
        self._log_pictures(client)

    def _read(self) -> bool:
        """Take in lines of the journal, as many as a few batches hold; return if there were any."""
        if len(self._rows) >= QUEUE:
            return False
        start = self._offset
        for line, offset in read_journal_from(self.folder.journal, self._offset):
            self._offset = offset
            if isinstance(line, Scoring):
                if line.generation > self._state["scored"]:
                    self._rows.append(
                        ("scored", line, metrics_of_scoring(line) | spent_metrics(self._spent))
                    )
            elif isinstance(line, Afterword):
                faults = fault_metrics(line.events, self._faults)
                if faults and line.generation > self._state["after"]:
                    self._rows.append(("after", line, faults))
            else:
                self._spent.add(line)
                metrics = metrics_of(line, self._lineage, self._selection, self._config)
                faults = fault_metrics(line.events, self._faults)
                if line.generation % self._config.tracking.every:
                    metrics = {}
                if (metrics or faults) and line.generation > self._state["logged"]:
                    self._rows.append(("logged", line, metrics | faults))
            if len(self._rows) >= QUEUE:
                break
        return self._offset > start

    def _flush(self, client: "MlflowClient") -> None:
        """Log the rows that were read; those that the store did not take stay for the next time."""
        from mlflow.entities import Metric

        while self._rows:
            batch: list[Metric] = []
            taken = 0
            cursors: dict[str, int] = {}
            for cursor, line, metrics in self._rows:
                if taken and len(batch) + len(metrics) > ROWS:
                    break
                now = round(line.time * 1000)
                batch += [Metric(key, v, now, line.generation) for key, v in metrics.items()]
                cursors[cursor] = line.generation
                taken += 1
            client.log_batch(self._state["run_id"], metrics=batch)
            self._state |= cursors
            self._save()
            del self._rows[:taken]

    def close(self, status: str) -> None:
        """Log the pictures and the model, and close the run."""
        client = self._client or self._connect()
        self.stop_monitor()
        client.log_artifact(self._state["run_id"], str(self.folder.config))
        for picture in sorted(self.folder.plots.glob("*.png")):
            client.log_artifact(self._state["run_id"], str(picture), "plots")
        if self._config.tracking.model and status != "FAILED":
            self._log_model()
        client.set_terminated(self._state["run_id"], status)
        self.complete = True

    def stop_monitor(self) -> None:
        """Stop the thread that watches the machine."""
        if self._monitor is not None:
            self._monitor.finish()
            self._monitor = None

    # ---------------------------------------------------------------------------- the MLflow run

    def _connect(self) -> "MlflowClient":
        import mlflow
        from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

        logging.getLogger("mlflow").setLevel(logging.ERROR)
        logging.getLogger("alembic").setLevel(logging.ERROR)
        uri = (
            self._config.tracking.uri
            or os.environ.get("MLFLOW_TRACKING_URI")
            or self._state.get("uri")
            or mlflow.get_tracking_uri()
        )
        with unchanged_environment("MLFLOW_TRACKING_URI"):
            mlflow.set_tracking_uri(uri)
        client = mlflow.MlflowClient(uri)
        if self._state.get("uri") != uri or not exists(client, self._state["run_id"]):
            self._state |= {"run_id": self._create(client), "uri": uri}
            self._state |= {"logged": -1, "scored": -1, "artifacts": [], "described": False}
            self._save()
            self._start_over()
        else:
            client.update_run(self._state["run_id"], status="RUNNING")
        if not self._state["described"]:
            self._describe(client)
        name = self._config.tracking.experiment
        self.where = f"experiment {name!r}, run {self._state['run_id']}, store {uri}"
        if self._config.tracking.system_metrics and self._monitor is None:
            self._monitor = SystemMetricsMonitor(
                self._state["run_id"], resume_logging=True, tracking_uri=uri
            )
            self._monitor.start()
        self._client = client
        return client

    def _start_over(self) -> None:
        """Read the journal from its beginning, into a new MLflow run."""
        self._offset, self._rows = 0, []
        self._lineage, self._spent, self._faults = Lineage(), Spent(self._config), Counter()

    def _create(self, client: "MlflowClient") -> str:
        """Make an MLflow run, or find the one that a process made that was killed just then."""
        name = self._config.tracking.experiment
        experiment = client.get_experiment_by_name(name)
        kind = {"mlflow.experimentKind": "custom_model_development"}  # opens MLflow's runs page
        experiment_id = (
            experiment.experiment_id if experiment else client.create_experiment(name, tags=kind)
        )
        if ticket := self._state["ticket"]:
            found = client.search_runs([experiment_id], f"tags.`{TICKET}` = '{ticket}'")
            if found:
                return str(found[0].info.run_id)
        self._state["ticket"] = uuid4().hex
        self._save()
        tags = tags_of(self._config) | {TICKET: self._state["ticket"]}
        run = client.create_run(experiment_id, run_name=self.folder.path.name, tags=tags)
        return str(run.info.run_id)

    def _describe(self, client: "MlflowClient") -> None:
        from mlflow.entities import Param

        values = flatten(self._config.model_dump(mode="json")).items()
        known = client.get_run(self._state["run_id"]).data.params  # which never change in MLflow
        params = [Param(key, value) for key, value in values if key not in known]
        for start in range(0, len(params), PARAMS):
            client.log_batch(self._state["run_id"], params=params[start : start + PARAMS])
        self._state["described"] = True
        self._save()

    def _log_pictures(self, client: "MlflowClient") -> None:
        for picture in sorted(self.folder.samples.glob("generation-*.png")):
            if picture.name not in self._state["artifacts"]:
                client.log_artifact(self._state["run_id"], str(picture), "samples")
                self._state["artifacts"].append(picture.name)
                self._save()

    def _log_model(self) -> None:
        import mlflow
        import pandas

        exported, name = chosen_snapshot(self.folder)
        with tempfile.TemporaryDirectory() as temporary:
            generator, code = Path(temporary, "generator"), Path(temporary, "generator_model.py")
            shape = self.folder.load_data().shape
            sampler = save_generator(generator, self._config, shape, exported)
            code.write_text(MODEL_CODE, encoding="utf-8")
            with mlflow.start_run(run_id=self._state["run_id"], log_system_metrics=False):
                mlflow.pyfunc.log_model(
                    name="generator",
                    python_model=str(code),
                    artifacts={"generator": str(generator)},
                    code_paths=[str(path) for path in project_packages()],
                    signature=signature_of(sampler.sample_shape),
                    input_example=pandas.DataFrame({"count": [1], "seed": [0]}),
                    pip_requirements=["torch", "numpy", "pydantic", "safetensors", "pandas"],
                    metadata={"snapshot": name},
                )

    def _save(self) -> None:
        write_json(self.folder.tracking, self._state)


class _State(BaseModel, strict=True):
    """What tracking.json holds: which MLflow run this is, and how far it is logged."""

    run_id: str | None = None
    ticket: str | None = None
    uri: str | None = None
    described: bool = False
    logged: int = -1
    scored: int = -1
    after: int = -1
    artifacts: list[str] = []


def read_state(path: Path) -> dict[str, Any]:
    """Return what a tracking.json holds; nothing where there is none, or a damaged one."""
    try:
        return _State.model_validate(read_json(path)).model_dump(exclude_unset=True)
    except (OSError, ValueError):
        return {}


# -------------------------------------------------------------------------------- what is logged


def metrics_of(
    entry: Entry, lineage: Lineage, selection: Selection, config: RunConfig
) -> dict[str, float]:
    """Return a generation's metrics, after adding it to the lineage."""
    children = selection.individuals(entry.generation, entry.jobs, entry.scores)
    by_job = {child.job: child for child in children}
    survivors = [by_job[job] for job in entry.survivors]
    lineage.update(children, survivors)
    metrics: dict[str, float] = {}
    for mutation in config.population.mutations:
        finite = [c for c in children if c.job.operator == mutation and c.score.finite]
        if finite:
            for place, name in enumerate(OBJECTIVES):
                metrics[f"{name}/{mutation}"] = float(
                    np.mean([child.score.values[place] for child in finite])
                )
            quality, diversity = metrics[f"quality/{mutation}"], metrics[f"diversity/{mutation}"]
            metrics[f"fitness/{mutation}"] = quality + config.fitness.gamma * diversity
    best = survivors[0]
    for name, value in zip(OBJECTIVES, best.score.values, strict=True):
        metrics[f"survivor/{name}"] = value
    metrics["survivor/child"] = float(best.job.index)
    metrics["failed_children"] = float(sum(not child.score.finite for child in children))
    shares = lineage.shares()
    for mutation in config.population.mutations:
        metrics[f"share_of_wins/{mutation}"] = shares.get(mutation, 0.0)
    metrics |= {f"discriminator/{key}": value for key, value in entry.training.items()}
    metrics |= {f"seconds/{phase}": value for phase, value in entry.seconds.items()}
    reals = config.discriminator.updates * Schedule.counting(config).batch(entry.generation)
    metrics["images_per_second"] = reals / max(entry.seconds["total"], 1e-9)
    return {key: value for key, value in metrics.items() if value is not None}


def fault_metrics(events: Iterable[dict[str, Any]], totals: Counter[str]) -> dict[str, float]:
    """Return how often each fault among these events was survived so far, and at what cost."""
    changed: set[str] = set()
    for event in events:
        kind = str(event.get("event"))
        if kind in NO_FAULTS:
            continue
        name = f"faults/{kind.replace('-', '_')}"
        amounts = {name: 1} | {f"{name}_{c}": event[c] for c in ("seconds", "bytes") if c in event}
        totals.update(amounts)
        changed |= amounts.keys()
    return {name: float(totals[name]) for name in sorted(changed)}


def metrics_of_scoring(scoring: Scoring) -> dict[str, float]:
    """Return a scoring's metrics: the averaged generator's, and each survivor's if scored."""
    metrics = {f"{EVALUATION}{name}": value for name, value in scoring.values.items()}
    for place, values in enumerate(scoring.survivors):
        metrics |= {f"evaluation/parent{place}/{name}": value for name, value in values.items()}
    return metrics


def spent_metrics(spent: Spent) -> dict[str, float]:
    """Return what a run has spent by a scoring, so that quality can be read against its price."""
    return {f"{SPENT}{axis}": value for axis, value in spent.values().items()}


def strategy_of(config: RunConfig) -> str:
    """Return a run's strategy in a word or two: how it selects, among which mutations."""
    mutations = config.population.mutations
    if len(mutations) == 1:
        return mutations[0]
    return f"{config.selection.name}: {' + '.join(mutations)}"


def tags_of(config: RunConfig) -> dict[str, str]:
    """Return the tags by which MLflow's pages group runs."""
    tags = {
        "strategy": strategy_of(config),
        "backbone": config.backbone.name,
        "data": config.data.source,
        "seed": str(config.seed),
        "mlflow.source.name": "run-evolution",
    }
    commit = git_commit()
    return tags | ({"mlflow.source.git.commit": commit} if commit else {})


def git_commit() -> str | None:
    """Return the commit that this code is at, if it lies in a git repository."""
    try:
        command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None


def flatten(values: dict[str, Any], prefix: str = "") -> dict[str, str]:
    """Return nested values under dotted keys, as MLflow's params want them."""
    flat: dict[str, str] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
            flat[f"{prefix}{key}"] = text
    return flat


# ------------------------------------------------------------------------------------ the model

# Models from code: MLflow keeps this text and the packages, and unpickles nothing.
MODEL_CODE = '''"""The evolved generator: predict({"count": [16], "seed": [0]}) gives samples."""

import mlflow
from runs.tracking.record import generator_model

mlflow.models.set_model(generator_model())
'''


def generator_model() -> Any:
    """Return the pyfunc model that samples the generator among its artifacts."""
    from mlflow.pyfunc import PythonModel
    from pandas import DataFrame

    class GeneratorModel(PythonModel):  # type: ignore[misc]
        """Samples for (count, seed): uint8 images (N, H, W, C), or float32 points (N, D)."""

        def load_context(self, context: Any) -> None:
            self._sampler = load_sampler(Path(context.artifacts["generator"]))

        def predict(
            self, context: Any, model_input: DataFrame, params: dict[str, Any] | None = None
        ) -> np.ndarray:
            rows = model_input.to_dict("records")
            parts = [self._sampler(int(row["count"]), int(row["seed"])) for row in rows]
            return np.concatenate(parts)

    return GeneratorModel()


def signature_of(shape: tuple[int, ...]) -> Any:
    """Return the model's signature: rows of (count, seed) in, samples out."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema, TensorSpec

    inputs = Schema([ColSpec("long", "count"), ColSpec("long", "seed")])
    if len(shape) == 3:
        channels, height, width = shape
        outputs = TensorSpec(np.dtype(np.uint8), (-1, height, width, channels))
    else:
        outputs = TensorSpec(np.dtype(np.float32), (-1, *shape))
    return ModelSignature(inputs, Schema([outputs]))


def project_packages() -> Iterator[Path]:
    """Yield the folders of the project's packages, which a model carries with it."""
    for name in ("egan", "fitness", "populations", "runs"):
        yield Path(str(sys.modules[name].__file__)).parent


def log_evaluation(folder: RunFolder, values: dict[str, float], generation: int) -> str:
    """Log metrics of the `evaluate` command to the run's MLflow record; return what became of it.

    A store that does not answer is no error: the values are in the run's folder.
    """
    if not folder.tracking.exists():
        return "this run has no MLflow record"
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    from mlflow import MlflowClient
    from mlflow.entities import Metric

    logging.getLogger("mlflow").setLevel(logging.ERROR)
    logging.getLogger("alembic").setLevel(logging.ERROR)
    # The generation's number stands for a time, so that the same evaluation makes the same row.
    metrics = [Metric(f"{EVALUATION}{n}", v, generation, generation) for n, v in values.items()]
    try:
        state = read_state(folder.tracking)
        MlflowClient(state["uri"]).log_batch(state["run_id"], metrics=metrics)
    except Exception as error:  # MLflow and its stores raise anything
        return f"not logged to MLflow: {' '.join(str(error).split())[:200]}"
    return f"logged to run {state['run_id']}"


# ---------------------------------------------------------------------------------------- studies

PARENT = "mlflow.parentRunId"  # what MLflow's pages nest runs by
TAG_LENGTH = 5000  # MLflow's limit
PAGE = 1000  # runs in an answer of the store
HISTORIES = (EVALUATION, SPENT, "share_of_wins/", "quality/", "diversity/")


class StudyRecord:
    """A study's parent run in MLflow, and its runs nested under it.

    A store that does not answer delays nothing and is told once: what is missing is made up for by
    a later call, at the latest when the study ends.
    """

    def __init__(
        self, path: Path, name: str, config: TrackingConfig, tags: dict[str, str], say: Say
    ) -> None:
        """Prepare the record of the study `name` in the folder `path`, as `config` asks."""
        for key, value in QUIET.items():
            os.environ.setdefault(key, value)
        self._file = path / "tracking.json"
        self._config = config
        self._tags = tags | {"study": name, "mlflow.runName": name, "mlflow.source.name": "study"}
        self._say = say
        self._lock = threading.Lock()  # the runs of a study are nested from several threads
        self._failed_at: float | None = None
        self._nested: set[Path] = set()
        self._waiting: dict[Path, tuple[str, dict[str, str]]] = {}  # runs that are to be nested
        self._client: MlflowClient | None = None
        self._state: dict[str, Any] = {}
        self._state = read_state(self._file)

    @property
    def where(self) -> str | None:
        """Where the parent run is to be found, if there is one."""
        if self._client is None:
            return None
        name, uri = self._config.experiment, self._state["uri"]
        return f"experiment {name!r}, run {self._state['run_id']}, store {uri}"

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
        tags.append(RunTag(PARENT, self._state["run_id"]))
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

    def close(self, status: str, artifacts: Iterable[tuple[Path, str | None]]) -> None:
        """Log files, each with the folder to put it in, to the parent run, and end it."""

        def put(client: "MlflowClient") -> None:
            for path, place in artifacts:
                client.log_artifact(self._state["run_id"], str(path), place)
            client.set_terminated(self._state["run_id"], status)

        for run in list(self._waiting):
            self._attempt(partial(self._nest, run), now=True)
        self._attempt(put, now=True)

    def _attempt(self, task: Callable[["MlflowClient"], None], now: bool = False) -> None:
        """Do something with the store; after a failure, nothing for a while that can wait."""
        if not self._config.enabled:
            return
        with self._lock:
            since = None if self._failed_at is None else time.monotonic() - self._failed_at
            if since is not None and since < PATIENCE and not now:
                return
            try:
                task(self._client or self._connect())
                self._failed_at = None
            except Exception as error:  # MLflow and its stores raise anything; the study goes on
                if self._failed_at is None:
                    reason = " ".join(str(error).split())[:200]
                    self._say(f"warning: MLflow cannot be reached, the study goes on: {reason}")
                self._failed_at = time.monotonic()

    def _connect(self) -> "MlflowClient":
        client, uri = open_store(self._config.uri)
        if self._state.get("uri") != uri or not exists(client, self._state["run_id"]):
            experiment = experiment_of(client, self._config.experiment)
            run = client.create_run(experiment, tags=self._tags)
            self._state = {"run_id": run.info.run_id, "uri": uri}
            write_json(self._file, self._state)
        else:
            client.update_run(self._state["run_id"], status="RUNNING")
        self._client = client
        return client

    def _id_of(self, run: Path) -> str | None:
        """Return the MLflow run of a run's folder, if it has one in this store."""
        state = read_state(RunFolder(run).tracking)
        if state.get("uri") == self._state["uri"]:
            return state.get("run_id")
        return None


@dataclass(frozen=True)
class StoredRun:
    """A run as a store has it, whatever machine made it.

    `metrics` has the histories, (step, value) in order, of the metrics named in `HISTORIES`.
    """

    run_id: str
    status: str
    started: int
    tags: dict[str, str]
    params: dict[str, str]
    metrics: dict[str, list[tuple[int, float]]]


def stored_runs(experiment: str, study: str | None, uri: str | None = None) -> list[StoredRun]:
    """Return an experiment's runs that have a strategy and a seed, oldest first.

    Args:
        experiment: its name in the store.
        study: only runs of the study of this name; None: of any, or of none.
        uri: the store; by default MLFLOW_TRACKING_URI, else MLflow's own.

    Raises:
        ConfigError: the store does not answer, or has no such experiment.
    """
    try:
        client, uri = open_store(uri, create=False)
        found = client.get_experiment_by_name(experiment)
        if found is None:
            names = [e.name for e in client.search_experiments()]
            raise ConfigError(
                f"{experiment!r} is neither a study's folder nor an experiment in the store "
                f"{uri}{nearest(experiment, names)} Experiments: {', '.join(sorted(names))}"
            )
        runs, token = [], None
        while True:
            page = client.search_runs(
                [found.experiment_id],
                max_results=PAGE,
                order_by=["attributes.start_time ASC"],
                page_token=token,
            )
            runs += [r for r in page if {"strategy", "seed"} <= set(r.data.tags)]
            token = page.token
            if not token:
                break
        wanted = [r for r in runs if study is None or r.data.tags.get("study") == study]
        return [_stored(client, run) for run in wanted]
    except ConfigError:
        raise
    except Exception as error:  # MLflow and its stores raise anything
        reason = " ".join(str(error).split())[:200]
        raise ConfigError(f"MLflow's store {uri or ''} cannot be read: {reason}") from None


def _stored(client: "MlflowClient", run: Any) -> StoredRun:
    metrics = {
        key: [(row.step, row.value) for row in _history(client, run.info.run_id, key)]
        for key in run.data.metrics
        if key.startswith(HISTORIES)
    }
    info, data = run.info, run.data
    return StoredRun(
        info.run_id, info.status, info.start_time, dict(data.tags), dict(data.params), metrics
    )


def _history(client: "MlflowClient", run_id: str, key: str) -> list[Any]:
    """Return a metric's rows by step, the newest of each."""
    rows = sorted(client.get_metric_history(run_id, key), key=lambda row: row.timestamp)
    newest = {row.step: row for row in rows}
    return [newest[step] for step in sorted(newest)]


def fetch_picture(run_id: str, folder: Path, uri: str | None = None) -> Path | None:
    """Copy the newest picture of a run's samples from the store into a folder; None if none is."""
    try:
        client, _ = open_store(uri)
        pictures = sorted(file.path for file in client.list_artifacts(run_id, "samples"))
        if not pictures:
            return None
        folder.mkdir(parents=True, exist_ok=True)
        return Path(client.download_artifacts(run_id, pictures[-1], str(folder)))
    except Exception:  # MLflow and its stores raise anything; a report goes without the picture
        return None


def open_store(uri: str | None, create: bool = True) -> tuple["MlflowClient", str]:
    """Return a client of a store and the store's address; None: MLFLOW_TRACKING_URI or its own.

    Raises:
        ConfigError: there is no such file, and none is to be created.
    """
    for key, value in QUIET.items():
        os.environ.setdefault(key, value)
    import mlflow

    logging.getLogger("mlflow").setLevel(logging.ERROR)
    logging.getLogger("alembic").setLevel(logging.ERROR)
    address = uri or str(mlflow.get_tracking_uri())
    file = address.removeprefix("sqlite:///")
    if not create and file != address and not Path(file).exists():
        raise ConfigError(f"there is no MLflow store {address}")
    return mlflow.MlflowClient(address), address


@contextmanager
def unchanged_environment(name: str) -> Iterator[None]:
    """Keep a variable as it is: MLflow sets it, and this program's next run would read it."""
    former = os.environ.get(name)
    try:
        yield
    finally:
        os.environ.pop(name, None)
        if former is not None:
            os.environ[name] = former


def exists(client: "MlflowClient", run_id: str) -> bool:
    """Return whether a store has a run."""
    from mlflow.exceptions import MlflowException

    try:
        client.get_run(run_id)
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return False
        raise
    return True


def experiment_of(client: "MlflowClient", name: str) -> str:
    """Return the id of the experiment of that name, made if there is none."""
    found = client.get_experiment_by_name(name)
    return str(found.experiment_id if found else client.create_experiment(name))
