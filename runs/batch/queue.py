"""Processes of many runs: a queue that keeps the places full."""

import json
import queue
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from runs.batch.placement import environment
from runs.common.signals import graceful_stop

REFRESH = 0.25  # seconds between looks at the runs
GRACE = 120.0  # seconds that runs have to write their last snapshot


@dataclass(frozen=True)
class Task:
    """A run to be started: its name, its command, and where its messages are kept."""

    name: str
    command: Sequence[str]
    log: Path


class Watcher(Protocol):
    """Receives reports on the runs; called from several threads."""

    def began(self, task: Task) -> None:
        """Receive that a run's process has started."""

    def reported(self, task: Task, values: Mapping[str, Any]) -> None:
        """Receive a line that the run sent."""

    def ended(self, task: Task, status: int, stopped: bool) -> None:
        """Receive that a run's process has ended, and whether it was told to."""

    def refresh(self) -> None:
        """Update the display."""


@dataclass
class _Running:
    """The running processes, and whether they have been told to end."""

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
