"""Files of a dissection in a run's MLflow record."""

from pathlib import Path

import pytest

from runs.store.folder import RunFolder
from runs.tracking.attachments import log_files
from runs.tracking.state import TrackingState


@pytest.mark.mlflow
def test_files_are_put_into_the_record(new_store, tmp_path, monkeypatch):
    from mlflow import MlflowClient

    monkeypatch.chdir(tmp_path)
    uri = new_store(tmp_path)
    client = MlflowClient(uri)
    experiment = client.create_experiment("inside", artifact_location=str(tmp_path / "files"))
    run_id = client.create_run(experiment).info.run_id
    folder = RunFolder(tmp_path / "run")
    folder.path.mkdir()
    TrackingState(run_id=run_id, uri=uri).write(folder.tracking)
    file = tmp_path / "dissection.json"
    file.write_text("{}")
    assert log_files(folder, [file], "dissection") == f"logged to run {run_id}"
    assert [f.path for f in client.list_artifacts(run_id, "dissection")] == [
        "dissection/dissection.json"
    ]


def test_a_run_without_a_record_says_so(tmp_path):
    assert log_files(RunFolder(tmp_path), [], "x") == "this run has no MLflow record"
    assert log_files(None, [Path("a")], "x") == "a generator's folder has no MLflow record"
