"""Ray workers: the bits of one process, whatever dies, hangs or disagrees on the way.

One Ray session serves the whole module. Where the engine itself does not matter, replicas are of
`Chain`: its state is a text that every survivor is hashed into.
"""

import os
import threading
import time
from collections.abc import Iterator

import pytest

from egan.engine import Diverged
from populations.executors.base import Origin, WorkerLost
from populations.executors.local import LocalExecutor

ray = pytest.importorskip("ray")
from tests.populations.executors.replicas import (
    AUGMENTED,
    ENGINE,
    GENERATIONS,
    WINOGRAD,
    Chain,
    Claim,
    Diverging,
    Dying,
    Evolution,
    Greedy,
    Hanging,
    Insatiable,
    Mortal,
    On,
    OnDevice,
    Perturbed,
    kill,
    on_ray,
    stillborn,
    unreadable,
)

CPUS = 8  # on paper: two for the engine on two workers, and room for what a test adds


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


@pytest.mark.parametrize("factory", [WINOGRAD, AUGMENTED], ids=["winograd", "augmented"])
def test_two_workers_give_the_bits_of_one_process_in_other_games(factory):
    evolution = on_ray(factory, 2)
    try:
        assert evolution.run() == Evolution(LocalExecutor(factory)).run()
        assert evolution.events == []
    finally:
        evolution.executor.close()


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
    pair.until(lambda: "worker-joined" in pair.happened())
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
    pair.population.advance()
    exported, history = pair.population.export(), list(pair.history)
    pair.restart()
    assert pair.executor.restore(Origin(exported, ())) == expected[3][0]
    pair.population.generation, pair.history = 3, history
    *log, last = pair.run()
    # all but the report of a training that was before the resume
    assert [entry[:2] for entry in log] == [entry[:2] for entry in expected[3:-1]]
    assert last == expected[-1]


def test_a_replica_gives_what_it_holds_while_its_step_runs(tmp_path, chain):
    evolution = on_ray(Claim(Hanging, tmp_path / "claim"), 1)
    try:
        evolution.generation()
        evolution.generation()
        (worker,) = evolution.executor._crew.joined()
        worker.actor.step.remote(2, evolution.history[-1], ())  # which hangs
        begin = time.monotonic()
        generation, state = evolution.executor.held()
        assert time.monotonic() - begin < 10
        assert (generation, state) in ((1, chain[1][0]), (2, chain[2][0]))
    finally:
        evolution.executor.close()


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
        evolution.population.advance()
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


@pytest.mark.parametrize("kind", [OnDevice, pytest.param(Greedy, marks=pytest.mark.long)])
def test_where_memory_is_short_children_are_made_one_at_a_time(kind, chain):
    evolution = on_ray(On(kind), 1)
    try:
        assert evolution.run(3)[:3] == chain[:3]
        lost = [event for event in evolution.events if event["event"] == "worker-lost"]
        assert len(lost) == 3 and {event["cause"] for event in lost} == {"memory"}
        assert "tried to allocate 3 GiB" in lost[0]["reason"]
    finally:
        evolution.executor.close()


def test_where_memory_is_never_enough_the_run_ends_with_advice():
    evolution = on_ray(On(Insatiable), 2, restarts=1)
    try:
        with pytest.raises(
            WorkerLost, match=r"tried to allocate 3 GiB\. Memory was short: give .* fitness\.batch"
        ):
            evolution.generation()
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
    ("settings", "here", "waiting"),
    [
        ({"workers": 3, "threads": 3}, 2, 1),
        ({"children": 9, "cpus": 3, "threads": 1}, 2, 7),
        ({"children": 1, "threads": 3}, 1, 0),
    ],
)
def test_a_run_starts_with_what_fits_and_asks_for_the_rest_once(settings, here, waiting, chain):
    evolution = on_ray(Chain, **settings)
    try:
        description = evolution.executor.description
        assert f"on {here} Ray worker(s)" in description
        assert ("more asked for" in description) == bool(waiting)
        assert len(evolution.executor.processes()) == here
        assert evolution.run() == chain
        assert evolution.happened() == ["workers-waiting"][:waiting]
        states = [replica["state"] for replica in evolution.population.outcome.replicas]
        assert sorted(states) == ["joined"] * here + ["waiting"] * waiting
    finally:
        evolution.executor.close()


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"workers": 1, "device": "cuda"}, r"1 GPU, 1 CPU, .*free in the cluster: \d CPU"),
        ({"workers": 1, "threads": 9}, "each needs 9 CPU"),
        ({"workers": 1, "resources": {"tape": 2}}, "1 CPU, 2 tape"),
        ({"workers": 1, "labels": {"disk": "fast"}}, "1 CPU, a node with disk=fast"),
    ],
)
def test_where_no_worker_fits_in_time_the_run_says_what_is_missing(settings, text, monkeypatch):
    monkeypatch.setattr("populations.executors.ray.crew.SETTLE", 1.0)
    said: list[str] = []
    with pytest.raises(WorkerLost, match=rf"no worker got a place within 3 s: .*{text}"):
        on_ray(Chain, patience=3.0, say=said.append, **settings)
    assert len(said) == 1 and said[0].startswith("waiting for a place for a worker: ")


def test_a_joined_cluster_is_left_running():
    on_ray(Chain, 1).executor.close()
    assert ray.is_initialized()
