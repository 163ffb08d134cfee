"""Ray's own guard of a node's memory: what it kills costs time, not the run."""

import os
import sys
import time

import psutil
import pytest

from populations.executors.local import LocalExecutor

ray = pytest.importorskip("ray")
from ray.cluster_utils import Cluster

from tests.populations.executors.replicas import Chain, Claim, Evolution, claim, on_ray

ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
SPARE = 2.5 * 2**30  # bytes that may be taken before the guard steps in


class Hoarding(Chain):
    """A replica that takes all the memory there is, once, in generation 2."""

    def step(self, generation, survivors, jobs, scored=True):
        if generation == 2 and claim(self.path):
            hoard = []
            while True:
                hoard.append(bytearray(os.urandom(1)) * 2**26)
                time.sleep(0.02)
        return super().step(generation, survivors, jobs, scored)


@pytest.mark.long
@pytest.mark.timeout(280)
def test_a_worker_that_exhausts_its_node_is_killed_and_the_run_goes_on(tmp_path):
    memory = psutil.virtual_memory()
    threshold = (memory.total - memory.available + SPARE) / memory.total
    cluster = Cluster(
        initialize_head=True,
        head_node_args={
            "num_cpus": 2,
            "include_dashboard": False,
            "_system_config": {
                "memory_usage_threshold": threshold,
                "memory_monitor_refresh_ms": 100,
            },
        },
    )
    ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
    try:
        evolution = on_ray(Claim(Hoarding, tmp_path / "claim"), 2)
        log = evolution.run(4)
        lost = [event for event in evolution.events if event["event"] == "worker-lost"]
        assert lost and {event["cause"] for event in lost} == {"memory"}
        assert "running low on memory" in lost[0]["reason"]
        evolution.executor.close()
    finally:
        ray.shutdown()
        cluster.shutdown()
    whole = Evolution(LocalExecutor(Chain)).run(4)
    assert [entry[:2] for entry in log[:-1]] == [entry[:2] for entry in whole[:-1]]
