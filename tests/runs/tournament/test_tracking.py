"""Tournaments in MLflow: a parent, a nested run for each island, each row once."""

import pytest

from runs.tournament.history import read_history
from runs.tournament.islands import TournamentFolder
from runs.tournament.progress import SilentTournament
from runs.tournament.running import run_tournament
from runs.tournament.tracking import island_rows
from runs.tournament.worker import Stopped, Workbench
from runs.tracking.study_logger import PARENT

HERE = {"executor": "local", "device": "cpu"}


def rows_of(client, run_id):
    metrics = client.get_run(run_id).data.metrics
    return {
        name: [(m.step, m.value) for m in client.get_metric_history(run_id, name)]
        for name in metrics
    }


def test_islands_are_nested_with_genes_fitness_and_ancestry_and_no_row_is_logged_twice(
    tiny, new_store, tmp_path, monkeypatch
):
    from mlflow import MlflowClient

    store = new_store(tmp_path)
    tournament = tiny()
    tracking = tournament.base.tracking.model_copy(update={"enabled": True, "uri": store})
    base = tournament.base.model_copy(update={"tracking": tracking})
    tournament = type(tournament)(tournament.config, base)
    answer, left = Workbench.answer, [5]

    def stopping(self, *arguments):
        left[0] -= 1
        if left[0] < 0:
            raise Stopped("SIGTERM")
        return answer(self, *arguments)

    monkeypatch.setattr(Workbench, "answer", stopping)
    path = tmp_path / "t"
    assert not run_tournament(tournament, path, SilentTournament(), execution=HERE).finished
    left[0] = 1000
    assert run_tournament(tournament, path, SilentTournament(), execution=HERE).finished

    client = MlflowClient(store)
    runs = client.search_runs([client.get_experiment_by_name("egan").experiment_id])
    (parent,) = (run for run in runs if PARENT not in run.data.tags)
    nested = {run.data.tags["island"]: run for run in runs if run is not parent}
    assert parent.info.status == "FINISHED" and parent.info.run_name == "tiny"
    names = {file.path for file in client.list_artifacts(parent.info.run_id)}
    assert {"decisions.jsonl", "result.json", "winner.yaml", "samples.png"} <= names
    history = read_history(TournamentFolder(path))
    assert set(nested) == {"island 00", "island 01"}
    for island in island_rows(history):
        run = nested[island.name]
        assert run.data.tags[PARENT] == parent.info.run_id and run.info.status == "FINISHED"
        assert run.data.params == island.params
        assert run.data.tags["ancestry"] == island.tags["ancestry"]
        found = rows_of(client, run.info.run_id)
        expected: dict[str, list] = {}
        for name, value, step, _ in island.rows:
            expected.setdefault(name, []).append((step, pytest.approx(value)))
        assert found == expected
    curve = rows_of(client, parent.info.run_id)["fitness"]
    assert [step for step, _ in curve] == [line.spent for line in history.lines]
