"""A run that is killed again and again: python benchmarks/chaos.py --output DIR [--json FILE].

Runs `run_evolution.py train` on Ray workers twice. The first run is left alone. In the second a
random worker gets SIGKILL about every `--every` generations, and the driver SIGKILL or SIGTERM at
generations spread over the run, each time followed by `resume` at once. Then the two are compared:
the last state's checksum, every journalled generation's checksum, children, scores and survivors,
and the rows in MLflow's store, each of which must stand there once.

The generations and signals follow from `--seed`; which worker dies does too, but what it is doing
at that moment is the machine's. Exit status 0: the ends are equal, in every respect above.
"""

import argparse
import json
import os
import platform
import random
import signal
import sqlite3
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import psutil

from runs.store.journal import Damage, Entry, read_journal, unseal

ROOT = Path(__file__).parents[1]
PROGRAM = [sys.executable, str(ROOT / "run_evolution.py")]
CONFIG = """\
name: chaos
seed: 3
data: {source: digits, resolution: 16}
backbone: {name: dcgan, latent: 32, width: 16}
population: {survivors: 2, batch: 32}
fitness: {batch: 64}
execution: {executor: ray, restarts: 10}
checkpoint: {every: 25}
tracking: {model: false}
"""
WORKER = "ray::ReplicaActor"  # what Ray calls the process of a worker
STOPPED = 3  # the status of a run that a SIGTERM ended
PATIENCE = 300.0  # seconds without a new generation after which the run counts as hung
LOOK = 0.01  # seconds between looks at the journal
TIMED = ("seconds", "images_per_second")  # in the names of metrics that are times
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


# --------------------------------------------------------------------------------------- processes


class Driver:
    """One process of the command, with what it prints and when."""

    def __init__(self, arguments: list[str], environment: dict[str, str]) -> None:
        self.lines: list[tuple[float, str]] = []
        self.process = subprocess.Popen(
            [*PROGRAM, *arguments],
            cwd=ROOT,
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
            return int(unseal(line.decode() + "\n")["generation"]) + 1
        except (ValueError, KeyError):
            continue
    return 0


def entries(path: Path) -> list[Entry]:
    """Return the journal's generations; a damaged line is an error here."""
    found = []
    for item in read_journal(path):
        if isinstance(item, Damage):
            raise SystemExit(f"{path}, line {item.line}: {item.reason}")
        if isinstance(item, Entry):
            found.append(item)
    return found


# ------------------------------------------------------------------------------------------- runs


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
            driver = Driver(arguments, self._environment)
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


def follow_up(struck: list[Struck], journal: list[Entry]) -> None:
    """Fill in, from the journal, when each blow was recovered from."""
    for blow in struck:
        after = [entry for entry in journal if entry.time > blow.at]
        later = [entry for entry in after if entry.generation >= blow.generation]
        blow.recovered = later[0].time - blow.at if later else None
        if blow.target == "driver":
            events = [event for entry in later for event in entry.events]
            resumed = [event for event in events if event["event"] == "resumed"]
            blow.replayed = resumed[0]["replayed"] if resumed else None
            continue
        drivers = [other.at for other in struck if other.target == "driver" and other.at > blow.at]
        for entry in after:
            if drivers and entry.time > drivers[0]:
                break  # all workers are new since
            names = {event["event"] for event in entry.events}
            if names & {"worker-joined", "population-rebuilt"}:
                blow.rejoined = entry.time - blow.at
                break


# ------------------------------------------------------------------------------------- comparisons


def differences(one: list[Entry], other: list[Entry]) -> list[str]:
    """Return how two journals differ in what decides a run; times and events may."""
    found = []
    if [e.generation for e in other] != list(range(len(one))):
        found.append("the disturbed journal has not every generation once")
    for left, right in zip(one, other, strict=False):
        for name in ("checksum", "jobs", "survivors"):
            if getattr(left, name) != getattr(right, name):
                found.append(f"generation {left.generation}: {name}")
        if [s.values for s in left.scores] != [s.values for s in right.scores]:
            found.append(f"generation {left.generation}: scores")
    return found


def store_rows(store: Path, name: str) -> Iterator[tuple[str, int, float]]:
    """Yield a run's metric rows (key, step, value) from MLflow's sqlite store."""
    with sqlite3.connect(store) as connection:
        yield from connection.execute(
            "select m.key, m.step, m.value from metrics m join runs r on r.run_uuid = m.run_uuid "
            "where r.name = ? and m.key not like 'system/%' and m.key not like 'faults/%'",
            (name,),
        )


def compare_stores(store: Path, names: tuple[str, str]) -> dict[str, Any]:
    """Return the numbers of rows and duplicates, and whether both runs have the same rows.

    Values of time are left out of the comparison, their rows are not.
    """
    rows = [list(store_rows(store, name)) for name in names]
    counts = [Counter((key, step) for key, step, _ in part) for part in rows]

    def untimed(part: list[tuple[str, int, float]]) -> set[tuple[str, int, float]]:
        return {row for row in part if not any(word in row[0] for word in TIMED)}

    return {
        "rows": [len(part) for part in rows],
        "duplicates": [sum(n - 1 for n in count.values()) for count in counts],
        "same_keys_and_steps": counts[0].keys() == counts[1].keys(),
        "same_values": untimed(rows[0]) == untimed(rows[1]),
    }


def spread(values: list[float | int | None]) -> str:
    """Return median and range of what was measured."""
    known = [value for value in values if value is not None]
    if not known:
        return "-"
    return f"{statistics.median(known):.2f} ({min(known):.2f} to {max(known):.2f})"


def table(found: dict[str, Any]) -> str:
    """Return the figures as Markdown."""
    struck = [Struck(**blow) for blow in found["struck"]]
    lines = [
        "| what | times | s to the next generation | s until replaced | lost generations | "
        "generations replayed | s for the replay |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for target, name in dict.fromkeys((blow.target, blow.signal) for blow in struck):
        group = [b for b in struck if (b.target, b.signal) == (target, name)]
        lost = str(max((b.made_again or 0) for b in group)) if target == "driver" else "0"
        lines.append(
            f"| {target}, {name} | {len(group)} | {spread([b.recovered for b in group])} | "
            f"{spread([b.rejoined for b in group])} | {lost} | "
            f"{spread([b.replayed for b in group])} | {spread([b.replay for b in group])} |"
        )
    store = found["store"]
    lines += [
        "",
        f"{found['generations']} generations on {found['workers']} workers: undisturbed "
        f"{found['seconds'][0]:.0f} s, disturbed {found['seconds'][1]:.0f} s.",
        f"Events in the journal: {found['events']}.",
        f"MLflow rows {store['rows']}, duplicates {store['duplicates']}; processes left behind: "
        f"{found['left_behind']}.",
        f"Checksums {found['checksums']}: {'equal' if found['equal'] else 'NOT EQUAL'}.",
        *(f"difference: {text}" for text in found["differences"][:10]),
    ]
    return "\n".join(lines)


def main() -> None:
    """Run, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, required=True, help="a folder that is not there")
    parser.add_argument("--generations", type=int, default=200)
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--every", type=int, default=10, help="generations between workers' kills")
    parser.add_argument("--kills", type=int, default=5, help="SIGKILLs of the driver")
    parser.add_argument("--terms", type=int, default=2, help="SIGTERMs of the driver")
    parser.add_argument("--seed", type=int, default=0, help="of the blows")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    folder = arguments.output.absolute()
    if folder.exists():
        raise SystemExit(f"{folder}: is there already; choose another --output")
    folder.mkdir(parents=True)
    config = folder / "chaos.yaml"
    config.write_text(f"{CONFIG}generations: {arguments.generations}\n", encoding="utf-8")
    store = folder / "mlflow.db"
    environment = {"MLFLOW_TRACKING_URI": f"sqlite:///{store}"}
    train = ["train", str(config), "--workers", str(arguments.workers)]
    rng = random.Random(arguments.seed)
    blows = plan(rng, arguments.generations, arguments.every, arguments.kills, arguments.terms)
    names = ("undisturbed", "disturbed")
    calm = Chaos(train, folder / names[0], [], rng, environment).run()
    chaos = Chaos(train, folder / names[1], blows, rng, environment).run()
    journals = [entries(folder / name / "journal.jsonl") for name in names]
    follow_up(chaos.struck, journals[1])
    found: dict[str, Any] = {
        "machine": {"cores": os.cpu_count(), "python": platform.python_version()},
        "generations": arguments.generations,
        "workers": arguments.workers,
        "seed": arguments.seed,
        "seconds": [calm.seconds, chaos.seconds],
        "checksums": [calm.checksum, chaos.checksum],
        "differences": differences(*journals),
        "events": dict(Counter(e["event"] for entry in journals[1] for e in entry.events)),
        "store": compare_stores(store, names),
        "left_behind": calm.left_behind + chaos.left_behind,
        "struck": [asdict(blow) for blow in chaos.struck],
    }
    found["equal"] = (
        calm.checksum == chaos.checksum
        and not found["differences"]
        and found["store"]["duplicates"] == [0, 0]
        and found["store"]["same_keys_and_steps"]
        and found["store"]["same_values"]
    )
    print(table(found))
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    sys.exit(0 if found["equal"] else 1)


if __name__ == "__main__":
    main()
