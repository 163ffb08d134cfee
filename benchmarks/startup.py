"""How long until something happens: python benchmarks/startup.py. Medians of whole processes."""

import os
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


def main() -> None:
    """Time each command three times, after one that does not count."""
    with tempfile.TemporaryDirectory() as folder:
        for name, command in COMMANDS.items():
            times = []
            for run in range(4):
                extra = (
                    ["--output", f"{folder}/{abs(hash(name))}-{run}"] if "train" in command else []
                )
                start = time.perf_counter()
                subprocess.run(
                    [*command, *extra], cwd=ROOT, env=ENVIRONMENT, check=True, capture_output=True
                )
                times.append(time.perf_counter() - start)
            print(f"{name:<40} {statistics.median(times[1:]):6.2f} s")


if __name__ == "__main__":
    main()
