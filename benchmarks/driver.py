"""The driver's own work per generation: python benchmarks/driver.py [--json FILE].

Runs the real command on gaussians25 in process, with the record in MLflow and without, and reads
the journal: a generation's whole time less its phases on the replica is what the driver adds, for
selection, the journal, the display and the tracker's thread.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from runs.store.journal import Entry, read_journal

ROOT = Path(__file__).resolve().parents[1]
COMMAND = [
    sys.executable, str(ROOT / "run_evolution.py"), "train", "gaussians25",
    "--set", "evaluation.every=null", "--set", "checkpoint.every=100",
]  # fmt: skip


def overheads(folder: Path, generations: int, tracked: bool) -> list[float]:
    """Return the milliseconds that the driver adds to each generation of a new run."""
    output = folder / f"tracked-{tracked}"
    settings = [f"generations={generations}", f"tracking.enabled={str(tracked).lower()}"]
    options = [word for setting in settings for word in ("--set", setting)]
    environment = os.environ | {"MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db"}
    subprocess.run(
        [*COMMAND, *options, "--output", str(output)],
        cwd=folder, env=environment, check=True, capture_output=True,
    )  # fmt: skip
    entries = [e for e in read_journal(output / "journal.jsonl") if isinstance(e, Entry)]
    return [
        1000 * (2 * entry.seconds["total"] - sum(entry.seconds.values())) for entry in entries[10:]
    ]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--generations",
        type=int,
        default=600,
        help="generations of each run [default: %(default)s]",
    )
    parser.add_argument("--json", type=Path, help="write the figures to this file, too")
    arguments = parser.parse_args()
    rows = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, tracked in (("without record", False), ("recorded in MLflow", True)):
            times = overheads(Path(folder), arguments.generations, tracked)
            low, median, high = statistics.quantiles(times, n=4)
            rows[name] = {"median_ms": median, "quartiles_ms": [low, high], "worst_ms": max(times)}
            print(
                f"{name:<20} median {median:.2f} ms, quartiles {low:.2f} to {high:.2f}, "
                f"worst {max(times):.0f} ms of {len(times)} generations"
            )
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=2))


if __name__ == "__main__":
    main()
