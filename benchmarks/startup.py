"""How long until something happens: python benchmarks/startup.py. Medians of whole processes.

Of a run, also the seconds until it shows its first generation; plots, and the end of Ray, follow.
CPU seconds are those of a command and of all processes that it starts, Ray's too: on a busy machine
they say more than the seconds on the clock, and on one core they are the least that it can take.
"""

import argparse
import ctypes
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
PROGRAM = [sys.executable, str(ROOT / "run_evolution.py")]
TRAIN = [
    *PROGRAM, "train", "digits", "--set", "generations=1",
    "--set", "tracking.enabled=false", "--set", "evaluation.every=null",
]  # fmt: skip
# As users have it: what was compiled by the first run is not compiled again.
ENVIRONMENT = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
COMMANDS = {
    "python itself": [sys.executable, "-c", "pass"],
    "--help": [*PROGRAM, "--help"],
    "import the engine": [sys.executable, "-c", "import egan.engine"],
    "one generation of digits, in process": [*TRAIN, "--executor", "local"],
    "one generation of digits, 1 Ray worker": [*TRAIN, "--workers", "1"],
}
PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h


def measured(command: list[str]) -> tuple[float, float, float]:
    """Return the seconds of a command to its first generation, or end, and to its end; and of CPU.

    The CPU seconds are those of it and all of its descendants.
    """
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    first = None
    with subprocess.Popen(
        command, cwd=ROOT, env=ENVIRONMENT, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        for line in process.stdout:
            if first is None and line.startswith("generation 1/"):
                first = time.perf_counter() - start
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with status {process.returncode}")
    seconds = time.perf_counter() - start
    try:
        while True:  # what the command left behind is ours to wait for
            os.wait()
    except ChildProcessError:
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return first or seconds, seconds, sum(after[:2]) - sum(before[:2])  # user and system


def main() -> None:
    """Time each command three times, after one that does not count."""
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    with tempfile.TemporaryDirectory() as folder:
        for name, command in COMMANDS.items():
            times = []
            for run in range(4):
                extra = (
                    ["--output", f"{folder}/{abs(hash(name))}-{run}"] if "train" in command else []
                )
                times.append(measured([*command, *extra]))
            columns = zip(*times[1:], strict=True)
            first, clock, cpu = map(statistics.median, columns)
            shown = f"first generation {first:.2f} s, " if first < clock else ""
            print(f"{name:<40} {shown}{clock:.2f} s, {cpu:.2f} s of CPU", flush=True)


if __name__ == "__main__":
    main()
