"""The record in MLflow, with dead and dying servers: nothing is delayed, and nothing is lost."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.runs.tracking.stores import (
    TRACKED,
    check_every_row_is_there_once,
    free_port,
    journal,
    logged,
    rows,
    store_at,
    wait_for,
)

# ------------------------------------------------------------------------------------ a dead server


def test_a_dead_server_delays_nothing_and_resume_catches_up(images_yaml, run, new_store, tmp_path):
    dead = f"http://127.0.0.1:{free_port()}"
    began = time.monotonic()
    done = run(
        *("train", images_yaml, "--set", "generations=60", *TRACKED, "--output", "run"),
        cwd=tmp_path,
        MLFLOW_TRACKING_URI=dead,
    )
    assert time.monotonic() - began < 150  # MLflow by itself waits for 247 s, and again
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("warning: MLflow") == 1
    assert "Traceback" not in done.stdout + done.stderr
    assert "resume" in done.stdout.split("MLflow: the record is not complete")[1]
    entries = journal(tmp_path / "run")
    assert len(entries) == 60
    assert entries[-1].time - entries[0].time < 60  # the loop never waited
    late = run("resume", "run", cwd=tmp_path, MLFLOW_TRACKING_URI=new_store(tmp_path))
    assert late.returncode == 0, late.stderr
    assert "warning" not in late.stdout
    check_every_row_is_there_once(tmp_path / "mlflow.db", tmp_path / "run")


@pytest.fixture(scope="module")
def silent_server():
    """A port that takes connections and never answers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.long
@pytest.mark.timeout(400)
def test_a_server_that_never_answers_delays_the_end_only_by_a_bound(
    images_yaml, run, silent_server, tmp_path
):
    began = time.monotonic()
    done = run(
        *("train", images_yaml, "--set", "generations=60", *TRACKED, "--output", "run"),
        cwd=tmp_path,
        MLFLOW_TRACKING_URI=silent_server,
    )
    assert time.monotonic() - began < 120
    assert done.returncode == 0, done.stderr
    entries = journal(tmp_path / "run")
    assert entries[-1].time - entries[0].time < 60
    assert "the record is not complete" in done.stdout


# ------------------------------------------------------------------------------------ a real server


class Server:
    """A real `mlflow server` on a loopback port, with its store in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.uri = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen | None = None

    def start(self) -> None:
        mlflow = Path(sys.executable).parent / "mlflow"
        command = [str(mlflow), "server", "--host", "127.0.0.1", "--port", str(self.port)]
        command += ["--backend-store-uri", store_at(self.folder), "--workers", "1"]
        command += ["--artifacts-destination", str(self.folder / "artifacts")]
        quiet = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
        log = (self.folder / "server.log").open("ab")
        with log:
            self._process = subprocess.Popen(
                command,
                cwd=self.folder,
                env=os.environ | quiet,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        wait_for(self._answers, self._process, 120)

    def _answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def stop(self) -> None:
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None


@pytest.fixture
def server(tmp_path):
    if shutil.which("mlflow") is None and not (Path(sys.executable).parent / "mlflow").exists():
        pytest.skip("MLflow's command is not installed")
    server = Server(tmp_path)
    yield server
    server.stop()


@pytest.mark.long
@pytest.mark.timeout(600)
def test_a_server_that_dies_and_comes_back_holds_every_row_once(
    images_yaml, start, run, server, tmp_path
):
    folder = tmp_path / "run"
    server.start()
    process = start(
        *("train", images_yaml, "--set", "generations=100000", *TRACKED, "--output", "run"),
        cwd=tmp_path,
        MLFLOW_TRACKING_URI=server.uri,
    )
    wait_for(lambda: logged(folder) > 10, process)
    server.stop()
    count = len(journal(folder))
    wait_for(lambda: len(journal(folder)) > count + 100, process)  # it goes on
    os.killpg(process.pid, signal.SIGTERM)
    stdout, stderr = process.communicate(timeout=120)
    assert process.returncode == 3, stderr
    assert stdout.count("warning: MLflow") == 1
    generation = len(journal(folder))
    server.start()
    done = run("resume", "run", "--generations", generation + 5, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "View run" not in done.stdout + stdout  # which MLflow prints twice
    check_every_row_is_there_once(tmp_path / "mlflow.db", folder)
    assert len(rows(tmp_path / "mlflow.db", "select * from runs")) == 1
    assert rows(tmp_path / "mlflow.db", "select * from logged_models")


@pytest.mark.long
@pytest.mark.timeout(600)
def test_a_server_that_comes_up_while_the_run_goes_on_gets_every_row_once(
    images_yaml, start, server, tmp_path
):
    folder = tmp_path / "run"
    process = start(
        *("train", images_yaml, "--set", "generations=100000", *TRACKED, "--output", "run"),
        cwd=tmp_path,
        MLFLOW_TRACKING_URI=server.uri,
    )
    wait_for(lambda: len(journal(folder)) > 50, process)
    assert logged(folder) == -1
    server.start()
    wait_for(lambda: logged(folder) > 50, process, 200)
    os.killpg(process.pid, signal.SIGTERM)
    stdout, stderr = process.communicate(timeout=200)
    assert process.returncode == 3, stderr
    assert stdout.count("warning: MLflow") == 1 and "the store answers again" in stdout
    check_every_row_is_there_once(tmp_path / "mlflow.db", folder)


@pytest.mark.long
@pytest.mark.timeout(600)
def test_a_clock_that_jumps_back_gives_every_row_its_journalled_time(
    images_yaml, own_modules, run, tmp_path
):
    mutations = "population.mutations=[heuristic, 'backwards:backwards']"
    done = run(
        *("train", images_yaml, "--set", "generations=40", "--set", mutations, *TRACKED),
        *("--output", "run"),
        cwd=tmp_path,
        MLFLOW_TRACKING_URI=store_at(tmp_path),
    )
    assert done.returncode == 0, done.stderr
    times = [entry.time for entry in journal(tmp_path / "run")]
    assert min(times[15:]) < times[0] - 80_000
    check_every_row_is_there_once(tmp_path / "mlflow.db", tmp_path / "run")


@pytest.mark.long
@pytest.mark.timeout(600)
def test_system_metrics_are_recorded_and_end_with_the_run(points_yaml, run, tmp_path):
    done = run(
        *("train", points_yaml, "--set", "generations=400", "--set", "tracking.enabled=true"),
        *("--output", "run"),
        cwd=tmp_path,
        MLFLOW_TRACKING_URI=store_at(tmp_path),
        MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL="1",
        PAUSE="0.02",
    )
    assert done.returncode == 0, done.stderr
    keys = {key for (key,) in rows(tmp_path / "mlflow.db", "select distinct key from metrics")}
    assert "system/cpu_utilization_percentage" in keys
