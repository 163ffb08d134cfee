"""Runs as MLflow's store has them, for comparisons."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fitness.suggestion import nearest
from runs.common.addresses import without_secrets
from runs.common.errors import ConfigError
from runs.tracking.client import open_store
from runs.tracking.failures import reason_of
from runs.tracking.metrics import BY_CLASS, EVALUATION, REALS, SPENT

if TYPE_CHECKING:
    from mlflow import MlflowClient

PAGE = 1000  # runs in an answer of the store
HISTORIES = (EVALUATION, BY_CLASS, REALS, SPENT, "share_of_wins/", "quality/", "diversity/")


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
        try:
            client, address = open_store(uri, create=False)
        except ConfigError as error:
            raise ConfigError(f"{experiment!r} is no study's folder, and {error}") from None
        found = client.get_experiment_by_name(experiment)
        if found is None:
            names = [e.name for e in client.search_experiments()]
            raise ConfigError(
                f"{experiment!r} is neither a study's folder nor an experiment in the store "
                f"{without_secrets(address)}{nearest(experiment, names)} "
                f"Experiments: {', '.join(sorted(names))}"
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
        store = without_secrets(uri or "")
        raise ConfigError(f"MLflow's store {store} cannot be read: {reason_of(error)}") from None


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
