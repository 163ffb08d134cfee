"""tracking.json: which MLflow run a folder's record is, and how far it is logged."""

from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel

from runs.common.addresses import absolute, without_secrets
from runs.common.files import read_json, write_json

if TYPE_CHECKING:
    from mlflow import MlflowClient

FILE = "tracking.json"
FOLDER = "evolution.folder"  # the tag of a run that names its folder


class TrackingState(BaseModel, strict=True):
    """The record of the run or study in one folder; -1, 0 and empty where nothing is logged yet.

    Attributes:
        run_id: the MLflow run.
        ticket: a tag of that run, noted before the run is made, so that it is found after a kill.
        uri: its store, absolute and without secrets.
        folder: where this file lay when it was written, by which a copy is told from a move.
        described: whether the params are logged.
        logged, scored: the generations up to which the journal's generations and scorings are.
        events: how many of its events are.
        artifacts: the names of the pictures that are logged.
        nested: of a tournament, the MLflow runs of its islands by name.
        ended: whether the record of a finished run is whole.
    """

    run_id: str | None = None
    ticket: str | None = None
    uri: str | None = None
    folder: str | None = None
    described: bool = False
    logged: int = -1
    scored: int = -1
    events: int = 0
    artifacts: list[str] = []
    nested: dict[str, str] = {}
    ended: bool = False

    def write(self, path: Path) -> None:
        """Write it to a tracking.json, atomically."""
        self.folder = str(path.parent.absolute())
        write_json(path, self.model_dump())


def read_state(path: Path) -> TrackingState:
    """Return what a tracking.json holds; nothing where there is none, or a damaged one."""
    try:
        state = TrackingState.model_validate(read_json(path))
    except (OSError, ValueError):
        return TrackingState()
    if state.uri:  # one of an older version may be relative, or hold a password
        state.uri = without_secrets(absolute(state.uri))
    return state


def adopt(path: Path) -> None:
    """Let a tracking.json that was brought here be its folder's own, and no copy of another's."""
    state = read_state(path)
    if state.run_id is not None:
        state.write(path)


def original_of(state: TrackingState, folder: Path, recorded: str | None = None) -> Path | None:
    """Return the folder that this one is a copy of; None: it is none, or it was moved.

    Both would log to the same MLflow run. A copy on another machine cannot be told from a move.

    Args:
        state: what is in the folder's tracking.json.
        folder: where that lies.
        recorded: the folder that the MLflow run itself names, as of `recorded_folder`.
    """
    if state.run_id is None:
        return None
    for other in map(Path, filter(None, (state.folder, recorded))):
        try:
            if other.samefile(folder):
                return None
        except OSError:  # no longer there: it was moved
            continue
        if read_state(other / FILE).run_id == state.run_id:
            return other
    return None


def recorded_folder(client: "MlflowClient", state: TrackingState, folder: Path) -> str | None:
    """Return the folder that an MLflow run names as its own, if this one came from elsewhere.

    It tells a copy from a move where the original was moved, too.
    """
    if state.run_id is None or state.folder == str(folder.absolute()):
        return None
    tags: dict[str, str] = client.get_run(state.run_id).data.tags
    return tags.get(FOLDER)
