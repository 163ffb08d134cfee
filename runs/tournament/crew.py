"""Crews, which work on a tournament's islands: a process for each place, or this process."""

import json
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import IO, Any, Protocol

from populations.executors.base import WorkerLost
from runs.batch.placement import Placement, environment
from runs.batch.queue import GRACE, REFRESH
from runs.common.errors import ConfigError
from runs.common.signals import Stop
from runs.tournament.islands import TournamentFolder
from runs.tournament.worker import Answer, Request, Stopped, Workbench, from_line, to_line

TRIES = 3  # of a request whose worker dies


class Watcher(Protocol):
    """Receives reports on the islands' progress."""

    def reached(self, name: str, generation: int) -> None:
        """Receive a generation that an island has reached."""

    def answered(self, name: str) -> None:
        """Receive that a request was answered."""

    def refresh(self) -> None:
        """Update the display."""


class Crew(Protocol):
    """Answers requests on islands, in any order."""

    def work(self, requests: Sequence[Request], watcher: Watcher) -> dict[str, Answer]:
        """Return the answers by the requests' names.

        Raises:
            Stopped: a signal came.
            ConfigError, CrewFailed: a request cannot be answered here.
        """


class CrewFailed(WorkerLost):
    """An island could not be trained or judged, and its settings are not the reason."""


class OneProcess:
    """Works in this process, as in a study, which has a process for each tournament."""

    def __init__(self, folder: TournamentFolder, execution: Mapping[str, Any]) -> None:
        self._bench = Workbench(folder, execution)

    def work(self, requests: Sequence[Request], watcher: Watcher) -> dict[str, Answer]:
        """Answer one request after the other."""
        answers = {}
        for request in requests:
            name = request.name
            answers[name] = self._bench.answer(request, partial(watcher.reached, name))
            watcher.answered(name)
            watcher.refresh()
        return answers


class _Worker:
    """A running worker process, and its present request."""

    def __init__(
        self,
        command: Sequence[str],
        place: Mapping[str, str],
        log: IO[str],
        said: "queue.SimpleQueue[tuple[_Worker, str | None]]",
    ) -> None:
        self.request: Request | None = None
        self.place = place
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,  # it closes with this process, whatever ends it
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env=environment(place),
            start_new_session=True,  # a Ctrl-C reaches the islands through us alone
        )
        self._said = said
        threading.Thread(target=self._listen, daemon=True).start()

    def ask(self, request: Request) -> None:
        self.request = request
        assert self.process.stdin is not None
        with suppress(OSError):  # it has died, as its last word will say
            self.process.stdin.write(to_line(request))
            self.process.stdin.flush()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._said.put((self, line))
        self._said.put((self, None))

    def close(self) -> None:
        assert self.process.stdin is not None and self.process.stdout is not None
        with suppress(OSError):
            self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


class Processes:
    """Works in one process for each place; the processes run until the end."""

    def __init__(self, folder: TournamentFolder, placement: Placement, stop: Stop) -> None:
        execution = json.dumps(dict(placement.execution))
        module = "runs.tournament.worker"
        self._command = [sys.executable, "-m", module, str(folder.path), execution]
        self._free = list(placement.places)
        self._places = len(placement.places)
        self._log = folder.log.open("a", encoding="utf-8")
        self._stop = stop
        self._workers: list[_Worker] = []
        self._said: queue.SimpleQueue[tuple[_Worker, str | None]] = queue.SimpleQueue()

    def __enter__(self) -> "Processes":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for worker in self._workers:
            if error is not None:
                worker.process.kill()
            worker.close()
        self._log.close()

    def work(self, requests: Sequence[Request], watcher: Watcher) -> dict[str, Answer]:
        """Give each request to whichever worker is idle."""
        places = max(1, self._places // len(requests))
        waiting = [replace(request, places=places) for request in requests]
        answers: dict[str, Answer] = {}
        deaths = dict.fromkeys((request.name for request in requests), 0)
        while len(answers) < len(requests):
            self._hand_out(waiting)
            try:
                worker, line = self._said.get(timeout=REFRESH)
            except queue.Empty:
                pass
            else:
                if line is not None:
                    self._take(worker, line, answers, watcher)
                elif self._stop.signal is None:
                    self._bury(worker, waiting, deaths)
            watcher.refresh()
            if self._stop.signal is not None:
                self._end()
        return answers

    def _hand_out(self, waiting: list[Request]) -> None:
        while waiting:
            idle = next((worker for worker in self._workers if worker.request is None), None)
            if idle is None:
                if not self._free:
                    return
                idle = _Worker(self._command, self._free.pop(0), self._log, self._said)
                self._workers.append(idle)
            idle.ask(waiting.pop(0))

    def _take(
        self, worker: _Worker, line: str, answers: dict[str, Answer], watcher: Watcher
    ) -> None:
        try:
            values = json.loads(line)
        except ValueError:
            values = None
        if not (isinstance(values, dict) and "name" in values):
            self._log.write(line)  # something was printed
            return
        name = values["name"]
        if "error" in values:
            kind = ConfigError if values["mistake"] else CrewFailed
            raise kind(f"island {name}: {values['error']}; see {self._log.name}")
        if "judged" in values:
            worker.request = None
            answers[name] = from_line(values)
            watcher.answered(name)
        else:
            watcher.reached(name, values["generation"])

    def _bury(self, worker: _Worker, waiting: list[Request], deaths: dict[str, int]) -> None:
        """Give a dead process's request to another process, which goes on with the same bits."""
        self._workers.remove(worker)
        self._free.append(worker.place)
        worker.close()
        if worker.request is None:
            return
        name = worker.request.name
        deaths[name] += 1
        if deaths[name] == TRIES:
            raise CrewFailed(
                f"the process that worked on island {name} ended {TRIES} times, at last with "
                f"status {worker.process.returncode}; see {self._log.name}"
            )
        waiting.insert(0, worker.request)

    def _end(self) -> None:
        """Pass the signal to the processes, and wait until the islands are saved.

        Raises:
            Stopped: always.
        """
        deadline = time.monotonic() + GRACE
        for worker in self._workers:
            worker.process.send_signal(signal.SIGTERM)
        for worker in self._workers:
            try:
                worker.process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                worker.process.kill()
        raise Stopped(str(self._stop.signal))
