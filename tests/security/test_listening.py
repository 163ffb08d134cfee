"""A run on this machine answers nobody else."""

import os
import subprocess
import sys
import time
from ipaddress import ip_address
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]


def listening(process):
    """Return (process, address, port) of every socket that waits for others."""
    found = []
    for member in [process, *process.children(recursive=True)]:
        try:
            for socket in member.net_connections("inet"):
                if socket.status == psutil.CONN_LISTEN:
                    found.append((member.name(), socket.laddr.ip, socket.laddr.port))
        except psutil.Error:
            continue
    return found


def is_loopback(address):
    plain = ip_address(address)
    mapped = getattr(plain, "ipv4_mapped", None)
    return (mapped or plain).is_loopback


def test_a_local_run_listens_on_loopback_alone(tmp_path):
    environment = {k: v for k, v in os.environ.items() if k != "RAY_ADDRESS"}
    environment["MLFLOW_TRACKING_URI"] = f"sqlite:///{tmp_path / 'mlflow.db'}"
    with (tmp_path / "log").open("w") as log:
        run = subprocess.Popen(
            [sys.executable, str(ROOT / "run_evolution.py"), "train", "digits", "--workers", "2",
             "--output", str(tmp_path / "run"), "--set", "evaluation.every=null"],
            stdout=log, stderr=log, env=environment,
        )  # fmt: skip
    try:
        journal = tmp_path / "run" / "journal.jsonl"
        deadline = time.monotonic() + 300
        while not (journal.exists() and journal.read_bytes().count(b"\n") >= 20):
            assert run.poll() is None, (tmp_path / "log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.5)
        found = listening(psutil.Process(run.pid))
        names = {name for name, _, _ in found}
        assert {"gcs_server", "raylet"} <= names  # it was looked at while it ran
        assert [entry for entry in found if not is_loopback(entry[1])] == []
    finally:
        run.terminate()
        run.wait(120)
