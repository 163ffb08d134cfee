"""Replicas that behave and misbehave, and evolutions on them, for the executors' tests.

`Chain` is a replica whose state is a text that every survivor is hashed into; it stands in where
the engine itself does not matter.
"""

import hashlib
import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import ray
import torch

from egan.backbones import DCGANConfig
from egan.config import GameConfig
from egan.discriminator import DiscriminatorConfig
from egan.engine import Diverged
from egan.mutations import heuristic, least_squares
from egan.replica import ReplicaFactory
from populations.executors.base import Origin, Outcome, PlacementConfig
from populations.executors.ray.executor import RayExecutor
from populations.individual import Job, Operator, Score
from populations.population import Population
from populations.selection import SelectionConfig, build_selection

ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers do not have the tests
GENERATIONS = 6


class Chain:
    """A replica whose state is a hash of all survivors so far."""

    hardware = "abacus"

    def __init__(self) -> None:
        self.generation, self.state = 0, "start"
        self.training: dict[str, float] = {}

    def step(self, generation, survivors, jobs, scored=True) -> Outcome:
        if survivors is not None and self.generation == generation - 1:
            self.advance(survivors)
        assert self.generation == generation
        scores = {job.index: Score((self.worth(job), 0.0)) for job in jobs}
        return Outcome(generation, self.state, scores, self.training, {"evaluation": 0.0})

    def advance(self, survivors) -> None:
        self.state = hashlib.sha256(f"{self.state} {survivors}".encode()).hexdigest()[:16]
        self.generation += 1
        self.training = {"loss": float(self.generation)}

    def worth(self, job: Job) -> float:
        return int(hashlib.sha256(f"{self.state} {job}".encode()).hexdigest()[:6], 16)

    def export(self):
        return self.generation, self.state

    def restore(self, exported, history) -> str:
        self.generation, self.state = exported or (0, "start")
        self.training = {}
        for survivors in history:
            self.advance(survivors)
        return self.state


def claim(path: Path) -> bool:
    """Return True to one caller alone, of all processes."""
    try:
        path.open("x").close()
    except FileExistsError:
        return False
    return True


@dataclass
class Claim:
    """A factory of replicas of `kind`, of which one misbehaves once, in generation 2."""

    kind: type[Chain]
    path: Path

    def __call__(self) -> Chain:
        replica = self.kind()
        replica.path = self.path
        return replica


class Perturbed(Chain):
    def step(self, generation, survivors, jobs, scored=True) -> Outcome:
        if generation == 2 and claim(self.path):
            self.state = "other bits"
        return super().step(generation, survivors, jobs, scored)


class Hanging(Chain):
    def step(self, generation, survivors, jobs, scored=True) -> Outcome:
        if generation == 2 and claim(self.path):
            time.sleep(600)
        return super().step(generation, survivors, jobs, scored)


class Dying(Chain):
    def step(self, generation, survivors, jobs, scored=True) -> Outcome:
        if generation == 2 and claim(self.path):
            os.kill(os.getpid(), signal.SIGKILL)
        return super().step(generation, survivors, jobs, scored)


class Mortal(Chain):
    def step(self, generation, survivors, jobs, scored=True) -> Outcome:
        os.kill(os.getpid(), signal.SIGKILL)


class Diverging(Chain):
    def step(self, generation, survivors, jobs, scored=True) -> Outcome:
        raise Diverged("generation 0: the discriminator's loss is nan in update 1 of 1")


class Contrary(Chain):
    """A replica whose bits differ after every generation, on the node that has its name."""

    def advance(self, survivors) -> None:
        super().advance(survivors)
        if self.node == here():
            self.state = f"other {self.state}"


class Greedy(Chain):
    """A replica that finds no memory for more than one child at a time, on its node."""

    error: type[Exception] = MemoryError
    at_most = 1

    def step(self, generation, survivors, jobs, scored=True) -> Outcome:
        if self.node in ("", here()) and len(jobs) > self.at_most:
            raise self.error("tried to allocate 3 GiB")
        return super().step(generation, survivors, jobs, scored)


class OnDevice(Greedy):
    """The same on an accelerator."""

    error = torch.OutOfMemoryError


class Insatiable(OnDevice):
    """A replica that never has enough."""

    at_most = 0


class Slow(Chain):
    """A replica that takes longer for every child, on its node."""

    def worth(self, job: Job) -> float:
        time.sleep(1.0 if self.node == here() else 0.01)
        return super().worth(job)


@dataclass
class On:
    """A factory of replicas of `kind` that differ on the node of that number; "" is every node."""

    kind: type[Chain]
    node: str = ""

    def __call__(self) -> Chain:
        replica = self.kind()
        replica.node = self.node
        return replica


@dataclass
class ReadsFile:
    """A factory that opens its data, which not every node may have."""

    path: str

    def __call__(self) -> Chain:
        if not Path(self.path).exists():
            raise ValueError(f"data.path: {self.path} does not exist")
        return Chain()


def here() -> str:
    """Return the number of the node that this runs on."""
    return str(ray.get_runtime_context().get_node_id())


def unreadable() -> Chain:
    raise ValueError("data.path: no such file here")


def stillborn() -> Chain:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


# ---------------------------------------------------------------------------------- evolution


def slow_heuristic(logits):
    """An own mutation, slow enough to be killed in its course."""
    time.sleep(0.1)
    return heuristic(logits)


MUTATIONS = {"slow_heuristic": slow_heuristic, "least_squares": least_squares}
GAME = GameConfig(
    seed=5,
    data={"source": "digits", "resolution": 16},
    backbone={"name": "dcgan", "width": 4, "latent": 6},
    population={"survivors": 2, "batch": 4},
    fitness={"batch": 8},
    discriminator={"updates": 2},
)
ENGINE = ReplicaFactory(GAME, "cpu", 1, mutations=MUTATIONS)
WIDE = GAME.model_copy(update={"backbone": DCGANConfig(width=64, latent=6)})
WINOGRAD = ReplicaFactory(WIDE, "cpu", 1, mutations=MUTATIONS, precision="winograd")
ADAPTING = GAME.model_copy(
    update={"discriminator": DiscriminatorConfig(augment="ada", augment_kimg=0.1)}
)
AUGMENTED = ReplicaFactory(ADAPTING, "cpu", 1, mutations=MUTATIONS)


class Evolution:
    """A population on an executor, its survivors journalled as a run does."""

    def __init__(self, executor) -> None:
        self.executor = executor
        self.selection = build_selection(SelectionConfig(), 2, (1.0, 0.01))
        self.begin()

    def begin(self) -> None:
        self.history: list[tuple[Job, ...]] = []
        self.events: list[dict[str, object]] = []
        self.log: list[object] = []
        self.population = Population(self.executor)

    def restart(self) -> None:
        """Begin anew, once all workers are there."""
        self.until(lambda: all(r["state"] == "joined" for r in self.replicas()))
        self.executor.restore(Origin(None, ()))
        self.begin()

    def until(self, reached, patience: float = 90.0) -> None:
        """Evolve until something is so."""
        end = time.monotonic() + patience
        while True:
            self.generation()
            if reached():
                return
            assert time.monotonic() < end, self.events
            time.sleep(0.1)

    def replicas(self) -> tuple[dict[str, object], ...]:
        return self.population.outcome.replicas

    def generation(self) -> None:
        jobs = self.selection.propose(
            tuple(map(Operator, MUTATIONS)), 5, self.population.generation
        )
        scores = self.population.advance_and_evaluate(jobs)
        outcome = self.population.outcome
        survivors = self.selection.select(
            self.selection.individuals(outcome.generation, jobs, scores)
        )
        self.events += outcome.events
        self.history.append(tuple(survivor.job for survivor in survivors))
        self.log.append((outcome.checksum, scores, outcome.training))
        self.population.choose(self.history[-1])

    def run(self, generations: int = GENERATIONS) -> list[object]:
        """Return checksums, scores and reports of all generations, and the last checksum."""
        while self.population.generation < generations:
            self.generation()
        outcome = self.population.advance()
        self.events += outcome.events
        return [*self.log, outcome.checksum]

    def happened(self) -> list[str]:
        return [str(event["event"]) for event in self.events]


def on_ray(factory, workers="auto", *, children: int = 4, say=print, **settings) -> Evolution:
    """Return an evolution on Ray workers; a lost population is replayed from its beginning."""
    evolutions: list[Evolution] = []

    def recover() -> Origin:
        return Origin(None, tuple(evolutions[0].history))

    config = PlacementConfig(workers=workers, **settings)
    evolutions.append(
        Evolution(RayExecutor(lambda device: factory, config, children, recover, say))
    )
    return evolutions[0]


def kill(process: int) -> None:
    os.kill(process, signal.SIGKILL)
    while Path(f"/proc/{process}").exists() and not _is_zombie(process):
        time.sleep(0.01)


def _is_zombie(process: int) -> bool:
    try:
        return " Z " in Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return True
