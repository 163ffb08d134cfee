"""The record in MLflow: a reader of the journal, in a thread of its own.

The journal on disk is the one source of truth. The tracker follows it with a cursor, in batches;
a server that is down or slow delays nothing: the thread tries again, and what is missing at the end
is logged by `resume`. Timestamps come from the journal, so no row is logged twice.
"""

import json
import logging
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from fitness.scores import OBJECTIVES
from populations.lineage import Lineage
from populations.selection import Selection, build_selection
from runs.config import RunConfig
from runs.files import write_json
from runs.folder import RunFolder
from runs.journal import Entry, Scoring, read_journal_from
from runs.sampling import chosen_snapshot, load_sampler, save_generator

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
Say = Callable[[str], None]


class Tracker(Protocol):
    """Where a run's record goes."""

    def notify(self) -> None:
        """Note that the journal has grown."""

    def finish(self, status: str) -> None:
        """Bring the record up to date and close it with MLflow's `status`."""


class NoTracking:
    """Keeps no record but the journal."""

    def notify(self) -> None:
        """Do nothing."""

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

    def notify(self) -> None:
        """Do nothing: the thread looks at the journal by itself."""

    def finish(self, status: str) -> None:
        """Wait for the record to be complete, but not for a store that does not answer."""
        self._status = status
        self._wake.set()
        self._thread.join(LAST_PATIENCE)
        if self._thread.is_alive() or not self._record.complete:
            self._say(
                f"MLflow: the record is not complete; `run-evolution resume "
                f"{self._record.folder.path}` logs the rest once the store answers"
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
            config.selection, config.population.survivors, config.fitness.gamma
        )
        self._lineage = Lineage()
        self._offset = 0  # bytes of the journal that were read
        self._rows: list[tuple[str, Entry | Scoring, dict[str, float]]] = []  # read, not yet logged
        self._client: MlflowClient | None = None
        self._monitor: Any = None
        self._state: dict[str, Any] = {"run_id": None, "described": False}
        self._state |= {"logged": -1, "scored": -1, "artifacts": []}
        with suppress(OSError, ValueError):  # none yet, or damaged: a new MLflow run begins
            self._state |= json.loads(folder.tracking.read_text(encoding="utf-8"))

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
                    self._rows.append(("scored", line, metrics_of_scoring(line)))
            else:
                metrics = metrics_of(line, self._lineage, self._selection, self._config)
                wanted = line.generation % self._config.tracking.every == 0
                if wanted and line.generation > self._state["logged"]:
                    self._rows.append(("logged", line, metrics))
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
        mlflow.set_tracking_uri(uri)
        client = mlflow.MlflowClient(uri)
        if self._state.get("uri") != uri or not self._exists(client):
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
        self._offset, self._rows, self._lineage = 0, [], Lineage()

    def _exists(self, client: "MlflowClient") -> bool:
        from mlflow.exceptions import MlflowException

        try:
            client.get_run(self._state["run_id"])
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return False
            raise
        return True

    def _create(self, client: "MlflowClient") -> str:
        name = self._config.tracking.experiment
        experiment = client.get_experiment_by_name(name)
        kind = {"mlflow.experimentKind": "custom_model_development"}  # opens MLflow's runs page
        experiment_id = (
            experiment.experiment_id if experiment else client.create_experiment(name, tags=kind)
        )
        run = client.create_run(
            experiment_id, run_name=self.folder.path.name, tags=tags_of(self._config)
        )
        return str(run.info.run_id)

    def _describe(self, client: "MlflowClient") -> None:
        from mlflow.entities import Param

        values = flatten(self._config.model_dump(mode="json")).items()
        params = [Param(key, value) for key, value in values]
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
            save_generator(generator, self._config.backbone, shape, exported)
            code.write_text(MODEL_CODE, encoding="utf-8")
            with mlflow.start_run(run_id=self._state["run_id"], log_system_metrics=False):
                mlflow.pyfunc.log_model(
                    name="generator",
                    python_model=str(code),
                    artifacts={"generator": str(generator)},
                    code_paths=[str(path) for path in project_packages()],
                    signature=signature_of(shape),
                    input_example=pandas.DataFrame({"count": [1], "seed": [0]}),
                    pip_requirements=["torch", "numpy", "pydantic", "safetensors", "pandas"],
                    metadata={"snapshot": name},
                )

    def _save(self) -> None:
        write_json(self.folder.tracking, self._state)


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
        finite = [c for c in children if c.job.mutation == mutation and c.score.finite]
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
    for mutation, share in lineage.shares().items():
        metrics[f"share_of_wins/{mutation}"] = share
    metrics |= {f"discriminator/{key}": value for key, value in entry.training.items()}
    metrics |= {f"seconds/{phase}": value for phase, value in entry.seconds.items()}
    reals = config.discriminator.updates * config.population.batch
    metrics["images_per_second"] = reals / max(entry.seconds["total"], 1e-9)
    return {key: value for key, value in metrics.items() if value is not None}


def metrics_of_scoring(scoring: Scoring) -> dict[str, float]:
    """Return a scoring's metrics: the averaged generator's, and each survivor's if scored."""
    metrics = {f"evaluation/{name}": value for name, value in scoring.values.items()}
    for place, values in enumerate(scoring.survivors):
        metrics |= {f"evaluation/parent{place}/{name}": value for name, value in values.items()}
    return metrics


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
from runs.tracking import generator_model

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

    state = json.loads(folder.tracking.read_text(encoding="utf-8"))
    # The generation's number stands for a time, so that the same evaluation makes the same row.
    metrics = [Metric(f"evaluation/{n}", v, generation, generation) for n, v in values.items()]
    try:
        MlflowClient(state["uri"]).log_batch(state["run_id"], metrics=metrics)
    except Exception as error:  # MLflow and its stores raise anything
        return f"not logged, the store does not answer: {' '.join(str(error).split())[:200]}"
    return f"logged to run {state['run_id']}"
