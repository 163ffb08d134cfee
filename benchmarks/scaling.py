"""Time of a generation by phase and number of workers: python benchmarks/scaling.py [--json FILE].

Measures the real executors, in process and on 1, 2 and 3 Ray workers of one thread each, with 1 and
4 survivors; the bytes of a worker's call and answer in a generation, as Ray serialises them, and
what goes through the loopback interface, less what does while nothing is asked. It fits a model,

    T(W) = shared + ceil(children / W) * child + advance + latency + message * W

whose parts are measured in process, and whose latency and message time are those of Ray actors that
answer the same calls at once, 1 to 16 of them. The model is checked against the measured worker
counts, then asked about 8, 64 and 512 workers. On a machine with fewer cores than workers the
measured times hold the cores' sharing, too, so the check is fair only up to that number.
"""

import argparse
import json
import math
import os
import platform
import statistics
import time
from collections import deque
from pathlib import Path

import psutil
import ray
import torch
from generation import settings_among

from egan.mutations import resolve
from egan.replica import ReplicaFactory
from populations.executors.base import Executor, Origin, Outcome, PlacementConfig
from populations.executors.local import LocalExecutor
from populations.executors.ray.executor import RayExecutor
from populations.executors.schedule import take
from populations.individual import Job
from runs.config.loading import load_config
from runs.config.schema import RunConfig

IDLE = 5.0  # seconds in which Ray's own traffic is measured, which is taken off
SETTINGS = {
    "cifar": (
        "data.resolution=32",
        "backbone.width=128",
        "backbone.generator_norm=none",
        "backbone.bias=true",
        "population.batch=32",
        "fitness.batch=256",
        "discriminator.updates=3",
        "discriminator.r1=0",
    ),
    "digits": (),
}


def grid(config: RunConfig) -> tuple[Job, ...]:
    """Return every child of a generation."""
    names = config.population.mutations
    return tuple(
        Job(parent * len(names) + place, (parent,), name)
        for parent in range(config.population.survivors)
        for place, name in enumerate(names)
    )


def generations(executor: Executor, config: RunConfig, count: int) -> tuple[list, list[Outcome]]:
    """Evolve; return the wall seconds of each generation and its outcome."""
    jobs, survivors = grid(config), None
    seconds, outcomes = [], []
    for generation in range(count):
        start = time.perf_counter()
        outcome = executor.step(generation, survivors, jobs)
        seconds.append(time.perf_counter() - start)
        outcomes.append(outcome)
        ranked = sorted(jobs, key=lambda job: -outcome.scores[job.index].values[0])
        survivors = tuple(ranked[: config.population.survivors])
    return seconds, outcomes


def loopback_bytes() -> int:
    """Return the bytes that this machine has sent to itself since it started."""
    return psutil.net_io_counters(pernic=True)["lo"].bytes_sent


def message_bytes(config: RunConfig, outcome: Outcome, workers: int) -> int:
    """Return the bytes of a worker's first call and answer, as Ray serialises them."""
    jobs = grid(config)
    share = take(deque(jobs), workers, len(jobs))
    survivors = jobs[: config.population.survivors]
    return len(ray.cloudpickle.dumps((1, survivors, share))) + len(ray.cloudpickle.dumps(outcome))


def medians(outcomes: list[Outcome]) -> dict[str, float]:
    """Return the median seconds of each phase, the first generation left out."""
    phases = {phase for outcome in outcomes for phase in outcome.seconds}
    return {
        phase: statistics.median(o.seconds.get(phase, 0.0) for o in outcomes[1:])
        for phase in sorted(phases)
    }


def measure(setting: str, survivors: int, count: int, messages: tuple[float, float]) -> dict:
    """Return the measured times of one setting, the model and its predictions."""
    config = load_config("digits", [*SETTINGS[setting], f"population.survivors={survivors}"])
    mutations = {name: resolve(name) for name in config.population.mutations}
    children = len(grid(config))

    def factory_for(device: str) -> ReplicaFactory:
        return ReplicaFactory(config, device, 1, mutations)

    rows = {}
    local = LocalExecutor(factory_for("cpu"))
    seconds, outcomes = generations(local, config, count)
    rows["local"] = {"seconds": statistics.median(seconds[1:]), "phases": medians(outcomes)}
    single = one_child(local, config, count)
    for workers in (1, 2, 3):
        execution = PlacementConfig(workers=workers, device="cpu")
        executor = RayExecutor(factory_for, execution, children, lambda: Origin(None, ()))
        idle = loopback_bytes()
        time.sleep(IDLE)
        idle, begin, since = loopback_bytes() - idle, time.perf_counter(), loopback_bytes()
        seconds, outcomes = generations(executor, config, count)
        carried, own = loopback_bytes() - since, idle * (time.perf_counter() - begin) / IDLE
        # Ray talks to itself all the time: of a long generation's bytes that is nearly all.
        wire = round((carried - own) / count / workers) if own < carried / 2 else None
        rows[f"ray x{workers}"] = {
            "seconds": statistics.median(seconds[1:]),
            "phases": medians(outcomes),
            "loopback_bytes_per_worker": wire,
            "bytes_per_worker": message_bytes(config, outcomes[-1], workers),
        }
        executor.close()
    return {
        "setting": setting,
        "survivors": survivors,
        "children": children,
        "rows": rows,
        "model": model(rows["local"]["phases"], single, children, messages),
    }


class Echo:
    """Answers a replica's call at once."""

    def step(
        self, generation: int, survivors: object, jobs: object, scored: bool = True
    ) -> Outcome:
        return Outcome(generation, "0" * 16, {})


def round_trips(rounds: int = 200) -> tuple[float, float]:
    """Return the seconds of a round of calls to W actors, as latency + message * W."""
    ray.init(address="local", include_dashboard=False, log_to_driver=False, num_cpus=2)
    actors = [ray.remote(num_cpus=0)(Echo).remote() for _ in range(16)]
    jobs = tuple(Job(index, (0,), "heuristic") for index in range(3))
    ray.get([actor.step.remote(0, jobs[:1], jobs) for actor in actors])
    counts, medians_ = [1, 2, 4, 8, 16], []
    for count in counts:
        times = []
        for _ in range(rounds):
            start = time.perf_counter()
            pending = [actor.step.remote(0, jobs[:1], jobs) for actor in actors[:count]]
            while pending:
                ready, pending = ray.wait(pending, num_returns=1)
                ray.get(ready)
            times.append(time.perf_counter() - start)
        medians_.append(statistics.median(times))
    ray.shutdown()
    message, latency = statistics.linear_regression(counts, medians_)
    return max(latency, 0.0), message


def one_child(executor: LocalExecutor, config: RunConfig, count: int) -> float:
    """Return the median seconds of making and scoring a single child."""
    start = count
    seconds = []
    survivors = grid(config)[: config.population.survivors]
    for generation in range(start, start + count):
        outcome = executor.step(generation, survivors, grid(config)[:1])
        seconds.append(outcome.seconds["variation"] + outcome.seconds["evaluation"])
    return statistics.median(seconds)


def model(
    phases: dict[str, float], single: float, children: int, messages: tuple[float, float]
) -> dict:
    """Return the model's parts (seconds) and what it says for numbers of workers."""
    latency, message = messages
    all_children = phases["variation"] + phases["evaluation"]
    child = (all_children - single) / (children - 1)
    shared = single - child

    def predicted(workers: int) -> float:
        busy = math.ceil(children / min(workers, children))
        return shared + busy * child + phases["advance"] + latency + message * workers

    return {
        "shared": shared,
        "child": child,
        "advance": phases["advance"],
        "latency": latency,
        "message": message,
        "predicted": {str(w): predicted(w) for w in (1, 2, 3, 8, 64, 512)},
    }


def table(result: dict) -> str:
    """Return a result as Markdown."""
    lines = [
        f"\n{result['setting']}, mu {result['survivors']}, {result['children']} children\n",
        "| where | s / generation | variation | evaluation | advance | messages | bytes of a "
        "worker's messages | on the wire |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, row in result["rows"].items():
        cells = [f"{row['phases'].get(p, 0.0):.4f}" for p in
                 ("variation", "evaluation", "advance", "messages")]  # fmt: skip
        lines.append(
            f"| {name} | {row['seconds']:.4f} | {' | '.join(cells)} | "
            f"{row.get('bytes_per_worker', 0)} | {row.get('loopback_bytes_per_worker') or '-'} |"
        )
    parts = result["model"]
    lines.append(
        f"\nmodel: shared {parts['shared']:.4f} s, child {parts['child']:.4f} s, advance "
        f"{parts['advance']:.4f} s, latency {parts['latency'] * 1000:.2f} ms, message "
        f"{parts['message'] * 1000:.2f} ms a worker; predicted: "
        + ", ".join(f"{w} workers {s:.4f} s" for w, s in parts["predicted"].items())
    )
    return "\n".join(lines)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--settings",
        default="digits,cifar",
        help="digits, cifar, or both by a comma [default: %(default)s]",
    )
    parser.add_argument(
        "--survivors", default="1,4", help="values of mu, by commas [default: %(default)s]"
    )
    parser.add_argument(
        "--generations",
        type=int,
        default=12,
        help="generations for each number of workers [default: %(default)s]",
    )
    parser.add_argument("--json", type=Path, help="write the figures to this file, too")
    arguments = parser.parse_args()
    settings = settings_among(SETTINGS, parser, arguments)
    machine = {
        "cores": os.cpu_count(),
        "torch": torch.__version__,
        "ray": ray.__version__,
        "python": platform.python_version(),
    }
    print(json.dumps(machine))
    messages = round_trips()
    results = []
    for setting in settings:
        for survivors in map(int, arguments.survivors.split(",")):
            results.append(measure(setting, survivors, arguments.generations, messages))
            print(table(results[-1]), flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps({"machine": machine, "results": results}, indent=2))


if __name__ == "__main__":
    main()
