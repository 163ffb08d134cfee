"""Files that a command made of a run, put into the run's MLflow record."""

from collections.abc import Sequence
from pathlib import Path

from runs.store.folder import RunFolder
from runs.tracking.client import open_store
from runs.tracking.failures import reason_of
from runs.tracking.state import original_of, read_state


def log_files(run: RunFolder | None, files: Sequence[Path], under: str) -> str:
    """Log files to a run's MLflow record, in the folder `under`; return what became of it.

    A store that does not answer is no error: the files are where they were written.
    """
    if run is None:
        return "a generator's folder has no MLflow record"
    state = read_state(run.tracking)
    if state.run_id is None or state.uri is None:
        return "this run has no MLflow record"
    original = original_of(state, run.path)
    if original is not None:
        return f"not logged to MLflow: this folder is a copy of {original}"
    try:
        client, _ = open_store(state.uri, state.uri, create=False)
        for file in files:
            client.log_artifact(state.run_id, str(file), under)
    except Exception as error:  # MLflow and its stores raise anything
        return f"not logged to MLflow: {reason_of(error)}"
    return f"logged to run {state.run_id}"
