"""The executor in this process where memory is short; its bits are tested with the others'."""

import pytest
import torch

from populations.executors.base import Origin, WorkerLost
from populations.executors.local import LocalExecutor
from populations.individual import Job
from tests.populations.executors.replicas import Chain

TORCHS = "CUDA out of memory. Tried to allocate 3.00 GiB. GPU 0 has a total capacity of 2 GiB\nmore"


class Failing(Chain):
    """A replica that raises `error` whatever it is asked."""

    error: Exception

    def step(self, generation, survivors, jobs):
        raise self.error

    def restore(self, exported, history):
        raise self.error


def failing(error: Exception) -> LocalExecutor:
    replica = Failing()
    replica.error = error
    return LocalExecutor(lambda: replica)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (torch.OutOfMemoryError(TORCHS), "CUDA out of memory. Tried to allocate 3.00 GiB. Make"),
        (MemoryError(), "MemoryError. Make"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "can't allocate memory. Make"),
    ],
)
def test_short_memory_ends_the_run_with_what_to_change(error, said):
    executor = failing(error)
    for call in (
        lambda: executor.step(0, None, [Job(0, 0, "minimax")]),
        lambda: executor.restore(Origin(None, ())),
    ):
        with pytest.raises(WorkerLost, match="memory is short") as caught:
            call()
        assert said in str(caught.value) and "fitness.batch" in str(caught.value)
        assert "\n" not in str(caught.value)


def test_any_other_error_is_raised_as_it_is():
    error = RuntimeError("no such thing")
    with pytest.raises(RuntimeError) as caught:
        failing(error).step(0, None, [])
    assert caught.value is error
