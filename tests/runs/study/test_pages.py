"""MLflow's own pages on a study's store, in headless Chromium: nested, named, with metrics."""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[3]
CHROMIUM = shutil.which("chromium")
pytestmark = [
    pytest.mark.long,
    pytest.mark.timeout(600),
    pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's package chromium"),
]


@pytest.fixture(scope="module")
def store(tmp_path_factory, study_text) -> Path:
    """A small study's folder, its record in the store beside it."""
    place = tmp_path_factory.mktemp("pages")
    values = yaml.safe_load(study_text)
    del values["set"]["tracking.enabled"]
    values["set"]["tracking"] = {"experiment": "pages", "model": False, "system_metrics": False}
    (place / "study.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    environment = os.environ | {"MLFLOW_TRACKING_URI": f"sqlite:///{place}/mlflow.db"}
    command = [sys.executable, str(ROOT / "run_evolution.py"), "study", "study.yaml"]
    subprocess.run(command, cwd=place, env=environment, check=True, capture_output=True)
    return place


@pytest.fixture(scope="module")
def address(store):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "ui", "--port", str(port)]
    command += ["--backend-store-uri", f"sqlite:///{store}/mlflow.db"]
    environment = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with subprocess.Popen(
        command, cwd=store, env=environment, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    ) as server:  # fmt: skip
        for _ in range(120):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2).close()
                break
            except OSError:
                time.sleep(1)
        yield f"http://127.0.0.1:{port}"
        os.killpg(server.pid, 15)
        server.wait()


def page(address: str, folder: Path) -> str:
    """Return the text of a page after its scripts have run."""
    flags = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run "
    flags += "--disable-background-networking --disable-component-update --disable-sync "
    flags += "--virtual-time-budget=30000 --window-size=1600,1200"
    command = [CHROMIUM, *flags.split(), f"--user-data-dir={folder}", "--dump-dom", address]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return re.sub(r"<[^>]+>", " ", done.stdout)


def test_a_study_is_one_named_run_with_its_runs_nested_under_it(address, tmp_path):
    shown = page(f"{address}/#/experiments/1/runs", tmp_path)
    assert "small" in shown  # the study; its runs are folded in under it

    from mlflow import MlflowClient

    client = MlflowClient(address)
    experiment = client.get_experiment_by_name("pages")
    runs = client.search_runs([experiment.experiment_id])
    parents = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    children = [run for run in runs if "mlflow.parentRunId" in run.data.tags]
    assert len(parents) == 1 and len(children) == 4
    assert {run.data.tags["mlflow.parentRunId"] for run in children} == {parents[0].info.run_id}
    artifacts = {item.path for item in client.list_artifacts(parents[0].info.run_id)}
    assert {"report.html", "results.csv", "results.json"} <= artifacts


def test_a_run_of_a_study_shows_its_charts(address, tmp_path):
    from mlflow import MlflowClient

    client = MlflowClient(address)
    experiment = client.get_experiment_by_name("pages")
    child = client.search_runs([experiment.experiment_id], "tags.strategy = 'random'")[0]
    shown = page(
        f"{address}/#/experiments/{experiment.experiment_id}/runs/{child.info.run_id}/model-metrics",
        tmp_path,
    )
    for section in ("evaluation", "diversity", "share_of_wins"):
        assert section in shown
