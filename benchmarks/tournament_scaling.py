"""Time of tournaments and of one population on many GPUs.

    python benchmarks/tournament_scaling.py

It simulates an equal budget of optimiser steps: one population whose children are spread over W
workers, against tournaments of 8 and 16 islands. The time of a generation is the model of
benchmarks/scaling.py,

    T(W) = shared + ceil(children / W) * child + advance + latency + message * W

with the parts that it measured (`--json FILE` of it; by default those of docs/performance.md). A
tournament's rounds are those of its plan. Where there are more islands than workers, they take
turns; where there are fewer, each has an equal share of the workers. A judgement takes the time of
as many steps as the budget charges for it. A fork copies a snapshot of `--megabytes` at
`--gigabits`.
"""

import argparse
import json
import math
from dataclasses import dataclass
from pathlib import Path

from runs.config.loading import load_config
from runs.tournament.config import TournamentConfig
from runs.tournament.schedule import plan_of

GPUS = (8, 16, 32, 64)
# Seconds at mu 1: `advance` as measured in process, the others from the model's times on 1, 2 and 3
# workers (docs/performance.md, section Workers).
MEASURED = {
    "digits": {"shared": 0.03, "child": 0.0275, "advance": 0.054},
    "cifar": {"shared": 1.7, "child": 2.99, "advance": 2.13},
}
LATENCY, MESSAGE = 0.0005, 0.00125  # seconds, of Ray's round trips; the latter for each worker


@dataclass(frozen=True)
class Model:
    """The parts of a generation's time, in seconds."""

    shared: float
    child: float
    advance: float
    latency: float = LATENCY
    message: float = MESSAGE

    def generation(self, workers: int, children: int) -> float:
        """Return the seconds of a generation on some workers."""
        busy = math.ceil(children / min(workers, children))
        if workers == 1:
            return self.shared + busy * self.child + self.advance
        used = min(workers, children)  # more would help nothing
        return self.shared + busy * self.child + self.advance + self.latency + self.message * used


def population(model: Model, steps: int, per_generation: int, children: int, gpus: int) -> float:
    """Return the seconds of one run that takes all workers."""
    return steps / per_generation * model.generation(gpus, children)


def tournament(
    model: Model, config: TournamentConfig, per_generation: int, children: int, gpus: int,
    fork: float,
) -> float:  # fmt: skip
    """Return the seconds of a tournament: its rounds, its judgements, and a fork a round."""
    base = load_config("gaussians25-bad", generations=config.steps or 1)
    plan = plan_of(config, base)
    seconds = 0.0
    for each in plan.rounds:
        turns = math.ceil(each.islands / gpus)
        workers = max(1, gpus // each.islands)
        one = model.generation(workers, children) / per_generation
        alone = model.generation(1, children) / per_generation  # a judgement is not spread
        seconds += turns * (each.steps * one + plan.judgement * alone) + fork
    return seconds


def main() -> None:
    """Simulate and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--steps", type=int, default=200_000, help="optimiser steps in all [default: %(default)s]"
    )
    parser.add_argument(
        "--children", type=int, default=3, help="children of a generation [default: %(default)s]"
    )
    parser.add_argument(
        "--megabytes", type=float, default=100.0, help="size of a snapshot [default: %(default)s]"
    )
    parser.add_argument(
        "--gigabits",
        type=float,
        default=10.0,
        help="of the network, a second [default: %(default)s]",
    )
    parser.add_argument("--json", type=Path, help="what benchmarks/scaling.py --json wrote")
    arguments = parser.parse_args()
    settings = {name: Model(**parts) for name, parts in MEASURED.items()}
    if arguments.json:
        found = json.loads(arguments.json.read_text())["results"]
        keys = ("shared", "child", "advance", "latency", "message")
        settings = {
            f"{each['setting']}, mu {each['survivors']}": Model(
                **{key: each["model"][key] for key in keys}
            )
            for each in found
        }
    fork = arguments.megabytes * 8e-3 / arguments.gigabits
    children = arguments.children
    per_generation = children + 1  # and one step of the discriminator
    print("| setting | GPUs | one population, h | tournament of 8, h | of 16, h |")
    print("| --- | --- | --- | --- | --- |")
    for name, model in settings.items():
        for gpus in GPUS:
            hours = [population(model, arguments.steps, per_generation, children, gpus) / 3600]
            for count in (8, 16):
                config = TournamentConfig(base="gaussians25-bad", count=count,
                                          steps=arguments.steps)  # fmt: skip
                hours.append(tournament(model, config, per_generation, children, gpus, fork) / 3600)
            print(f"| {name} | {gpus} | " + " | ".join(f"{each:.2f}" for each in hours) + " |")


if __name__ == "__main__":
    main()
