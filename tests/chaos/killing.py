"""A run whose workers and driver are killed at planned generations, each time resumed at once."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from runs.store.lines import unseal

ROOT = Path(__file__).parents[2]
PROGRAM = [sys.executable, str(ROOT / "run_evolution.py")]
WORKER = "ray::ReplicaActor"  # what Ray calls the process of a worker
STOPPED = 3  # the status of a run that a SIGTERM ended
PATIENCE = 300.0  # seconds without a new generation after which the run counts as hung
LOOK = 0.01  # seconds between looks at the journal
TAIL = 2**16  # bytes from the journal's end that hold its last whole line


@dataclass(frozen=True)
class Blow:
    """What is done when the journal has `generation` generations."""

    generation: int
    target: str  # "worker" or "driver"
    signal: signal.Signals


@dataclass
class Struck:
    """A blow and what came after it; times in seconds."""

    target: str
    signal: str
    generation: int  # journalled when it fell
    at: float  # when, since 1970
    workers: int = 0  # alive before it
    exit: int | None = None  # the driver's status
    made_again: int | None = None  # journalled generations that the next driver evaluated again
    replayed: int | None = None  # generations that the next driver replayed from a snapshot
    replay: float | None = None  # time of that, the snapshot's reading included
    recovered: float | None = None  # until the next generation in the journal
    rejoined: float | None = None  # until a worker joined in its place


def plan(rng: random.Random, generations: int, every: int, kills: int, terms: int) -> list[Blow]:
    """Return the blows in order: workers about every `every` generations, drivers evenly."""
    blows = []
    at = 0
    while (at := at + rng.randint(every // 2, every + every // 2)) < generations - 1:
        blows.append(Blow(at, "worker", signal.SIGKILL))
    signals = [signal.SIGKILL] * kills + [signal.SIGTERM] * terms
    rng.shuffle(signals)
    step = generations / (len(signals) + 1)
    for place, number in enumerate(signals, 1):
        at = round(step * place + rng.uniform(-0.3, 0.3) * step)
        blows.append(Blow(min(at, generations - 2), "driver", number))
    return sorted(blows, key=lambda blow: (blow.generation, blow.target))


class Driver:
    """One process of the command, with what it prints and when."""

    def __init__(self, arguments: list[str], folder: Path, environment: dict[str, str]) -> None:
        self.lines: list[tuple[float, str]] = []
        self.process = subprocess.Popen(
            [*PROGRAM, *arguments],
            cwd=folder,
            env=os.environ | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as lines:
            for line in lines:
                self.lines.append((time.time(), line.rstrip()))

    def workers(self) -> list[psutil.Process]:
        """Return the processes of its workers."""
        found = []
        for process in self.descendants():
            try:
                if " ".join(process.cmdline()).startswith(WORKER):
                    found.append(process)
            except psutil.Error:
                continue
        return found

    def descendants(self) -> list[psutil.Process]:
        """Return every process that was started from it."""
        try:
            return psutil.Process(self.process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []

    def wait(self) -> int:
        """Wait for its end and for the last of what it printed."""
        status = self.process.wait(PATIENCE)
        self._reader.join(5)
        return status

    def text(self) -> str:
        """Return what it printed."""
        return "\n".join(line for _, line in self.lines)


def journalled(path: Path) -> int:
    """Return how many generations the journal has: the last whole line's and those before it."""
    if not path.exists():
        return 0
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - TAIL))
        lines = file.read().split(b"\n")[:-1]
    for line in reversed(lines):
        try:
            value = unseal(line + b"\n")
            return int(value["generation"]) + ("event" not in value)
        except (ValueError, KeyError):
            continue
    return 0


@dataclass
class Course:
    """How a run went."""

    seconds: float = 0.0
    checksum: str = ""
    struck: list[Struck] = field(default_factory=list)
    left_behind: int = 0  # processes of dead drivers that lived on for a minute


class Chaos:
    """A run under a plan of blows."""

    def __init__(
        self, train: list[str], folder: Path, blows: list[Blow], rng: random.Random,
        environment: dict[str, str],
    ) -> None:  # fmt: skip
        self._train = train
        self._folder = folder
        self._journal = folder / "journal.jsonl"
        self._blows = blows
        self._rng = rng
        self._environment = environment
        self._orphans: list[psutil.Process] = []
        self.course = Course()

    def run(self) -> Course:
        """Run to the end, through every blow."""
        start = time.perf_counter()
        arguments = [*self._train, "--output", str(self._folder)]
        before: Struck | None = None
        while True:
            driver = Driver(arguments, self._folder.parent, self._environment)
            fell = self._watch(driver)
            if before is not None:
                self._measure(driver, before)
            if fell is None:
                break
            before = fell
            arguments = ["resume", str(self._folder)]
        self.course.seconds = time.perf_counter() - start
        self.course.checksum = driver.text().split("checksum ")[-1].split()[0]
        _, alive = psutil.wait_procs(self._orphans, timeout=60)
        self.course.left_behind = len(alive)
        return self.course

    def _watch(self, driver: Driver) -> Struck | None:
        """Strike as the journal grows; return the blow that ended the driver, None: its own end."""
        seen, since = -1, time.monotonic()
        while driver.process.poll() is None:
            count = journalled(self._journal)
            if count != seen:
                seen, since = count, time.monotonic()
            elif time.monotonic() - since > PATIENCE:
                driver.process.kill()
                raise SystemExit(f"no new generation in {PATIENCE:g} s:\n{driver.text()}")
            if self._blows and count >= self._blows[0].generation and self._fresh(count):
                struck = self._strike(driver, self._blows[0], count)
                if struck is not None:
                    self._blows.pop(0)
                    self.course.struck.append(struck)
                    if struck.target == "driver":
                        return struck
            time.sleep(LOOK)
        if driver.wait() != 0:
            raise SystemExit(f"status {driver.process.returncode}:\n{driver.text()}")
        return None

    def _fresh(self, count: int) -> bool:
        """Tell whether a generation was made since the last blow: each shall be recovered from."""
        return not self.course.struck or count > self.course.struck[-1].generation

    def _strike(self, driver: Driver, blow: Blow, count: int) -> Struck | None:
        """Do it; None: there is no worker at this moment."""
        workers = driver.workers()
        if blow.target == "worker":
            if not workers:
                return None
            victim = self._rng.choice(workers)
            try:
                victim.send_signal(blow.signal)
            except psutil.NoSuchProcess:
                return None
            return Struck("worker", blow.signal.name, count, time.time(), len(workers))
        self._orphans += driver.descendants()
        now = time.time()
        driver.process.send_signal(blow.signal)
        status = driver.wait()
        wanted = STOPPED if blow.signal == signal.SIGTERM else -signal.SIGKILL
        if status != wanted:
            raise SystemExit(f"status {status} after {blow.signal.name}:\n{driver.text()}")
        # What the journal has at the driver's end must not be evaluated again.
        done = journalled(self._journal)
        return Struck("driver", blow.signal.name, done, now, len(workers), status)

    def _measure(self, driver: Driver, before: Struck) -> None:
        """Fill in what the next driver made of a driver's loss."""
        began = done = None
        for when, line in driver.lines:
            if " generations, on " in line and began is None:
                began = when
            if line.startswith("resumed at generation ") and done is None:
                done = when
                before.made_again = before.generation - int(line.split()[3])
        if began is not None and done is not None:
            before.replay = done - began
