"""The queue, with processes that do nothing much."""

import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from runs.batch.placement import place_runs
from runs.batch.queue import Task, run_all
from runs.common.errors import ConfigError
from runs.config.execution import ExecutionConfig


class Notes:
    """A watcher that takes notes."""

    def __init__(self):
        self.lock = threading.Lock()
        self.now = self.most = 0
        self.reports, self.ends = [], {}

    def began(self, task):
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)

    def reported(self, task, values):
        self.reports.append((task.name, dict(values)))

    def ended(self, task, status, stopped):
        with self.lock:
            self.now -= 1
        self.ends[task.name] = (status, stopped)

    def refresh(self):
        pass


def tasks(tmp_path: Path, count: int, code: str) -> list[Task]:
    return [
        Task(f"t{i}", [sys.executable, "-c", code, str(i)], tmp_path / f"{i}.txt")
        for i in range(count)
    ]


def test_every_task_runs_in_some_place_and_never_too_many_at_once(tmp_path):
    code = (
        "import json, os, sys, time; time.sleep(.2)\n"
        "print(json.dumps({'place': os.environ['PLACE']}), flush=True); print('chatter')\n"
        "sys.exit(int(sys.argv[1]) == 2)"
    )
    notes = Notes()
    assert run_all(tasks(tmp_path, 5, code), [{"PLACE": "a"}, {"PLACE": "b"}], notes)
    assert notes.most == 2
    assert {values["place"] for _, values in notes.reports} == {"a", "b"}
    assert {name: status for name, (status, _) in notes.ends.items()} == {
        "t0": 0, "t1": 0, "t2": 1, "t3": 0, "t4": 0,
    }  # fmt: skip
    assert (tmp_path / "0.txt").read_text(encoding="utf-8") == "chatter\n"


def test_a_stop_reaches_the_runs_and_starts_no_more(tmp_path):
    notes = Notes()
    timer = threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGTERM))
    timer.start()
    begun = time.monotonic()
    assert not run_all(tasks(tmp_path, 3, "import time; time.sleep(60)"), [{}], notes)
    assert time.monotonic() - begun < 30
    assert notes.ends == {"t0": (-signal.SIGTERM, True)}


def test_a_machine_without_gpus_takes_as_many_runs_as_its_cores_hold(monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr("runs.batch.placement.visible_gpus", lambda: [])
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(8)), raising=False)
    placement = place_runs(ExecutionConfig(executor="ray", threads=2))
    assert len(placement.places) == 4
    assert placement.execution == {"executor": "local", "device": "cpu"}
    assert placement.places[0]["OMP_NUM_THREADS"] == "2"
    assert len(place_runs(ExecutionConfig(threads=16)).places) == 1
    assert len(place_runs(ExecutionConfig(), at_once=3).places) == 3
    with pytest.raises(ConfigError, match="no GPU"):
        place_runs(ExecutionConfig(device="cuda"))


def test_every_gpu_takes_a_run_or_a_share_of_one(monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr("runs.batch.placement.visible_gpus", lambda: ["0", "3"])
    placement = place_runs(ExecutionConfig())
    assert [place["CUDA_VISIBLE_DEVICES"] for place in placement.places] == ["0", "3"]
    assert placement.execution["device"] == "cuda"
    assert len(place_runs(ExecutionConfig(gpus=0.5)).places) == 4
    assert place_runs(ExecutionConfig(device="cpu")).execution["device"] == "cpu"


def test_a_cluster_takes_as_many_runs_as_hold_their_workers(monkeypatch):
    monkeypatch.setattr("runs.batch.placement._ask_cluster", lambda execution: ("cuda", 9))
    placement = place_runs(ExecutionConfig(address="head:6379"))
    assert len(placement.places) == 9 and placement.execution["workers"] == 1
    assert len(place_runs(ExecutionConfig(address="head:6379", workers=2)).places) == 4
    with pytest.raises(ConfigError, match="do not fit"):
        place_runs(ExecutionConfig(address="head:6379", workers=10))
