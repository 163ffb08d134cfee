"""Damaged files for every reader: python -m tests.fuzz.campaign [--seconds S] [--readers A,B].

A reader may read a damaged file, or raise its one documented error. Anything else is a failure:
another exception, more than LIMIT seconds, more memory than ROOM, a started process, an opened
connection, a planted command that ran.

Every reader is fuzzed in a process of its own, whose memory is limited and whose peak is reported.
The inputs follow from --seed. `test_readers.py` runs the same readers and damage under hypothesis.
"""

import argparse
import json
import multiprocessing
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from tests.fuzz.damage import CANARY
from tests.fuzz.readers import READERS, Reader
from tests.fuzz.sound import made

LIMIT = 20  # seconds for one input
ROOM = 6 * 2**30  # bytes of address space beyond what the process has when it begins
HARM = ("os.system", "os.exec", "os.posix_spawn", "os.fork", "subprocess.Popen", "socket.connect")


class Harm(BaseException):
    """Something was started or connected to that a reader has no business with."""


class _Watch:
    """Whether a reader is reading."""

    on = False


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if _Watch.on and event in HARM:
        raise Harm(f"{event} {arguments!r:.200}")


sys.addaudithook(_audit)


@contextmanager
def watched() -> Iterator[None]:
    """Refuse processes and connections while a reader reads; time it out."""

    def late(number: int, frame: Any) -> None:
        raise Harm(f"not done in {LIMIT} s")

    former = signal.signal(signal.SIGALRM, late)
    signal.alarm(LIMIT)
    _Watch.on = True
    try:
        yield
    finally:
        _Watch.on = False
        signal.alarm(0)
        signal.signal(signal.SIGALRM, former)


def try_one(reader: Reader, rng: random.Random, folder: Path) -> tuple[bool, str | None]:
    """Return whether a damaged input was read, and what failed, if anything did."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    path = reader.write(rng, folder)
    try:
        with watched(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            reader.read(path)
        read, failure = True, None
    except reader.errors as error:
        read, failure = False, None if str(error) else "an error without a text"
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        last = traceback.extract_tb(error.__traceback__)[-1]
        read = False
        failure = f"{type(error).__name__} in {Path(last.filename).name} {last.name}: {error!s:.90}"
    if Path(CANARY).exists():
        Path(CANARY).unlink()
        failure = "a planted command ran"
    return read, failure


@dataclass
class Found:
    """What came of one reader."""

    inputs: int = 0
    read: int = 0
    seconds: float = 0.0
    slowest: float = 0.0
    peak: int = 0  # bytes of resident memory beyond what was there before
    failures: dict[str, int] = field(default_factory=dict)


def campaign(name: str, seconds: float, seed: int) -> Found:
    """Fuzz one reader for a time."""
    torch.set_num_threads(1)
    made()
    reader, rng, found = READERS[name], random.Random(f"{seed} {name}"), Found()
    keep = Path(tempfile.mkdtemp(prefix="fuzz-")) / "input"
    address = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (address + ROOM, resource.RLIM_INFINITY))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    while time.perf_counter() - start < seconds:
        began = time.perf_counter()
        read, failure = try_one(reader, rng, keep)
        found.slowest = max(found.slowest, time.perf_counter() - began)
        found.inputs += 1
        found.read += read
        if failure is not None:
            found.failures[failure] = found.failures.get(failure, 0) + 1
    found.seconds = time.perf_counter() - start
    found.peak = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    shutil.rmtree(keep.parent)
    return found


def _child(name: str, seconds: float, seed: int, pipe: Any) -> None:
    pipe.send(campaign(name, seconds, seed))


def main() -> None:
    """Fuzz the readers one after another and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60, help="for each reader")
    parser.add_argument("--readers", help=f"some of: {', '.join(READERS)}")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    names = arguments.readers.split(",") if arguments.readers else list(READERS)
    made()
    results: dict[str, Found] = {}
    print("| reader | inputs | read | refused | failures | slowest, s | memory, MiB |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name in names:
        ours, theirs = multiprocessing.get_context("fork").Pipe()
        process = multiprocessing.get_context("fork").Process(
            target=_child, args=(name, arguments.seconds, arguments.seed, theirs)
        )
        process.start()
        theirs.close()
        try:
            found = ours.recv()
        except EOFError:
            found = Found(failures={"the process died": 1})
        process.join()
        results[name] = found
        failed = sum(found.failures.values())
        print(
            f"| {name} | {found.inputs} | {found.read} | {found.inputs - found.read - failed} | "
            f"{failed} | {found.slowest:.2f} | {found.peak / 2**20:.0f} |",
            flush=True,
        )
        for text, count in found.failures.items():
            print(f"  {count} times {text}", file=sys.stderr, flush=True)
    inputs = sum(found.inputs for found in results.values())
    print(f"\n{inputs} inputs in {sum(f.seconds for f in results.values()):.0f} s")
    if arguments.json:
        values = {name: vars(found) for name, found in results.items()}
        arguments.json.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
    shutil.rmtree(made())
    sys.exit(any(found.failures for found in results.values()))


if __name__ == "__main__":
    main()
