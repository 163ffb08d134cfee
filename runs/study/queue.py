"""The queue of a study: where runs go, and keeping those places full.

One machine without accelerators: as many runs at a time as it has cores for their threads. With
GPUs: one run per GPU (or share of one), pinned by CUDA_VISIBLE_DEVICES. On a Ray cluster: as many
runs as its GPUs or CPUs hold, each with the Ray workers that its config names, else one. A run's
bits do not depend on the place, so more runs at a time beat more workers per run: every worker
trains the discriminator anew.
"""

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from runs.common.errors import ConfigError
from runs.common.signals import graceful_stop
from runs.config.execution import ExecutionConfig

REFRESH = 0.25  # seconds between looks at the runs
GRACE = 120.0  # seconds that runs have to write their last snapshot
CLUSTER_TIMEOUT = 120.0  # seconds for a Ray cluster to answer
THREAD_SETTINGS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


# ---------------------------------------------------------------------------------------- placement


@dataclass(frozen=True)
class Placement:
    """Where runs go: what each place adds to the environment, and what all set in `execution`."""

    places: tuple[Mapping[str, str], ...]
    execution: Mapping[str, Any]
    description: str


def place_runs(execution: ExecutionConfig, at_once: int | None = None) -> Placement:
    """Return where runs go here.

    Args:
        execution: of the study's base config; its address, or RAY_ADDRESS, names a cluster.
        at_once: how many runs at a time; by default as many as fit.

    Raises:
        ConfigError: a cluster is named and does not answer, or holds not one run.
    """
    if execution.address or os.environ.get("RAY_ADDRESS"):
        return _on_cluster(execution, at_once)
    gpus = [] if execution.device == "cpu" else visible_gpus()
    if execution.device == "cuda" and not gpus:
        raise ConfigError("execution.device: cuda was asked for, but torch finds no GPU here")
    threads = dict.fromkeys(THREAD_SETTINGS, str(execution.threads))
    if gpus:
        shares = max(1, int(1 / execution.gpus))  # runs that share a GPU
        count = at_once or len(gpus) * shares
        places = [threads | {"CUDA_VISIBLE_DEVICES": gpus[i % len(gpus)]} for i in range(count)]
        where = f"{count} at a time on {len(gpus)} GPU(s)"
        return Placement(tuple(places), {"executor": "local", "device": "cuda"}, where)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    count = at_once or max(1, (cores or 1) // execution.threads)
    where = f"{count} at a time on {cores} core(s)"
    return Placement((threads,) * count, {"executor": "local", "device": "cpu"}, where)


def visible_gpus() -> list[str]:
    """Return the GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them."""
    import torch

    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = named.split(",") if named else [str(i) for i in range(torch.cuda.device_count())]
    return names[: torch.cuda.device_count()]


def _on_cluster(execution: ExecutionConfig, at_once: int | None) -> Placement:
    device, room = _ask_cluster(execution)
    workers = 1 if execution.workers == "auto" else execution.workers
    count = at_once or room // workers
    if count < 1:
        raise ConfigError(
            f"execution.workers: {workers} do not fit the cluster, which holds {room} in all"
        )
    where = f"{count} at a time on the Ray cluster, {workers} worker(s) each"
    settings = {"executor": "ray", "device": device, "workers": workers}
    return Placement(({},) * count, settings, where)


def _ask_cluster(execution: ExecutionConfig) -> tuple[str, int]:
    """Return the device of a cluster and how many workers fit it; asked in another process.

    So the study itself is no part of the cluster, and outlives it.
    """
    command = [sys.executable, "-m", "runs.study.queue", execution.model_dump_json()]
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=CLUSTER_TIMEOUT,
            env=environment({}),
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise ConfigError(
            f"the Ray cluster did not answer within {CLUSTER_TIMEOUT:.0f} s"
        ) from None
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise ConfigError(f"the Ray cluster cannot be used: {reason}")
    device, room = json.loads(done.stdout.splitlines()[-1])
    return str(device), int(room)


def print_room(text: str) -> None:
    """Print a cluster's device and how many workers of an `ExecutionConfig` (JSON) fit it."""
    from populations.executors.ray import executor as cluster

    execution = ExecutionConfig.model_validate_json(text).model_copy(update={"workers": "auto"})
    cluster.connect(execution)
    device = cluster.choose_device(execution)
    print(json.dumps([device, cluster.worker_count(execution, device, children=sys.maxsize)]))


def environment(more: Mapping[str, str]) -> dict[str, str]:
    """Return this process's environment for a child that must find this very package."""
    package = str(Path(__file__).parents[1])
    known = os.environ.get("PYTHONPATH")
    path = package if not known else f"{package}{os.pathsep}{known}"
    return {**os.environ, **more, "PYTHONPATH": path}


# ------------------------------------------------------------------------------------------- queue


@dataclass(frozen=True)
class Task:
    """A run to be started: its name, its command, and where its messages are kept."""

    name: str
    command: Sequence[str]
    log: Path


class Watcher(Protocol):
    """Who is told how the runs go; called from several threads."""

    def began(self, task: Task) -> None:
        """Take note that a run's process has started."""

    def reported(self, task: Task, values: Mapping[str, Any]) -> None:
        """Take note of a line that the run sent."""

    def ended(self, task: Task, status: int, stopped: bool) -> None:
        """Take note that a run's process has ended, and whether it was told to."""

    def refresh(self) -> None:
        """Show how things stand."""


@dataclass
class _Running:
    """The processes that live now, and whether they have been told to end."""

    processes: set[subprocess.Popen[str]] = field(default_factory=set)
    lock: threading.Lock = field(default_factory=threading.Lock)
    stopping: bool = False

    def tell(self, number: int) -> None:
        with self.lock:
            self.stopping = True
            for process in self.processes:
                process.send_signal(number)


def run_all(tasks: Sequence[Task], places: Sequence[Mapping[str, str]], watcher: Watcher) -> bool:
    """Run every task, one per place at a time; return whether all were run.

    SIGTERM and Ctrl-C are passed on, so that the runs write snapshots and end; a second Ctrl-C
    kills them.
    """
    free: queue.SimpleQueue[Mapping[str, str]] = queue.SimpleQueue()
    for place in places:
        free.put(place)
    running = _Running()

    def work(task: Task) -> None:
        place = free.get()
        try:
            if not running.stopping:
                _run(task, place, running, watcher)
        finally:
            free.put(place)

    with graceful_stop() as stop, ThreadPoolExecutor(len(places)) as pool:
        futures = {pool.submit(work, task) for task in tasks}
        try:
            told = None
            while futures:
                done, futures = wait(futures, REFRESH, FIRST_COMPLETED)
                _raise_errors(done)
                watcher.refresh()
                if stop.signal and told is None:
                    told = time.monotonic()
                    running.tell(signal.SIGTERM)
                if told is not None and time.monotonic() - told > GRACE:
                    running.tell(signal.SIGKILL)
        except BaseException:
            running.tell(signal.SIGKILL)
            raise
    return stop.signal is None


def _raise_errors(done: set[Future[None]]) -> None:
    for future in done:
        future.result()


def _run(task: Task, place: Mapping[str, str], running: _Running, watcher: Watcher) -> None:
    task.log.parent.mkdir(parents=True, exist_ok=True)
    with task.log.open("a", encoding="utf-8") as log:
        process = subprocess.Popen(
            task.command,
            stdin=subprocess.PIPE,  # it closes with this process, whatever ends it
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env=environment(place),
            start_new_session=True,  # a Ctrl-C reaches the runs through us alone
        )
        with running.lock:
            running.processes.add(process)
            if running.stopping:
                process.terminate()
        watcher.began(task)
        assert process.stdout is not None
        with process.stdout as lines:
            for line in lines:
                _pass_on(line, task, watcher, log.write)
        status = process.wait()
    with running.lock:
        running.processes.discard(process)
    assert process.stdin is not None
    process.stdin.close()
    watcher.ended(task, status, running.stopping)


def _pass_on(line: str, task: Task, watcher: Watcher, log: Callable[[str], Any]) -> None:
    """Give a report to the watcher; anything else that was printed goes to the log."""
    try:
        values = json.loads(line)
    except ValueError:
        values = None
    if isinstance(values, dict):
        watcher.reported(task, values)
    else:
        log(line)


if __name__ == "__main__":
    print_room(sys.argv[1])
