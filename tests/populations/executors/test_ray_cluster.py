"""Clusters that grow, shrink, stall, mix hardware, or lack something: the result stays the same.

One cluster serves the module: a head with two places, and nodes that a test adds and takes away.
"""

import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psutil
import pytest

from populations.executors.local import LocalExecutor
from populations.individual import Job

ray = pytest.importorskip("ray")
from ray.cluster_utils import Cluster

from tests.populations.executors.replicas import (
    Chain,
    Contrary,
    Evolution,
    On,
    ReadsFile,
    Slow,
    on_ray,
)

# A node that does not answer is given up after about 5 s, not 30.
HEALTH = {"health_check_period_ms": 1000, "health_check_timeout_ms": 2000}
HEALTH |= {"health_check_failure_threshold": 3, "health_check_initial_delay_ms": 0}
Added = Callable[..., object]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    made = Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": 2, "include_dashboard": False, "_system_config": HEALTH},
    )
    ray.init(address=made.address, log_to_driver=False, logging_level="ERROR")
    yield made
    ray.shutdown()
    made.shutdown()


@pytest.fixture
def add(cluster) -> Iterator[Added]:
    """Add a node; what a test leaves goes away with it."""
    nodes = []

    def call(**settings: object) -> object:
        nodes.append(cluster.add_node(**settings))
        return nodes[-1]

    yield call
    for node in nodes:
        if node in cluster.list_all_nodes():
            cluster.remove_node(node, allow_graceful=False)


@contextmanager
def evolving(*arguments, **settings) -> Iterator[Evolution]:
    evolution = on_ray(*arguments, **settings)
    try:
        yield evolution
    finally:
        evolution.executor.close()


def agrees(evolution: Evolution) -> bool:
    """Return whether all that was evolved has the bits of one process."""
    whole = Evolution(LocalExecutor(Chain)).run(len(evolution.log))
    return [entry[:2] for entry in evolution.log] == [entry[:2] for entry in whole[:-1]]


def states(evolution: Evolution) -> Counter:
    return Counter(str(replica["state"]) for replica in evolution.replicas())


def waiting(events: list[dict]) -> list[int]:
    told = (event for event in events if event["event"] == "workers-waiting")
    return sorted(slot for event in told for slot in event["workers"])


def test_a_node_that_comes_is_used_and_one_that_goes_is_not_missed(cluster, add):
    with evolving(Chain, 4, restarts=0) as evolution:
        evolution.generation()
        assert evolution.happened() == ["workers-waiting"]
        assert evolution.events[0]["workers"] == [2, 3] and evolution.events[0]["for"] == "1 CPU"

        node = add(num_cpus=2)
        evolution.until(lambda: states(evolution) == {"joined": 4})
        assert evolution.happened() == ["workers-waiting", "worker-joined", "worker-joined"]
        assert {event["node"][-9:-1] for event in evolution.events[1:]} == {node.node_id[:8]}

        cluster.remove_node(node, allow_graceful=False)
        evolution.until(lambda: waiting(evolution.events[3:]) == [2, 3])
        for _ in range(20):
            evolution.generation()
        lost = evolution.events[3:5]
        assert [event["event"] for event in lost] == ["worker-lost"] * 2
        assert {event["cause"] for event in lost} == {"node"}
        # Each once, and no restarts were needed, of which there are none.
        assert set(evolution.happened()[5:]) == {"workers-waiting"}
        assert waiting(evolution.events) == [2, 2, 3, 3]
        assert states(evolution) == {"joined": 2, "waiting": 2}
        assert agrees(evolution)


@pytest.mark.long
def test_a_slow_node_gets_fewer_children(cluster, add):
    node = add(num_cpus=1)
    jobs = [Job(index, index // 3, "abc"[index % 3]) for index in range(12)]
    with evolving(On(Slow, node.node_id), 3) as evolution:
        evolution.executor.step(0, None, ())
        begin = time.monotonic()
        outcome = evolution.executor.step(0, None, jobs)
        spent = time.monotonic() - begin
        assert outcome.scores == LocalExecutor(Chain).step(0, None, jobs).scores
    # A third each would take 4 x 1 s; pulled, the slow one gets a piece of 1 or 2.
    assert 1 <= spent < 3


@pytest.mark.long
def test_a_node_of_other_hardware_is_resynced_then_avoided(cluster, add):
    node = add(num_cpus=1)
    with evolving(On(Contrary, node.node_id), 3) as evolution:
        evolution.until(lambda: "node-avoided" in evolution.happened())
        assert evolution.happened() == ["replica-resynced"] * 3 + ["node-avoided"]
        assert all(e["seconds"] > 0 and e["bytes"] >= 0 for e in evolution.events[:3])
        assert evolution.events[3]["node"].endswith(f"({node.node_id[:8]})")
        assert "differed 3 times" in evolution.events[3]["reason"]
        evolution.until(lambda: "workers-waiting" in evolution.happened())
        for _ in range(20):
            evolution.generation()
        assert evolution.happened()[4:] == ["workers-waiting"]  # no flood
        assert states(evolution) == {"joined": 2, "waiting": 1}
        assert agrees(evolution)


@pytest.mark.long
def test_labels_and_custom_resources_choose_the_node(cluster, add):
    add(num_cpus=2)
    node = add(num_cpus=2, labels={"disk": "fast"}, resources={"tape": 1})
    with evolving(Chain, 1, labels={"disk": "fast"}, resources={"tape": 1.0}) as evolution:
        evolution.generation()
        assert evolution.replicas()[0]["node"].endswith(f"({node.node_id[:8]})")


@pytest.mark.long
def test_data_that_a_node_does_not_see_are_named_with_the_node(cluster, add, tmp_path, monkeypatch):
    with evolving(ReadsFile("setup.cfg"), 3, restarts=0) as evolution:
        monkeypatch.chdir(tmp_path)  # a path is not shared if it is relative to a node's own folder
        node = add(num_cpus=1, labels={"disk": "none"})
        monkeypatch.undo()
        evolution.until(lambda: "node-avoided" in evolution.happened())
        assert "setup.cfg does not exist" in evolution.events[-2]["reason"]
        assert evolution.events[-2]["node"].endswith(f"({node.node_id[:8]})")
        assert agrees(evolution)  # a node that comes later must not end a run
    with pytest.raises(ValueError) as caught:
        on_ray(ReadsFile("setup.cfg"), 1, labels={"disk": "none"})
    assert f"({node.node_id[:8]}): data.path: setup.cfg does not exist" in str(caught.value)
    assert str(caught.value).startswith("on node ")


@pytest.mark.long
@pytest.mark.timeout(280)
def test_a_node_behind_a_stalled_network_is_given_up(cluster, add):
    node = add(num_cpus=1)
    with evolving(Chain, 3) as evolution:
        evolution.until(lambda: states(evolution) == {"joined": 3})
        raylet = psutil.Process(node.all_processes["raylet"][0].process.pid)
        stalled = [raylet, *raylet.children(recursive=True)]
        begin = time.monotonic()
        for process in stalled:
            process.suspend()
        try:
            evolution.until(lambda: "worker-lost" in evolution.happened())
            assert time.monotonic() - begin < 60
            evolution.until(lambda: "workers-waiting" in evolution.happened())
            assert agrees(evolution)
        finally:
            for process in stalled:
                if process.is_running():
                    process.resume()


@pytest.mark.long
@pytest.mark.timeout(280)
def test_a_population_without_any_node_waits_for_one(cluster, add):
    first = add(num_cpus=1, labels={"pool": "y"})
    with evolving(Chain, 1, labels={"pool": "y"}, restarts=0, patience=120.0) as evolution:
        evolution.generation()
        evolution.generation()
        cluster.remove_node(first, allow_graceful=False)
        evolution.executor._crew._say = lambda text: add(num_cpus=1, labels={"pool": "y"})
        evolution.until(lambda: "worker-lost" in evolution.happened())  # waits; the node comes
        assert evolution.happened() == ["worker-lost", "population-rebuilt"]
        assert evolution.events[0]["cause"] == "node"
        assert agrees(evolution)


@pytest.mark.long
def test_a_stopped_worker_is_found_by_the_deadline(cluster):
    with evolving(Chain, 2, deadline=3.0) as evolution:
        evolution.generation()
        victim = evolution.executor.processes()[1]
        os.kill(victim, signal.SIGSTOP)
        evolution.generation()
        assert evolution.happened() == ["worker-lost"]
        assert evolution.events[0]["reason"] == "no answer in 3 s"
        evolution.until(lambda: "worker-joined" in evolution.happened())
        assert victim not in evolution.executor.processes()
        assert agrees(evolution)
