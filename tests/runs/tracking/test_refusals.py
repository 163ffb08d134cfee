"""A store that refuses is told from one that cannot be reached; a password is told nowhere."""

import json
import shutil
import sqlite3
import time
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import ErrorCode

from runs.common.addresses import absolute, without_secrets
from runs.config.loading import load_config
from runs.config.schema import TrackingConfig
from runs.store.folder import RunFolder
from runs.tracking import run_logger
from runs.tracking.address import choose
from runs.tracking.failures import ArtifactsFailed, is_refused, reason_of, warning_of
from runs.tracking.preflight import check_store
from runs.tracking.run_logger import MlflowTracker, RunRecord, log_evaluation
from runs.tracking.state import read_state
from tests.runs.tracking.stores import free_port, rows

PASSWORD = "hunter2"


# --------------------------------------------------------------------------------- small parts


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql://u:hunter2@db/x?a=1", "postgresql://u@db/x?a=1"),
        ("mysql+pymysql://u:hunter2@db:3306/x", "mysql+pymysql://u@db:3306/x"),
        ("https://u:hunter2@host:5000/a@b", "https://u@host:5000/a@b"),
        ("https://host:5000/a@b", "https://host:5000/a@b"),
        ("postgresql://db/x?user=u&password=hunter2&a=1", "postgresql://db/x?user=u&a=1"),
        ("postgresql://db/x?password=hunter2", "postgresql://db/x"),
        ("no way to http://u:hunter2@h:1/api (u)", "no way to http://u@h:1/api (u)"),
        ("sqlite:////a/b.db", "sqlite:////a/b.db"),
    ],
)
def test_an_address_is_told_without_its_secrets(text, shown):
    assert without_secrets(text) == shown


def test_an_absolute_address_means_the_same_from_everywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert absolute("sqlite:///a/b.db?x=1") == f"sqlite:///{tmp_path}/a/b.db?x=1"
    assert absolute("mlruns") == f"{tmp_path}/mlruns"
    for same in ("sqlite:////a.db", "sqlite://", "sqlite:///:memory:", "http://a", "databricks"):
        assert absolute(same) == same
    assert load_config("digits", ["tracking.uri=sqlite:///x.db"]).tracking.uri == (
        f"sqlite:///{tmp_path}/x.db"
    )


def test_a_relative_variable_says_only_where_a_record_begins(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "kept.db").touch()
    kept, here = f"sqlite:///{tmp_path}/kept.db", f"sqlite:///{tmp_path}/here.db"
    default = "sqlite:///default.db"
    assert choose(None, "sqlite:///here.db", None, default) == here
    assert choose(None, "sqlite:///here.db", kept, default) == kept
    assert choose(None, here, kept, default) == here
    assert choose("http://a", here, kept, default) == "http://a"
    assert choose(None, None, kept, default) == kept
    assert choose(None, None, None, default) == f"sqlite:///{tmp_path}/default.db"
    gone = f"sqlite:///{tmp_path}/gone.db"
    assert choose(None, "sqlite:///here.db", gone, default) == here
    secret = "postgresql://u:hunter2@db/x"
    assert choose(None, secret, "postgresql://u@db/x", default) == secret
    assert choose("postgresql://u@db/x", secret, None, default) == secret


def failure(code: str) -> MlflowException:
    return MlflowException(code, error_code=ErrorCode.Value(code))


@pytest.mark.parametrize(
    ("error", "refused"),
    [
        (MlflowException("no connection"), False),
        (failure("TEMPORARILY_UNAVAILABLE"), False),
        (failure("REQUEST_LIMIT_EXCEEDED"), False),
        (failure("INVALID_PARAMETER_VALUE"), True),
        (failure("PERMISSION_DENIED"), True),
        (failure("UNAUTHENTICATED"), True),
        (MlflowException("Detected out-of-date database schema (found"), True),
        (RuntimeError("database is locked"), False),
        (RuntimeError('FATAL:  password authentication failed for user "u"'), True),
        (RuntimeError("attempt to write a readonly database"), True),
        (ModuleNotFoundError("No module named 'psycopg'"), True),
        (ConnectionRefusedError("refused"), False),
        (PermissionError("denied"), True),
        (ArtifactsFailed("disk full"), True),
    ],
)
def test_what_is_refused_is_told_from_what_may_work_later(error, refused):
    assert is_refused(error) == refused
    assert ("refuses" in warning_of(error, "run")) == (
        refused and not isinstance(error, ArtifactsFailed)
    )


@pytest.mark.parametrize(
    ("text", "heading"),
    [
        ("too many 500 error responses", "MLflow's server answers with an error"),
        ("API request failed with error code 503 != 200", "MLflow's server answers with an error"),
        ("500 Server Error: Internal Server Error", "MLflow's server answers with an error"),
        ("port=5000): Connection refused", "MLflow cannot be reached"),
    ],
)
def test_a_server_that_answers_with_an_error_was_reached(text, heading):
    assert warning_of(MlflowException(text), "run").startswith(f"warning: {heading}, the run")


def test_a_reason_holds_no_password():
    assert PASSWORD not in reason_of(RuntimeError(f"http://u:{PASSWORD}@h:1/api failed"))


# ------------------------------------------------------------------------------- before the start


POOL = (
    "API request to http://h:5000/api/2.0/runs/get failed with exception HTTPConnectionPool(host="
    "'h', port=5000): Max retries exceeded with url: /api/2.0/mlflow/runs/get?run_id=1 (Caused by "
)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            POOL
            + """NewConnectionError("HTTPConnection(host='h', port=5000): Failed to establish """
            """a new connection: [Errno 111] Connection refused"))""",
            "http://h:5000: Failed to establish a new connection: [Errno 111] Connection refused",
        ),
        (
            POOL + "ResponseError('too many 500 error responses'))",
            "http://h:5000: too many 500 error responses",
        ),
        (
            "(sqlite3.OperationalError) database is locked [SQL: SELECT name FROM t] (Background)",
            "(sqlite3.OperationalError) database is locked",
        ),
    ],
)
def test_the_cause_of_a_failed_request_is_told_and_not_its_path(text, reason):
    assert reason_of(MlflowException(text)) == reason


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("foo://x", "foo"),
        (f"postgresql://u:{PASSWORD}@127.0.0.1:1/db", "psycopg"),
        ("sqlite:///{tmp}/text.db/x.db", "not a folder"),
        ("sqlite:///{tmp}/text.db", "no sqlite database"),
        ("sqlite:///{tmp}", "not a file"),
        ("http:/bad", "http:/bad"),
    ],
)
def test_a_store_that_can_never_work_is_a_mistake_that_makes_nothing(
    uri, said, points_yaml, invoke, tmp_path, monkeypatch
):
    (tmp_path / "text.db").write_text("no database, but a text that is long enough")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri.format(tmp=tmp_path))
    options = ("--set", "tracking.enabled=true", "--output", tmp_path / "run")
    done = invoke("train", points_yaml, *options)
    assert done.exit_code == 2, done.output
    assert said in done.output and PASSWORD not in done.output
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        (f"tracking.uri=postgresql://u:{PASSWORD}@db/x", "MLFLOW_TRACKING_URI"),
        (f"tracking.experiment={'x' * 501}", "tracking.experiment"),
    ],
)
def test_a_config_with_a_password_or_too_long_a_name_is_a_mistake(
    setting, said, points_yaml, invoke, tmp_path
):
    done = invoke("train", points_yaml, "--set", setting, "--output", tmp_path / "run")
    assert done.exit_code == 2 and said in done.output


def test_a_store_that_does_not_answer_delays_no_start():
    check_store(TrackingConfig(uri=f"http://127.0.0.1:{free_port()}"))


# ----------------------------------------------------------------------- while a run is recorded


@pytest.fixture(scope="module")
def empty_store(tmp_path_factory) -> Path:
    """A migrated store, which is quicker to copy than to make."""
    file = tmp_path_factory.mktemp("empty") / "mlflow.db"
    MlflowClient(f"sqlite:///{file}").get_experiment_by_name("any")
    return file


@pytest.fixture
def store(empty_store, tmp_path, monkeypatch) -> str:
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.chdir(tmp_path)
    return uri


@pytest.fixture
def folder(points_run, tmp_path) -> RunFolder:
    return RunFolder(Path(shutil.copytree(points_run[0], tmp_path / "run")))


def config_of(folder: RunFolder):
    config = folder.load_config()
    tracking = TrackingConfig(system_metrics=False, model=False)
    return config.model_copy(update={"tracking": tracking})


def record(folder: RunFolder, say) -> str:
    """Bring the record up to date; return the id of its MLflow run."""
    RunRecord(folder, config_of(folder), say).update()
    return read_state(folder.tracking).run_id


def metrics_of(uri: str, run_id: str) -> int:
    file = uri.removeprefix("sqlite:///")
    return rows(Path(file), f"select count(*) from metrics where run_uuid = '{run_id}'")[0][0]


def test_a_deleted_run_is_restored_and_that_is_said(store, folder):
    said: list[str] = []
    run_id = record(folder, said.append)
    client = MlflowClient(store)
    client.delete_run(run_id)
    assert record(folder, said.append) == run_id
    assert client.get_run(run_id).info.lifecycle_stage == "active"
    assert len(said) == 1 and "had been deleted" in said[0]


def test_a_run_that_is_deleted_while_it_is_recorded_is_restored(store, folder):
    said: list[str] = []
    lines = folder.journal.read_bytes().splitlines(keepends=True)
    folder.journal.write_bytes(b"".join(lines[:10]))
    record = RunRecord(folder, config_of(folder), said.append)
    record.update()
    run_id = read_state(folder.tracking).run_id
    MlflowClient(store).delete_run(run_id)
    folder.journal.write_bytes(b"".join(lines))
    record.close("FINISHED")
    run = MlflowClient(store).get_run(run_id)
    assert run.info.lifecycle_stage == "active" and run.info.status == "FINISHED"
    assert read_state(folder.tracking).logged == 29 and record.complete
    assert len(said) == 1 and "restored" in said[0]


def test_a_deleted_experiment_is_restored_and_that_is_said(store, folder):
    said: list[str] = []
    run_id = record(folder, said.append)
    client = MlflowClient(store)
    experiment = client.get_experiment_by_name("egan")
    assert experiment.tags["mlflow.experimentKind"] == "custom_model_development"
    client.delete_experiment(experiment.experiment_id)
    assert record(folder, said.append) == run_id
    assert client.get_experiment_by_name("egan").lifecycle_stage == "active"
    assert len(said) == 1 and "'egan' had been deleted" in said[0]


def test_a_run_that_is_gone_is_begun_anew_from_the_journal(store, folder, empty_store):
    said: list[str] = []
    first = record(folder, said.append)
    count = metrics_of(store, first)
    shutil.copy(empty_store, store.removeprefix("sqlite:///"))
    second = record(folder, said.append)
    assert second != first and metrics_of(store, second) == count > 0
    assert len(said) == 1 and first in said[0]


def test_a_copy_gets_a_record_of_its_own_and_a_moved_run_keeps_its(store, folder, tmp_path):
    said: list[str] = []
    run_id = record(folder, said.append)
    moved = RunFolder(folder.path.rename(tmp_path / "moved"))
    assert record(moved, said.append) == run_id and not said
    copy = RunFolder(Path(shutil.copytree(moved.path, tmp_path / "copy")))
    before = metrics_of(store, run_id)
    shown = log_evaluation(copy, {"fid": 1.0}, 30)
    assert "copy of" in shown and metrics_of(store, run_id) == before
    assert "logged to run" in log_evaluation(moved, {"fid": 1.0}, 30)
    assert metrics_of(store, run_id) == before + 1
    own = record(copy, said.append)
    assert own != run_id and metrics_of(store, own) == before
    assert len(said) == 1 and "copy of" in said[0]
    assert "logged to run" in log_evaluation(copy, {"fid": 1.0}, 30)


def test_of_two_folders_whose_original_is_gone_the_first_to_go_on_keeps_the_record(
    store, folder, tmp_path
):
    said: list[str] = []
    run_id = record(folder, said.append)
    copy = RunFolder(Path(shutil.copytree(folder.path, tmp_path / "copy")))
    moved = RunFolder(folder.path.rename(tmp_path / "moved"))
    assert record(moved, said.append) == run_id and not said
    before = metrics_of(store, run_id)
    assert "copy of" in log_evaluation(copy, {"fid": 1.0}, 30)
    assert record(copy, said.append) != run_id and metrics_of(store, run_id) == before
    assert len(said) == 1 and f"copy of {moved.path}" in said[0]


def test_no_password_is_written_down(store, folder, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"{store}?password={PASSWORD}")
    try:
        record(folder, pytest.fail)
    except Exception as error:  # sqlite knows no such option
        assert PASSWORD not in reason_of(error)
    for file in folder.path.rglob("*.*"):
        assert not file.is_file() or PASSWORD.encode() not in file.read_bytes()


def test_an_artifact_store_that_cannot_be_written_leaves_no_run_running(store, folder, tmp_path):
    (tmp_path / "obstacle").write_text("a file where a folder must be")
    MlflowClient(store).create_experiment("egan", artifact_location=f"{tmp_path}/obstacle/a")
    said: list[str] = []
    tracker = MlflowTracker(folder, config_of(folder), said.append)
    tracker.finish("FINISHED")
    run_id = read_state(folder.tracking).run_id
    assert MlflowClient(store).get_run(run_id).info.status == "FINISHED"
    assert read_state(folder.tracking).logged == 29
    assert "artifacts cannot be written" in said[0]
    assert "once that is put right" in said[1] and len(said) == 2


def test_a_locked_store_prints_no_traceback_and_is_caught_up_with(
    store, folder, monkeypatch, capfd
):
    monkeypatch.setattr(run_logger, "PATIENCE", 0.2)
    said: list[str] = []
    run_id = record(folder, said.append)
    state = json.loads(folder.tracking.read_text())
    folder.tracking.write_text(json.dumps(state | {"logged": 10}))
    engine_timeout = 20  # seconds that MLflow waits for a lock
    lock = sqlite3.connect(store.removeprefix("sqlite:///"), isolation_level=None)
    lock.execute("begin exclusive")
    tracker = MlflowTracker(folder, config_of(folder), said.append)
    deadline = time.monotonic() + 3 * engine_timeout
    while not said:
        assert time.monotonic() < deadline, "the lock was not noticed"
        time.sleep(0.1)
    lock.rollback()
    lock.close()
    tracker.finish("FINISHED")
    assert MlflowClient(store).get_run(run_id).info.status == "FINISHED"
    assert "cannot be reached" in said[0] and "Traceback" not in "".join(capfd.readouterr())
    assert said[-1].startswith("MLflow: experiment")
