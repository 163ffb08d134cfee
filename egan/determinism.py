"""A process's device: what decides the bits of its arithmetic, its memory, the way there."""

import ctypes
import os
import sys
from typing import TypeVar

import torch
from torch import Tensor

from egan.tensor_tree import mapped

Tree = TypeVar("Tree")

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # glibc's malloc.h


def send(tree: Tree, device: torch.device) -> Tree:
    """Return a tree of the host's tensors on `device`.

    A GPU is not waited for: the copy, out of pinned memory, takes its turn behind the work at hand.
    """

    def sent(tensor: Tensor) -> Tensor:
        if device.type == "cuda":
            return tensor.pin_memory().to(device, non_blocking=True)
        return tensor.to(device)

    moved: Tree = mapped(tree, sent)
    return moved


def prepare_device(device: str, threads: int, precision: str = "float32") -> torch.device:
    """Fix what decides the bits of arithmetic in this process, and return the torch device.

    Another number of threads, or an algorithm that cuDNN picks by timing, gives other bits.
    """
    torch.set_num_threads(threads)
    _keep_freed_memory()
    if device == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.backends.cudnn.benchmark = False
        torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
        torch.backends.cudnn.allow_tf32 = precision == "tf32"
        torch.use_deterministic_algorithms(True, warn_only=True)
        # Else each new tensor is first filled, by a kernel more; no step reads what none wrote.
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    return torch.device(device)


def bfloat16_unit() -> str | None:
    """Return the name of the unit with which this processor multiplies bfloat16; None: it has none.

    Without one, bfloat16 is emulated, and slower than float32.
    """
    units = {"AMX": "_is_amx_tile_supported", "AVX512-BF16": "_is_avx512_bf16_supported"}
    for name, question in units.items():
        if getattr(torch.cpu, question, lambda: False)():
            return name
    return None


def _keep_freed_memory() -> None:
    """Have the C library keep freed memory for the next activations.

    Where it gives large blocks back to the system, each new one costs a page fault for every 4 KiB:
    a sixth of a large generation on a CPU. The process stays at the most that it has ever needed.
    """
    if sys.platform != "linux":
        return
    options = getattr(ctypes.CDLL(None), "mallopt", None)  # glibc's; other C libraries lack it
    if options is not None:
        options(M_MMAP_MAX, 0)
        options(M_TRIM_THRESHOLD, -1)
