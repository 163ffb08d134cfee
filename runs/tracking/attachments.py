"""Files that a command made of a run, put into the run's MLflow record."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from runs.sampling.units import UnitsFile
from runs.store.folder import RunFolder
from runs.tracking.client import open_store
from runs.tracking.failures import reason_of
from runs.tracking.state import original_of, read_state, recorded_folder

if TYPE_CHECKING:
    from mlflow import MlflowClient


def log_files(run: RunFolder | None, files: Sequence[Path], under: str) -> str:
    """Log files to a run's MLflow record, in the folder `under`; return what became of it.

    A store that does not answer is no error: the files are where they were written.
    """

    def log(client: "MlflowClient", uri: str, run_id: str) -> None:
        for file in files:
            client.log_artifact(run_id, str(file), under)

    return _logged(run, log)


def log_repaired(run: RunFolder | None, units: UnitsFile) -> str:
    """Log a run's generator without some units as a model to its record; return as `log_files`."""

    def log(client: "MlflowClient", uri: str, run_id: str) -> None:
        from runs.tracking.model import log_model

        assert run is not None
        log_model(client, run, run.load_config(), uri, run_id, units)

    return _logged(run, log)


def _logged(run: RunFolder | None, log: Callable[["MlflowClient", str, str], None]) -> str:
    """Call `log(client, uri, run_id)` for a run's record; return what became of it."""
    if run is None:
        return "a generator's folder has no MLflow record"
    state = read_state(run.tracking)
    if state.run_id is None or state.uri is None:
        return "this run has no MLflow record"
    if original := original_of(state, run.path):
        return f"not logged to MLflow: this folder is a copy of {original}"
    try:
        client, uri = open_store(state.uri, state.uri, create=False)
        recorded = recorded_folder(client, state, run.path)
        if original := original_of(state, run.path, recorded):
            return f"not logged to MLflow: this folder is a copy of {original}"
        log(client, uri, state.run_id)
    except Exception as error:  # MLflow and its stores raise anything
        return f"not logged to MLflow: {reason_of(error)}"
    return f"logged to run {state.run_id}"
