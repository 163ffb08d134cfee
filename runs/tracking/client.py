"""Connecting to MLflow's store: the one place where a client, an experiment or a run is made."""

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from runs.common.addresses import without_secrets
from runs.common.errors import ConfigError
from runs.tracking.address import choose, is_gone

if TYPE_CHECKING:
    from mlflow import MlflowClient

# Nothing leaves the machine but to the store that the user names; a dead server fails fast.
QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_MODEL_CATALOG_URI": "",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # what is worth telling, we tell
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}
VARIABLE = "MLFLOW_TRACKING_URI"
OF_EXPERIMENT = {
    "mlflow.experimentKind": "custom_model_development",  # opens MLflow's page of runs
    # MLflow's charts make a section for this metric, or else for the first by name, even where no
    # run is shown that has it. Names without a slash belong to a section that is always there.
    "mlflow.experiment.primaryMetric.name": "fitness",
}
Say = Callable[[str], None]


def open_store(
    configured: str | None, kept: str | None = None, create: bool = True
) -> tuple["MlflowClient", str]:
    """Return a client of the store that is meant, and the store's address, secrets included.

    Args:
        configured: the address in a config or on the command line.
        kept: the address of the store that has the run already.
        create: whether a sqlite store may be made.

    Raises:
        ConfigError: there is no such file, and none is to be created.
        ImportError: MLflow is not installed.
    """
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    import mlflow

    for library in ("mlflow", "alembic"):  # each failure is told once, by the caller
        logging.getLogger(library).setLevel(logging.CRITICAL)
    uri = choose(configured, os.environ.get(VARIABLE), kept, str(mlflow.get_tracking_uri()))
    if not create and is_gone(uri):
        raise ConfigError(f"there is no MLflow store {uri}")
    return mlflow.MlflowClient(uri), uri


def experiment_of(client: "MlflowClient", name: str, say: Say) -> str:
    """Return the id of the experiment of a name; it is made, or restored, where that is needed."""
    found = client.get_experiment_by_name(name)
    if found is None:
        return str(client.create_experiment(name, tags=OF_EXPERIMENT))
    if found.lifecycle_stage == "deleted":
        client.restore_experiment(found.experiment_id)
        say(f"MLflow: the experiment {name!r} had been deleted; it is restored")
    for key, value in OF_EXPERIMENT.items():
        if key not in found.tags:
            client.set_experiment_tag(found.experiment_id, key, value)
    return str(found.experiment_id)


def reopen_run(client: "MlflowClient", run_id: str | None, say: Say) -> bool:
    """Go on with an MLflow run, restored where it was deleted; return whether the store has it."""
    from mlflow.exceptions import MlflowException

    if run_id is None:
        return False
    try:
        info = client.get_run(run_id).info
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        say(f"MLflow: the run {run_id} is not in the store any more; a new one begins")
        return False
    if info.lifecycle_stage == "deleted":
        experiment = client.get_experiment(info.experiment_id)
        if experiment.lifecycle_stage == "deleted":
            client.restore_experiment(info.experiment_id)  # and with it, its runs
            say(f"MLflow: the experiment {experiment.name!r} had been deleted; it is restored")
        else:
            client.restore_run(run_id)
            say(f"MLflow: the run {run_id} had been deleted; it is restored")
    client.update_run(run_id, status="RUNNING")
    return True


def describe(experiment: str, run_id: str | None, uri: str | None) -> str:
    """Return where a run is to be found, as a text to read."""
    return f"experiment {experiment!r}, run {run_id}, store {without_secrets(uri or '')}"


@contextmanager
def default_store(uri: str) -> Iterator[None]:
    """Let MLflow's functions that take no client use a store; leave no trace in the process."""
    import mlflow

    variable = os.environ.get(VARIABLE)
    former = mlflow.get_tracking_uri() if mlflow.tracking.is_tracking_uri_set() else None
    mlflow.set_tracking_uri(uri)
    try:
        yield
    finally:
        mlflow.set_tracking_uri(former)  # which sets the variable, too
        os.environ.pop(VARIABLE, None)
        if variable is not None:
            os.environ[VARIABLE] = variable
