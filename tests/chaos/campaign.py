"""A run that is killed again and again: python -m tests.chaos.campaign --output DIR [--json FILE].

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
import statistics
import sys
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.chaos.comparison import compare_stores, differences, entries, follow_up
from tests.chaos.killing import Chaos, Struck, plan
from tests.runs.copies import events

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
    happened = events(folder / names[1])
    follow_up(chaos.struck, journals[1], happened)
    found: dict[str, Any] = {
        "machine": {"cores": os.cpu_count(), "python": platform.python_version()},
        "generations": arguments.generations,
        "workers": arguments.workers,
        "seed": arguments.seed,
        "seconds": [calm.seconds, chaos.seconds],
        "checksums": [calm.checksum, chaos.checksum],
        "differences": differences(*journals),
        "events": dict(Counter(event.kind for event in happened)),
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
