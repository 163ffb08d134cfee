"""The record in MLflow, with the real MLflow and a sqlite store."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import yaml

from populations.individual import Score
from populations.lineage import Lineage
from populations.selection import build_selection
from runs import load_config, sample
from runs.common.formats import without_head
from runs.store.folder import RunFolder
from runs.store.identity import Identity
from runs.store.journal import Entry, Event, Journal
from runs.tracking.metrics import fault_metrics, metrics_of
from runs.tracking.params import flatten, strategy_of, tags_of
from runs.tracking.run_logger import RunRecord
from tests.runs.tracking.stores import (
    TRACKED,
    check_every_row_is_there_once,
    journal,
    logged,
    rows,
    store_at,
    wait_for,
)

# ----------------------------------------------------------------------------------- a sqlite store


@pytest.fixture(scope="module")
def tracked(images_yaml, start, run, new_store, tmp_path_factory) -> Path:
    """A folder with `mlflow.db` and `run`, which was killed while it was tracked, and resumed."""
    folder = tmp_path_factory.mktemp("tracked")
    options = ("--set", "generations=400", "--set", "checkpoint.every=100", *TRACKED)
    process = start(
        "train", images_yaml, *options, "--output", "run",
        cwd=folder, MLFLOW_TRACKING_URI=new_store(folder),
    )  # fmt: skip
    wait_for(lambda: logged(folder / "run") > 20, process)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert rows(folder / "mlflow.db", "select count(*) from metrics")[0][0] > 0
    done = run("resume", "run", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "experiment 'egan'" in done.stdout
    return folder


def test_a_killed_and_resumed_run_is_one_run_in_mlflow(tracked):
    (row,) = rows(tracked / "mlflow.db", "select run_uuid, status, name from runs")
    state = json.loads((tracked / "run" / "tracking.json").read_text())
    assert row == (state["run_id"], "FINISHED", "run")
    assert rows(tracked / "mlflow.db", "select name from experiments where name = 'egan'")


def test_no_row_is_missing_and_none_is_there_twice(tracked):
    assert [entry.generation for entry in journal(tracked / "run")] == list(range(400))
    check_every_row_is_there_once(tracked / "mlflow.db", tracked / "run")


def test_a_run_that_its_folder_does_not_name_yet_is_found_in_mlflow(tracked, run, tmp_path):
    """As after a kill between the run's making in the store and the note of it."""
    copy = Path(shutil.copytree(tracked, tmp_path / "copy"))
    noted = copy / "run" / "tracking.json"
    state = json.loads(noted.read_text())
    noted.write_text(json.dumps({"ticket": state["ticket"]}))
    # Without another generation: the copied store names the original's folder for pictures.
    assert run("resume", "run", cwd=copy, MLFLOW_TRACKING_URI=store_at(copy)).returncode == 0
    assert json.loads(noted.read_text())["run_id"] == state["run_id"]
    assert rows(copy / "mlflow.db", "select count(*) from runs") == [(1,)]
    check_every_row_is_there_once(copy / "mlflow.db", copy / "run")


def test_faults_that_were_survived_are_counted_with_their_cost():
    totals: Counter[str] = Counter()
    lost = Event(3, 0.0, "worker-lost", {"worker": 1})
    joined = Event(3, 0.0, "worker-joined", {"worker": 1, "seconds": 2.0, "bytes": 7})
    resynced = Event(4, 0.0, "replica-resynced", {"seconds": 0.5, "bytes": 100})
    rule = Event(0, 0.0, "rule", {"key": "discriminator.r1", "value": 1.0})
    assert fault_metrics(joined, totals) == fault_metrics(rule, totals) == {}
    assert fault_metrics(lost, totals) == {"faults/worker_lost": 1.0}
    assert fault_metrics(lost, totals) == {"faults/worker_lost": 2.0}
    assert fault_metrics(resynced, totals) == {
        "faults/replica_resynced": 1.0,
        "faults/replica_resynced_seconds": 0.5,
        "faults/replica_resynced_bytes": 100.0,
    }
    assert fault_metrics(resynced, totals)["faults/replica_resynced_bytes"] == 200.0


def test_faults_after_the_last_generation_are_counted_once(points_run, tmp_path, monkeypatch):
    folder = RunFolder(Path(shutil.copytree(points_run[0], tmp_path / "run")))
    journal = Journal(folder.journal, Identity())
    journal.append(Event(30, 1e9, "snapshot-failed"))
    journal.close()
    query = "select value, step from metrics where key = 'faults/snapshot_failed'"
    for name in ("mlflow.db", "mlflow.db", "other.db"):  # as resumed runs do, the last elsewhere
        store = tmp_path / name
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{store}")
        record = RunRecord(folder, folder.load_config(), pytest.fail)
        record.update()
        record.stop_monitor()
        assert rows(store, query) == [(1.0, 30)]


def test_the_metrics_are_the_promised_ones(tracked):
    found = {name for (name,) in rows(tracked / "mlflow.db", "select distinct key from metrics")}
    for mutation in ("minimax", "heuristic", "least_squares"):
        assert {
            f"{name}/{mutation}" for name in ("quality", "diversity", "fitness", "share_of_wins")
        } <= found
    assert {
        *("survivor/quality", "survivor/diversity", "survivor/child", "images_per_second"),
        *("seconds/variation", "seconds/evaluation", "seconds/advance", "seconds/total"),
    } <= found
    assert any(name.startswith("discriminator/") for name in found)


def test_the_whole_config_is_there_as_params(tracked):
    found = dict(rows(tracked / "mlflow.db", "select key, value from params"))
    values = yaml.safe_load((tracked / "run" / "config.yaml").read_text())
    assert found == flatten(without_head(values))
    assert found["population.mutations"] == "minimax, heuristic, least_squares"
    assert found["seed"] == "3"


def test_the_tags_say_what_kind_of_run_it_is(tracked):
    found = dict(rows(tracked / "mlflow.db", "select key, value from tags"))
    assert found["strategy"] == "egan: minimax + heuristic + least_squares"
    assert (found["backbone"], found["data"], found["seed"]) == ("dcgan", "digits", "3")


def test_pictures_and_the_config_are_artifacts(tracked):
    (uri,) = rows(tracked / "mlflow.db", "select artifact_uri from runs")[0]
    artifacts = Path(uri.removeprefix("file://"))
    artifacts = artifacts if artifacts.is_absolute() else tracked / artifacts
    names = {str(path.relative_to(artifacts)) for path in artifacts.rglob("*") if path.is_file()}
    grids = {f"samples/generation-{n:08d}.png" for n in (100, 200, 300, 400)}
    assert (
        names == {"config.yaml", "plots/scores.png", "plots/wins.png", "plots/training.png"} | grids
    )


PREDICT = """
import sys
import mlflow, numpy, pandas
model = mlflow.pyfunc.load_model(sys.argv[1])
rows = pandas.DataFrame({"count": [5, 2], "seed": [7, 1]})
numpy.save(sys.argv[2], model.predict(rows))
"""


def test_the_evolved_generator_is_a_model_without_pickle(tracked, tmp_path):
    store = tracked / "mlflow.db"
    ((model, location),) = rows(store, "select model_id, artifact_location from logged_models")
    folder = Path(location.removeprefix("file://"))
    folder = folder if folder.is_absolute() else tracked / folder
    assert not [
        path for path in folder.rglob("*") if path.suffix in (".pkl", ".pt", ".pth", ".bin")
    ]
    done = subprocess.run(
        [sys.executable, "-c", PREDICT, f"models:/{model}", str(tmp_path / "images.npy")],
        cwd=tmp_path,
        env=os.environ
        | {
            "MLFLOW_TRACKING_URI": store_at(tracked),
            "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
            "OMP_NUM_THREADS": "1",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    images = np.load(tmp_path / "images.npy")
    run = tracked / "run"
    assert images.dtype == np.uint8
    assert (images == np.concatenate([sample(run, 5, 7), sample(run, 2, 1)])).all()


def test_resuming_a_finished_run_logs_nothing_again_not_even_another_model(tracked, run):
    before = (tracked / "mlflow.db").read_bytes()
    files = {path for path in tracked.rglob("*") if path.is_file()}
    done = run("resume", "run", cwd=tracked)
    assert done.returncode == 0, done.stderr
    assert "has ended" in done.stdout
    assert (tracked / "mlflow.db").read_bytes() == before
    assert {path for path in tracked.rglob("*") if path.is_file()} == files


def test_an_ended_run_whose_note_is_older_than_its_end_logs_no_second_model(tracked, run):
    """Such a note is what a mirror has, for the run is copied before its record ends."""
    note, store = tracked / "run" / "tracking.json", tracked / "mlflow.db"
    note.write_text(json.dumps(json.loads(note.read_text()) | {"ended": False, "logged": 300}))
    done = run("resume", "run", cwd=tracked)
    assert done.returncode == 0, done.stderr
    assert json.loads(note.read_text())["ended"]
    assert len(rows(store, "select * from logged_models")) == 1
    check_every_row_is_there_once(store, tracked / "run")


# -------------------------------------------------------------------------------------- small parts


@pytest.mark.long
def test_a_damaged_note_of_the_record_begins_a_new_one(tracked, run, tmp_path):
    folder = Path(shutil.copytree(tracked / "run", tmp_path / "run"))
    (folder / "tracking.json").write_text('{"run_id": ')
    done = run("resume", "run", cwd=tmp_path, MLFLOW_TRACKING_URI=store_at(tmp_path))
    assert done.returncode == 0, done.stderr
    check_every_row_is_there_once(tmp_path / "mlflow.db", folder)


def test_a_strategy_is_said_in_a_word_or_two():
    assert strategy_of(load_config("digits")).startswith("egan: minimax + ")
    assert strategy_of(load_config("digits", population__mutations=["heuristic"])) == "heuristic"
    assert tags_of(load_config("digits", selection__name="random"))["strategy"].startswith(
        "random:"
    )


def test_nested_values_are_flattened_under_dotted_keys():
    values = {"a": {"b": {"c": 1}, "d": [1, 2]}, "e": None, "f": "x"}
    assert flatten(values) == {"a.b.c": "1", "a.d": "1, 2", "e": "None", "f": "x"}


@pytest.mark.process
def test_without_tracking_mlflow_is_not_even_imported(images_yaml, tmp_path):
    code = (
        "import sys\n"
        "from runs import evolve, load_config\n"
        f"evolve(load_config({images_yaml!r}, generations=1), {str(tmp_path / 'run')!r})\n"
        "assert not {'mlflow', 'ray'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_images_per_second_follow_the_batch_of_the_stage():
    growth = {"start": 16, "training_kimg": 0.02, "transition_kimg": 0, "batch": {16: 12, 32: 4}}
    config = load_config("progan-fashion", data__path="none", backbone__growth=growth)
    selection = build_selection(config.selection, 1, config.fitness.weights)
    jobs = selection.propose(config.population.operators, 0, 0)
    scores = (Score((0.5, 1.0)),) * len(jobs)

    def images_per_second(generation):
        entry = Entry(generation, 0.0, "", jobs, scores, jobs[:1], seconds={"total": 0.5})
        return metrics_of(entry, Lineage(), selection, config)["images_per_second"]

    assert list(map(images_per_second, (0, 1, 2, 3))) == [24, 24, 8, 8]
