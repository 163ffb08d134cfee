"""Time to recover from a lost worker and a lost node: python benchmarks/recovery.py [--json FILE].

A cluster of a head and one more node is simulated on this machine (`ray.cluster_utils`), a replica
of the engine on each. Then, several times, a worker is killed, or the raylet of the second node
with its worker (a node that vanishes), which is put back afterwards. Measured from the kill:

    next       until the next generation is whole, made by those that are left
    joined     until the successor holds the state and takes part (a node: since it is back)
    rebuilt    both workers killed: until the next generation, from the journal's beginning

The generations in between have the same bits as undisturbed ones, which is checked.
"""

import argparse
import json
import os
import platform
import signal
import statistics
import time
from pathlib import Path

import ray
import torch
from ray.cluster_utils import Cluster

from egan.mutations import resolve
from egan.replica import ReplicaFactory
from populations.executors.base import Origin, PlacementConfig
from populations.executors.local import LocalExecutor
from populations.executors.ray.executor import RayExecutor
from populations.individual import Job
from populations.population import Population
from runs.config.loading import load_config


class Course:
    """A population that always takes the first child, timed."""

    def __init__(self, executor: object = None) -> None:
        self.config = load_config("digits")
        self.mutations = {name: resolve(name) for name in self.config.population.mutations}
        self.jobs = tuple(Job(i, (0,), name) for i, name in enumerate(self.mutations))
        self.history: list[tuple[Job, ...]] = []
        self.checksums: list[str] = []
        self.events: list[str] = []
        self.executor = executor or self.on_ray()
        self.population = Population(self.executor)

    def factory(self, device: str) -> ReplicaFactory:
        return ReplicaFactory(self.config, device, 1, self.mutations)

    def on_ray(self) -> RayExecutor:
        execution = PlacementConfig(workers=2, device="cpu", restarts=10)
        return RayExecutor(
            self.factory, execution, len(self.jobs), lambda: Origin(None, tuple(self.history))
        )

    def generation(self) -> float:
        """Evolve one generation; return its seconds."""
        start = time.perf_counter()
        self.population.advance_and_evaluate(self.jobs)
        outcome = self.population.outcome
        self.checksums.append(outcome.checksum)
        self.events += [event["event"] for event in outcome.events]
        self.history.append(self.jobs[:1])
        self.population.choose(self.history[-1])
        return time.perf_counter() - start

    def until_joined(self, count: int) -> float:
        """Evolve until so many replicas take part; return the seconds."""
        start = time.perf_counter()
        while True:
            self.generation()
            states = [replica["state"] for replica in self.population.outcome.replicas]
            if states.count("joined") >= count:
                return time.perf_counter() - start


def kill(process: int) -> None:
    os.kill(process, signal.SIGKILL)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--times", type=int, default=5, help="times of each fault [default: %(default)s]"
    )
    parser.add_argument("--json", type=Path, help="write the figures to this file, too")
    arguments = parser.parse_args()
    cluster = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False}
    )
    node = cluster.add_node(num_cpus=1)
    ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
    course = Course()
    undisturbed = statistics.median(course.generation() for _ in range(20))
    seconds: dict[str, list[float]] = {}

    def note(name: str, value: float) -> None:
        seconds.setdefault(name, []).append(value)

    for _ in range(arguments.times):
        kill(course.executor.processes()[1])
        note("worker lost: next", course.generation())
        note("worker lost: joined", course.until_joined(2))
    for _ in range(arguments.times):
        cluster.remove_node(node, allow_graceful=False)
        note("node lost: next", course.generation())
        node = cluster.add_node(num_cpus=1)
        note("node back: joined", course.until_joined(2))
    for _ in range(arguments.times):
        for process in course.executor.processes():
            kill(process)
        note("all workers lost: rebuilt", course.generation())
        course.until_joined(2)
    course.executor.close()
    ray.shutdown()
    cluster.shutdown()

    local = Course(LocalExecutor(course.factory("cpu")))
    while len(local.checksums) < len(course.checksums):
        local.generation()
    result = {
        "machine": {
            "cores": os.cpu_count(),
            "load": os.getloadavg()[1],
            "torch": torch.__version__,
            "ray": ray.__version__,
            "python": platform.python_version(),
        },
        "generations": len(course.checksums),
        "same_bits": local.checksums == course.checksums,
        "undisturbed_generation": undisturbed,
        "seconds": seconds,
    }
    print(json.dumps(result["machine"]))
    print(
        f"{result['generations']} generations, {undisturbed:.3f} s each undisturbed; the bits of "
        f"one process: {'yes' if result['same_bits'] else 'NO'}\n\n"
        "| what | median s | least | most |\n| --- | --- | --- | --- |"
    )
    for name, values in seconds.items():
        median = statistics.median(values)
        print(f"| {name} | {median:.2f} | {min(values):.2f} | {max(values):.2f} |")
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
