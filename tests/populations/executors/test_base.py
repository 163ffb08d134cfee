"""Memory that is short: known by what torch, Ray and Python raise, and told of in one line."""

import pytest
import torch
from ray import exceptions

from populations.executors.base import out_of_memory
from runs.common.memory import memory_advice

CUDA = "CUDA out of memory. Tried to allocate 3.00 GiB. GPU 0 has a total capacity of 2 GiB\nmore"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (torch.OutOfMemoryError(CUDA), "CUDA out of memory. Tried to allocate 3.00 GiB. Make"),
        (MemoryError(), "MemoryError. Make"),
        (MemoryError("Unable to allocate 3 GiB"), "Unable to allocate 3 GiB. Make"),
        (exceptions.OutOfMemoryError("a worker was killed"), "Make less at a time"),
        (
            RuntimeError(
                "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate "
                "memory: you tried to allocate 1024 bytes. Error code 12 (Cannot allocate memory)"
            ),
            "short: can't allocate memory: you tried to allocate 1024 bytes. Make",
        ),
        (RuntimeError("CUDA error: out of memory\nmore"), "CUDA error: out of memory. Make"),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling"), "calling. Make"),
    ],
)
def test_short_memory_is_known_and_told_with_what_to_change(error, said):
    assert out_of_memory(error)
    line = memory_advice(error)
    assert line.startswith("memory is short: ") and said in line and "fitness.batch" in line
    assert "\n" not in line


@pytest.mark.parametrize(
    "error", [RuntimeError("CUDA error: invalid argument"), ValueError("DefaultCPUAllocator")]
)
def test_other_errors_are_not_taken_for_it(error):
    assert not out_of_memory(error)
