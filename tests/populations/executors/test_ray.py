"""Ray workers: the bits of one process, whatever dies, hangs or disagrees on the way.

One Ray session serves the whole module. Where the engine itself does not matter, replicas are of
`Chain`: its state is a text that every survivor is hashed into.
"""

import hashlib
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from egan.engine import Diverged
from egan.game import GameConfig
from egan.mutations import heuristic, least_squares
from egan.replica import ReplicaFactory
from populations.executors.base import ExecutionConfig, Origin, Outcome, WorkerLost
from populations.executors.local import LocalExecutor
from populations.individual import Job, Score
from populations.population import Population
from populations.selection import SelectionConfig, build_selection

ray = pytest.importorskip("ray")
from populations.executors.ray import RayExecutor, shares

ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers do not have the tests
CPUS = 8  # on paper: two for the engine on two workers, and room for what a test adds
GENERATIONS = 6


@pytest.fixture(scope="module", autouse=True)
def session() -> Iterator[None]:
    os.environ["RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"] = "0"
    ray.init(
        address="local",
        num_cpus=CPUS,
        include_dashboard=False,
        log_to_driver=False,
        logging_level="ERROR",
    )
    yield
    ray.shutdown()


# ---------------------------------------------------------------------------------- replicas


class Chain:
    """A replica whose state is a hash of all survivors so far."""

    def __init__(self) -> None:
        self.generation, self.state = 0, "start"
        self.training: dict[str, float] = {}

    def step(self, generation, survivors, jobs) -> Outcome:
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
    def step(self, generation, survivors, jobs) -> Outcome:
        if generation == 2 and claim(self.path):
            self.state = "other bits"
        return super().step(generation, survivors, jobs)


class Hanging(Chain):
    def step(self, generation, survivors, jobs) -> Outcome:
        if generation == 2 and claim(self.path):
            time.sleep(600)
        return super().step(generation, survivors, jobs)


class Dying(Chain):
    def step(self, generation, survivors, jobs) -> Outcome:
        if generation == 2 and claim(self.path):
            os.kill(os.getpid(), signal.SIGKILL)
        return super().step(generation, survivors, jobs)


class Mortal(Chain):
    def step(self, generation, survivors, jobs) -> Outcome:
        os.kill(os.getpid(), signal.SIGKILL)


class Diverging(Chain):
    def step(self, generation, survivors, jobs) -> Outcome:
        raise Diverged("generation 0: the discriminator's loss is nan in update 1 of 1")


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


class Evolution:
    """A population on an executor, its survivors journalled as a run does."""

    def __init__(self, executor) -> None:
        self.executor = executor
        self.selection = build_selection(SelectionConfig(), 2, 0.01)
        self.begin()

    def begin(self) -> None:
        self.history: list[tuple[Job, ...]] = []
        self.events: list[dict[str, object]] = []
        self.log: list[object] = []
        self.population = Population(self.executor)

    def restart(self) -> None:
        self.executor.restore(Origin(None, ()))
        self.begin()

    def generation(self) -> None:
        jobs = self.selection.propose(tuple(MUTATIONS), 5, self.population.generation)
        scores = self.population.evaluate(jobs)
        outcome = self.population.outcome
        survivors = self.selection.select(
            self.selection.individuals(outcome.generation, jobs, scores)
        )
        self.events += outcome.events
        self.history.append(tuple(survivor.job for survivor in survivors))
        self.log.append((outcome.checksum, scores, outcome.training))
        self.population.advance(self.history[-1])

    def run(self, generations: int = GENERATIONS) -> list[object]:
        """Return checksums, scores and reports of all generations, and the last checksum."""
        while self.population.generation < generations:
            self.generation()
        outcome = self.population.settle()
        self.events += outcome.events
        return [*self.log, outcome.checksum]

    def happened(self) -> list[str]:
        return [str(event["event"]) for event in self.events]


def on_ray(factory, workers, *, children: int = 4, **settings) -> Evolution:
    """Return an evolution on Ray workers; a lost population is replayed from its beginning."""
    evolutions: list[Evolution] = []

    def recover() -> Origin:
        return Origin(None, tuple(evolutions[0].history))

    config = ExecutionConfig(workers=workers, **settings)
    evolutions.append(Evolution(RayExecutor(lambda device: factory, config, children, recover)))
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


@pytest.fixture(scope="module")
def expected() -> list[object]:
    """The engine's evolution in one process."""
    return Evolution(LocalExecutor(ENGINE)).run()


@pytest.fixture(scope="module")
def chain() -> list[object]:
    """The chain's evolution in one process."""
    return Evolution(LocalExecutor(Chain)).run()


@pytest.fixture(scope="module")
def pair() -> Iterator[Evolution]:
    """The engine on two workers."""
    evolution = on_ray(ENGINE, 2)
    yield evolution
    evolution.executor.close()


# ---------------------------------------------------------------------------------- bits


@pytest.mark.parametrize("workers", [1, 3])
def test_workers_in_any_number_give_the_bits_of_one_process(expected, workers):
    evolution = on_ray(ENGINE, workers)
    try:
        assert len(set(evolution.executor.processes())) == workers
        assert evolution.run() == expected
        assert evolution.events == []
        assert f"on {workers} Ray worker(s)" in evolution.executor.description
    finally:
        evolution.executor.close()


def test_two_workers_give_the_bits_of_one_process(pair, expected):
    assert pair.run() == expected
    assert pair.events == []
    outcome = pair.population.outcome
    assert {"advance", "variation", "evaluation", "messages"} <= outcome.seconds.keys()


def test_a_worker_killed_in_the_middle_of_a_generation_costs_nothing_but_time(pair, expected):
    pair.restart()
    pair.generation()
    victim = pair.executor.processes()[1]
    timer = threading.Timer(0.05, kill, [victim])  # children take 0.1 s and more each
    timer.start()
    pair.generation()
    timer.join()
    assert pair.happened() == ["worker-lost"]
    assert pair.run() == expected
    assert pair.executor.processes()[0] != victim


def test_a_lost_workers_successor_joins_and_takes_part(pair, expected):
    pair.restart()
    pair.generation()
    kill(pair.executor.processes()[0])
    patience = time.monotonic() + 60
    while "worker-joined" not in pair.happened() and time.monotonic() < patience:
        pair.generation()
        time.sleep(0.2)
    assert pair.happened()[:2] == ["worker-lost", "worker-joined"]
    assert len(pair.executor.processes()) == 2
    pair.generation()
    assert pair.log[:GENERATIONS] == expected[: min(len(pair.log), GENERATIONS)]


def test_a_population_that_is_lost_whole_is_made_again(pair, expected):
    pair.restart()
    for _ in range(3):
        pair.generation()
    for process in pair.executor.processes():
        kill(process)
    pair.generation()
    assert pair.happened() == ["worker-lost", "worker-lost", "population-rebuilt"]
    assert pair.events[-1]["replayed"] == 3
    assert pair.run() == expected


def test_a_resumed_population_goes_on_from_its_export(pair, expected):
    pair.restart()
    for _ in range(3):
        pair.generation()
    pair.population.settle()
    exported, history = pair.population.export(), list(pair.history)
    pair.restart()
    assert pair.executor.restore(Origin(exported, ())) == expected[3][0]
    pair.population.generation, pair.history = 3, history
    *log, last = pair.run()
    # all but the report of a training that was before the resume
    assert [entry[:2] for entry in log] == [entry[:2] for entry in expected[3:-1]]
    assert last == expected[-1]


# ---------------------------------------------------------------------------------- accidents


def test_a_worker_that_dies_in_its_step_is_replaced(tmp_path, chain):
    evolution = on_ray(Claim(Dying, tmp_path / "claim"), 2)
    try:
        assert evolution.run() == chain
        assert evolution.happened()[0] == "worker-lost"
    finally:
        evolution.executor.close()


def test_a_single_worker_that_dies_is_made_again_from_the_journal(tmp_path, chain):
    evolution = on_ray(Claim(Dying, tmp_path / "claim"), 1)
    try:
        assert evolution.run() == chain
        assert evolution.happened() == ["worker-lost", "population-rebuilt"]
    finally:
        evolution.executor.close()


def test_a_replica_that_disagrees_is_given_the_majoritys_state(tmp_path, chain):
    evolution = on_ray(Claim(Perturbed, tmp_path / "claim"), 3)
    try:
        assert evolution.run() == chain
        assert evolution.happened() == ["replica-resynced"]
        assert len(evolution.executor.processes()) == 3
    finally:
        evolution.executor.close()


def test_a_worker_that_hangs_beyond_the_deadline_is_replaced(tmp_path, chain):
    evolution = on_ray(Claim(Hanging, tmp_path / "claim"), 2, deadline=2.0)
    try:
        assert evolution.run() == chain
        lost = evolution.events[0]
        assert lost["event"] == "worker-lost" and lost["reason"] == "no answer in 2 s"
    finally:
        evolution.executor.close()


def test_workers_lost_before_an_export_or_a_restore_are_made_again_and_reported(chain):
    evolution = on_ray(Chain, 2)
    try:
        evolution.generation()
        evolution.population.settle()
        for process in evolution.executor.processes():
            kill(process)
        assert evolution.executor.export() == (1, chain[1][0])
        kill(evolution.executor.processes()[0])
        assert evolution.executor.restore(Origin(None, tuple(evolution.history))) == chain[1][0]
        evolution.generation()
        assert evolution.happened()[:4] == ["worker-lost"] * 2 + [
            "population-rebuilt",
            "worker-lost",
        ]
        assert [entry[:2] for entry in evolution.log] == [entry[:2] for entry in chain[:2]]
    finally:
        evolution.executor.close()


def test_a_replica_that_cannot_be_given_the_state_does_not_stop_the_run(chain):
    """The healthy worker dies just when its state is wanted for the other's successor."""
    evolution = on_ray(Chain, 2)
    try:
        evolution.generation()
        first, second = evolution.executor.processes()
        kill(first)
        evolution.generation()
        time.sleep(1.5)  # the successor starts
        kill(second)
        assert evolution.run() == chain
        assert "population-rebuilt" in evolution.happened() or (
            evolution.happened().count("worker-lost") == 2
        )
    finally:
        evolution.executor.close()


def test_a_worker_that_always_dies_stops_the_run_after_the_restarts_it_has():
    evolution = on_ray(Mortal, 1, restarts=2)
    try:
        with pytest.raises(
            WorkerLost,
            match=r"worker 0 was lost 3 times in a row; execution\.restarts allows 2\. "
            r"The last reason: .+",
        ):
            evolution.generation()
    finally:
        evolution.executor.close()


def test_a_worker_that_cannot_start_stops_the_run():
    with pytest.raises(WorkerLost, match="worker 0 was lost 2 times in a row"):
        on_ray(stillborn, 1, restarts=1)


def test_an_error_in_a_replica_arrives_as_itself():
    evolution = on_ray(Diverging, 1)
    try:
        with pytest.raises(Diverged, match="loss is nan in update 1 of 1") as caught:
            evolution.generation()
        assert type(caught.value) is Diverged
    finally:
        evolution.executor.close()


def test_an_error_in_building_a_replica_arrives_as_itself():
    with pytest.raises(ValueError, match=r"data\.path: no such file here") as caught:
        on_ray(unreadable, 1)
    assert type(caught.value) is ValueError


# ---------------------------------------------------------------------------------- size


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"workers": 9}, r"9 worker\(s\) of 1 CPU each .* has 8 CPU and 0 GPU"),
        ({"workers": 3, "threads": 3}, r"3 worker\(s\) of 3 CPU each"),
        ({"workers": 1, "device": "cuda"}, r"1 worker\(s\) of 1 GPU each"),
    ],
)
def test_more_workers_than_fit_the_cluster_are_refused_with_what_to_change(settings, text):
    with pytest.raises(ValueError, match=rf"execution\.workers: {text}.*--workers N"):
        on_ray(Chain, **settings)


@pytest.mark.parametrize(("children", "count"), [(1, 1), (9, 2)])
def test_auto_is_one_worker_per_child_at_most_what_fits(children, count):
    evolution = on_ray(Chain, "auto", children=children, threads=3)
    try:
        assert len(evolution.executor.processes()) == count
    finally:
        evolution.executor.close()


def test_a_joined_cluster_is_left_running():
    on_ray(Chain, 1).executor.close()
    assert ray.is_initialized()


@pytest.mark.parametrize("jobs", range(8))
@pytest.mark.parametrize("workers", range(1, 5))
def test_shares_are_nearly_equal_and_keep_siblings_together(jobs, workers):
    made = [Job(index, index // 3, "a") for index in range(jobs)]
    split = shares(made, workers)
    assert len(split) == workers
    assert [job for share in split for job in share] == made
    sizes = list(map(len, split))
    assert max(sizes) - min(sizes) <= 1
