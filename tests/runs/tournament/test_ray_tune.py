"""The example of Ray Tune runs as its first line says, and MLflow has its trials."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.mark.ray
@pytest.mark.mlflow
def test_tune_stops_trials_early_and_logs_them(new_store, tmp_path):
    from mlflow import MlflowClient

    store = new_store(tmp_path)
    command = [sys.executable, str(ROOT / "examples" / "ray_tune.py"), "--samples", "3",
               "--step", "20", "--generations", "80", "--store", store,
               "--output", str(tmp_path / "tune")]  # fmt: skip
    environment = os.environ | {"PYTHONPATH": str(ROOT), "MLFLOW_DISABLE_TELEMETRY": "true",
                                "RAY_ADDRESS": "local"}  # fmt: skip
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=280,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert "best kl:" in done.stdout and "--set optimizer.learning_rate=" in done.stdout
    client = MlflowClient(store)
    runs = client.search_runs([client.get_experiment_by_name("tune").experiment_id])
    assert len(runs) == 3
    assert {"optimizer.learning_rate", "discriminator.r1"} <= set(runs[0].data.params)
    assert all("kl" in run.data.metrics for run in runs)
    ends = sorted(run.data.metrics["generation"] for run in runs)
    assert ends[-1] == 80 and all(end % 20 == 0 for end in ends)
