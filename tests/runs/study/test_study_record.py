"""A study's record in a real store that fails for a while: what is missed is made up for."""

import json

import pytest

from runs.config.schema import TrackingConfig
from runs.study.comparison import compare
from runs.study.curves import strategy_curves
from runs.tracking.study_logger import PARENT, MlflowStudyRecord
from tests.runs.study.conftest import METRIC, make_record

VALUES = {"study": "s", "strategy": "evolution", "seed": "0"}


@pytest.fixture
def store(new_store, tmp_path):
    return new_store(tmp_path)


@pytest.fixture
def record(store, tmp_path):
    config = TrackingConfig(experiment="studies", uri=store)
    said = []
    record = MlflowStudyRecord(tmp_path, "s", config, {}, said.append)
    record.said = said
    record.open()
    return record


@pytest.fixture
def run(store, tmp_path):
    """A run's folder with a record of its own in the store."""
    from mlflow import MlflowClient

    client = MlflowClient(store)
    experiment = client.create_experiment("runs")
    run_id = client.create_run(experiment, run_name="seed-0").info.run_id
    folder = tmp_path / "runs" / "evolution" / "seed-0"
    folder.mkdir(parents=True)
    (folder / "tracking.json").write_text(json.dumps({"run_id": run_id, "uri": store}))
    return folder, run_id


def fails_once(monkeypatch, name: str) -> None:
    """Let the store be locked at its next call of this name."""
    from mlflow import MlflowClient

    method, left = getattr(MlflowClient, name), [1]

    def call(*arguments, **options):
        if left:
            left.pop()
            raise RuntimeError("database is locked")
        return method(*arguments, **options)

    monkeypatch.setattr(MlflowClient, name, call)


@pytest.mark.parametrize("by", ["end", "close"])
def test_a_run_that_could_not_be_nested_is_nested_at_an_end(by, record, run, store, monkeypatch):
    from mlflow import MlflowClient

    folder, run_id = run
    fails_once(monkeypatch, "update_run")
    record.nest(folder, "evolution seed 0", VALUES)
    record.nest(folder, "evolution seed 0", VALUES)  # too soon after the failure
    found = MlflowClient(store).get_run(run_id)
    assert PARENT not in found.data.tags and found.info.run_name == "seed-0"
    if by == "end":
        record.end(folder, "FINISHED", {})
    else:
        record.close("FINISHED")
    found = MlflowClient(store).get_run(run_id)
    parent = json.loads((folder.parents[2] / "tracking.json").read_text())["run_id"]
    assert found.data.tags[PARENT] == parent and found.info.run_name == "evolution seed 0"
    assert found.data.params == VALUES and VALUES.items() <= found.data.tags.items()
    assert len(record.said) == 1 and "database is locked" in record.said[0]


def rows_of(client, run_id: str) -> dict[str, list[tuple[int, float]]]:
    return {
        name: sorted((row.step, row.value) for row in client.get_metric_history(run_id, name))
        for name in client.get_run(run_id).data.metrics
    }


def test_each_strategys_median_curve_is_logged_once_where_no_run_is_folded_in(
    record, store, tmp_path
):
    from mlflow import MlflowClient

    runs = [
        make_record("evolution", 0, 1.0, 3.0, steps=3),
        make_record("evolution", 1, 2.0, 5.0, steps=3),
        make_record("random", 0, 7.0, 8.0),
    ]
    strategies = strategy_curves(compare(runs), "generator_steps")
    for _ in range(2):  # as where the finished study is called again
        record.compare(strategies)
        record.close("FINISHED")
    client = MlflowClient(store)
    parent = json.loads((tmp_path / "tracking.json").read_text())["run_id"]
    experiment = client.get_run(parent).info.experiment_id
    own = {run.info.run_name: run for run in client.search_runs([experiment])}
    assert set(own) == {"s", "evolution of s, 2 seeds", "random of s, 1 seed"}
    assert not any(PARENT in run.data.tags for run in own.values())
    assert {run.info.status for run in own.values()} == {"FINISHED"}

    of_all = rows_of(client, parent)
    evolution = rows_of(client, own["evolution of s, 2 seeds"].info.run_id)
    random = rows_of(client, own["random of s, 1 seed"].info.run_id)
    by_steps, by_generations = f"{METRIC} by generator_steps/", f"{METRIC} by generations/"
    assert of_all[f"{by_steps}evolution 2 seeds"] == [(30, 1.5), (60, 4.0)]
    assert of_all[f"{by_steps}random 1 seed"] == [(10, 7.0), (20, 8.0)]
    assert of_all[f"{by_generations}evolution 2 seeds"] == [(10, 1.5), (20, 4.0)]
    assert evolution[f"{by_steps}all strategies"] == of_all[f"{by_steps}evolution 2 seeds"]
    assert random[f"{by_steps}all strategies"] == of_all[f"{by_steps}random 1 seed"]
    assert evolution[METRIC] == [(0, 4.0)] and random[METRIC] == [(0, 8.0)]


def test_a_study_with_more_seeds_than_before_replaces_what_it_had_compared(record, store, tmp_path):
    from mlflow import MlflowClient

    runs = [make_record("evolution", seed, 1.0 + seed, 3.0) for seed in range(2)]
    for count in (1, 2):
        record.compare(strategy_curves(compare(runs[:count]), "generations"))
    client = MlflowClient(store)
    parent = json.loads((tmp_path / "tracking.json").read_text())["run_id"]
    experiment = client.get_run(parent).info.experiment_id
    (own,) = (run for run in client.search_runs([experiment]) if run.info.run_id != parent)
    assert own.info.run_name == "evolution of s, 2 seeds"
    curve = rows_of(client, own.info.run_id)[f"{METRIC} by generations/all strategies"]
    assert curve == [(10, 1.5), (20, 3.0)]


def test_the_section_that_mlflows_charts_add_is_one_that_is_always_there(record, store):
    from mlflow import MlflowClient

    tags = MlflowClient(store).get_experiment_by_name("studies").tags
    assert "/" not in tags["mlflow.experiment.primaryMetric.name"]
