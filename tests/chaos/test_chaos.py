"""A run whose workers and driver are killed again and again ends in the undisturbed run's bits."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_a_run_under_chaos_ends_in_the_bits_of_one_left_alone(tmp_path):
    found = tmp_path / "found.json"
    environment = {k: v for k, v in os.environ.items() if k != "RAY_ADDRESS"}
    done = subprocess.run(
        [sys.executable, "-m", "tests.chaos.campaign", "--output", str(tmp_path / "runs"),
         "--json", str(found), "--generations", "200", "--workers", "3", "--every", "10",
         "--kills", "5", "--terms", "1"],
        capture_output=True, text=True, timeout=3500, check=False, cwd=ROOT, env=environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    values = json.loads(found.read_text())
    assert values["checksums"][0] == values["checksums"][1]
    assert values["differences"] == []
    assert values["store"]["duplicates"] == [0, 0] and values["store"]["same_values"]
    assert values["left_behind"] == 0
    drivers = [blow for blow in values["struck"] if blow["target"] == "driver"]
    workers = [blow for blow in values["struck"] if blow["target"] == "worker"]
    assert [blow["signal"] for blow in drivers].count("SIGKILL") == 5
    assert len(workers) >= 15
    assert all(blow["made_again"] == 0 for blow in drivers)  # what was journalled is never lost
    assert all(blow["recovered"] is not None for blow in drivers)
