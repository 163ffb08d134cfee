"""Files of a dissection in a run's MLflow record."""

import shutil
from pathlib import Path

import pytest

from runs.sampling.units import UnitsFile
from runs.store.folder import RunFolder
from runs.tracking.attachments import log_files, log_repaired
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


@pytest.mark.mlflow
@pytest.mark.filterwarnings("ignore:.*type hint:UserWarning")  # of MLflow's own, imported first
def test_the_repaired_generator_is_a_model_of_the_record(
    new_store, images_run, tmp_path, monkeypatch
):
    import mlflow
    from mlflow import MlflowClient

    monkeypatch.chdir(tmp_path)
    uri = new_store(tmp_path)
    client = MlflowClient(uri)
    experiment = client.create_experiment("inside", artifact_location=str(tmp_path / "files"))
    run_id = client.create_run(experiment).info.run_id
    folder = RunFolder(shutil.copytree(images_run, tmp_path / "run"))
    TrackingState(run_id=run_id, uri=uri).write(folder.tracking)
    units = UnitsFile(layer="layers.2", units=[0, 1, 2, 3], shares=[1.0] * 4)
    assert log_repaired(folder, units) == f"logged to run {run_id}"
    (model,) = client.search_logged_models([experiment])
    assert model.name == "repaired-generator"
    assert model.params["snapshot"].endswith("without units 0, 1, 2, 3 of layers.2")
    mlflow.set_tracking_uri(uri)
    images = mlflow.pyfunc.load_model(model.model_uri).predict({"count": [5], "seed": [0]})
    assert len(images) == 5 and (images == images[0]).all()
    others = units.model_copy(update={"weights": "other"})
    assert "are of other weights" in log_repaired(folder, others)
    assert log_repaired(None, units) == "a generator's folder has no MLflow record"
