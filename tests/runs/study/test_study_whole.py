"""A whole study by the command line: killed and continued, in MLflow, compared from there."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[3]
RESULTS = ("results.csv", "results.json", "selection.json")
pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def place(tmp_path_factory, study_text):
    place = tmp_path_factory.mktemp("whole")
    values = yaml.safe_load(study_text) | {"budget": {"generator_steps": 360}}
    values["set"] |= {
        "checkpoint": {"every": 30, "keep": 20},
        "tracking": {"experiment": "whole", "model": False, "system_metrics": False},
    }
    del values["set"]["tracking.enabled"]
    (place / "study.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    call(place, "study", "study.yaml", "--output", "whole")
    return place


def environment() -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if k not in ("MLFLOW_TRACKING_URI", "RAY_ADDRESS")}
    return kept | {"COLUMNS": "200"}


def call(place: Path, *arguments: str) -> str:
    command = [sys.executable, str(ROOT / "run_evolution.py"), *arguments]
    done = subprocess.run(
        command, cwd=place, env=environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def journalled(study: Path) -> int:
    return sum(path.read_bytes().count(b"\n") for path in study.rglob("journal.jsonl"))


def test_a_study_that_was_killed_twice_gives_the_same_results(place):
    command = [sys.executable, str(ROOT / "run_evolution.py"), "study", "study.yaml"]
    killed = place / "killed"
    for lines in (50, 600):
        process = subprocess.Popen(
            [*command, "--output", "killed"],
            cwd=place,
            env=environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        while journalled(killed) < lines and process.poll() is None:
            time.sleep(0.02)
        assert process.poll() is None, "it was to be killed on its way"
        process.send_signal(signal.SIGKILL)
        process.wait()
    call(place, "study", "study.yaml", "--output", "killed")
    for name in RESULTS:
        assert (killed / name).read_bytes() == (place / "whole" / name).read_bytes(), name


def test_the_runs_are_nested_and_named_in_mlflow(place):
    from mlflow import MlflowClient

    state = json.loads((place / "whole" / "tracking.json").read_text(encoding="utf-8"))
    client = MlflowClient(state["uri"])
    parent = client.get_run(state["run_id"])
    assert parent.info.status == "FINISHED"
    logged = {file.path for file in client.list_artifacts(state["run_id"])}
    assert {"report.html", "results.csv", "results.json", "plots", "study.yaml"} <= logged
    nested = client.search_runs(
        [parent.info.experiment_id], f"tags.mlflow.parentRunId = '{state['run_id']}'"
    )
    assert sorted(run.info.run_name for run in nested) == [
        "evolution seed 0", "evolution seed 1", "random seed 0", "random seed 1",
    ]  # fmt: skip
    for run in nested:
        assert run.info.status == "FINISHED"
        for name in ("study", "strategy", "seed", "budget"):
            assert run.data.tags[name] == run.data.params[name]
        assert run.data.metrics["spent/generator_steps"] == 360


def test_the_store_alone_tells_the_same(place):
    state = json.loads((place / "whole" / "tracking.json").read_text(encoding="utf-8"))
    said = call(
        place, "compare", "whole", "--store", state["uri"], "--output", "stored",
        "--metric", "high-quality", "--metric", "modes", "--study", "small",
    )  # fmt: skip
    assert "report: stored/report.html" in said
    one, other = (
        json.loads((place / folder / "results.json").read_text(encoding="utf-8"))["metrics"]
        for folder in ("whole", "stored")
    )
    assert one == other


def test_an_unknown_experiment_is_named(place):
    command = [sys.executable, str(ROOT / "run_evolution.py"), "compare", "whol"]
    done = subprocess.run(
        command, cwd=place, env=environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "did you mean 'whole'" in done.stderr
