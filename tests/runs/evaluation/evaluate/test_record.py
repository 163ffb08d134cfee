"""What is kept of an evaluation: beside the run, and in MLflow."""

import json
import shutil
from pathlib import Path

import pytest

from runs import resume
from runs.store.snapshots import newest
from runs.training.driver import evolve

PIXELS = ("--space", "pixels", "--metrics", "fid,prdc")


def test_values_are_kept_in_the_run_by_protocol(run, found):
    shown = found(run, "--count", 50, "--metrics", "fid")
    file = Path(shown["file"])
    generation = newest(run / "best")[0].generation
    assert file == run / "evaluations" / f"generation-{generation:08d}.json"
    (kept,) = json.loads(file.read_text())
    assert kept["values"] == shown["values"]
    assert (kept["against"], kept["data"], kept["seed"]) == ("digits", shown["data"], 0)
    found(run, "--count", 50, "--metrics", "fid")
    found(run, "--count", 30, "--metrics", "kid")
    (kept,) = json.loads(file.read_text())  # of one protocol: the names say the rest
    assert list(kept["values"]) == ["fid-pixels-50", "kid-pixels-30"]
    found(run, "--count", 50, "--metrics", "fid", "--seed", 1)
    found(run, "--count", 50, "--metrics", "fid", "--space", "classifier")
    assert len(json.loads(file.read_text())) == 3


def test_a_damaged_record_is_not_overwritten(run, mistake, found):
    file = Path(found(run, "--count", 50, "--metrics", "fid")["file"])
    file.write_text("{")
    assert "damaged" in mistake("evaluate", run, "--count", 50, "--metrics", "fid")
    assert file.read_text() == "{"


@pytest.fixture(scope="module")
def logged(config, new_store, tmp_path_factory):
    """A run of images with a record in a real store."""
    folder = tmp_path_factory.mktemp("logged")
    tracking = {"uri": new_store(folder), "system_metrics": False, "model": False}
    evolve(config("images", generations=4, tracking=tracking, evaluation__survivors=True),
           folder / "run")  # fmt: skip
    return folder / "run"


def rows(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Return (step, value) of all rows in a run's record, by key."""
    from mlflow import MlflowClient

    state = json.loads((folder / "tracking.json").read_text())
    client = MlflowClient(state["uri"])
    keys = client.get_run(state["run_id"]).data.metrics
    return {
        key: [(row.step, row.value) for row in client.get_metric_history(state["run_id"], key)]
        for key in keys
    }


def test_scorings_are_logged_once_each_whatever_is_resumed(logged, scorings):
    resume(logged)
    found = rows(logged)
    for name in ("fid", "coverage"):
        expected = [(g, s.values[f"{name}-pixels-60"]) for g, s in scorings(logged).items()]
        assert found[f"evaluation/{name}-pixels-60"] == expected
        own = [(g, s.survivors[1][f"{name}-pixels-60"]) for g, s in scorings(logged).items()]
        assert found[f"evaluation/parent1/{name}-pixels-60"] == own


def test_an_evaluation_is_logged_once_however_often_it_is_repeated(logged, found, npz):
    generation = newest(logged / "best")[0].generation
    for _ in range(2):
        shown = found(logged, "--count", 50, "--metrics", "fid,prdc")
        assert "logged to run" in shown["mlflow"]
        other = found(logged, "--count", 50, "--metrics", "fid", "--against", npz)
    kept = rows(logged)
    for name, value in shown["values"].items():
        assert kept[f"evaluation/{name}"] == [(generation, value)]
    assert kept["evaluation/against sixty.npz/fid-pixels-50"] == [
        (generation, other["values"]["fid-pixels-50"])
    ]


def test_a_raw_survivor_is_scored_as_the_run_scores_it_and_told_apart(logged, found, scorings):
    generation = newest(logged / "best")[0].generation
    protocol = ("--count", 60, "--metrics", "fid", "--seed", 1, "--device", "cpu")
    expected = scorings(logged)[generation].survivors[1]["fid-pixels-60"]
    averaged = found(logged, *protocol, "--snapshot", generation)
    raw = found(logged, *protocol, "--snapshot", generation, "--survivor", 1, "--raw")
    own = found(logged, *protocol, "--snapshot", generation, "--survivor", 1)
    assert raw["values"] == {"fid-pixels-60": expected}
    assert raw["snapshot"].startswith("survivor 1, not averaged")
    kept = [part["snapshot"] for part in json.loads(Path(raw["file"]).read_text())]
    assert {shown["snapshot"] for shown in (averaged, raw, own)} <= set(kept)
    record = rows(logged)
    assert record["evaluation/parent1/fid-pixels-60"].count((generation, expected)) >= 1
    assert record["evaluation/parent1-average/fid-pixels-60"] == [
        (generation, own["values"]["fid-pixels-60"])
    ]
    assert (generation, averaged["values"]["fid-pixels-60"]) in record["evaluation/fid-pixels-60"]


def test_only_a_run_has_generators_to_choose_from(mistake, npz):
    for choice in (("--raw",), ("--survivor", 1), ("--snapshot", 4)):
        message = mistake("evaluate", npz, "--against", "digits", *choice)
        assert "holds images, and no run: it has no snapshots to choose from" in message


@pytest.mark.mlflow
def test_a_dead_store_is_a_note(logged, found, tmp_path):
    folder = Path(shutil.copytree(logged, tmp_path / "run"))
    state = json.loads((folder / "tracking.json").read_text())
    for uri in ("http://127.0.0.1:9", f"sqlite:///{tmp_path / 'other.db'}"):
        (folder / "tracking.json").write_text(json.dumps(state | {"uri": uri}))
        shown = found(folder, "--count", 50, "--metrics", "fid")
        assert shown["mlflow"].startswith("not logged") and Path(shown["file"]).exists()


def test_a_run_without_a_record_says_so(run, found):
    assert "no MLflow record" in found(run, "--count", 50, "--metrics", "fid")["mlflow"]
