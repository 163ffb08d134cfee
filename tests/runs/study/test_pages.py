"""MLflow's own pages on a study's store, in headless Chromium: nested, named, with metrics."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from runs.tracking.study_logger import COMPARES
from tests.runs.study.pages import needs_chromium, page, served

ROOT = Path(__file__).parents[3]
pytestmark = [
    pytest.mark.long,
    pytest.mark.timeout(600),
    needs_chromium,
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
    with served(store) as address:
        yield address


def text_of(address: str, folder: Path) -> str:
    return re.sub(r"<[^>]+>", " ", page(address, folder))


def test_a_study_is_one_named_run_with_its_runs_nested_under_it(address, tmp_path):
    shown = text_of(f"{address}/#/experiments/1/runs", tmp_path)
    assert "small" in shown  # the study; its runs are folded in under it

    from mlflow import MlflowClient

    client = MlflowClient(address)
    experiment = client.get_experiment_by_name("pages")
    runs = client.search_runs([experiment.experiment_id])
    parents = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    children = [run for run in runs if "mlflow.parentRunId" in run.data.tags]
    (study,) = (run for run in parents if COMPARES not in run.data.tags)
    assert len(parents) == 3 and len(children) == 4  # the study, and a run for each strategy
    assert {run.data.tags["mlflow.parentRunId"] for run in children} == {study.info.run_id}
    artifacts = {item.path for item in client.list_artifacts(study.info.run_id)}
    assert {"report.html", "results.csv", "results.json"} <= artifacts


def test_a_run_of_a_study_shows_its_charts(address, tmp_path):
    from mlflow import MlflowClient

    client = MlflowClient(address)
    experiment = client.get_experiment_by_name("pages")
    of_random = "tags.strategy = 'random' and tags.seed = '0'"
    child = client.search_runs([experiment.experiment_id], of_random)[0]
    shown = text_of(
        f"{address}/#/experiments/{experiment.experiment_id}/runs/{child.info.run_id}/model-metrics",
        tmp_path,
    )
    for section in ("evaluation", "diversity", "share_of_wins"):
        assert section in shown
