"""The device of a process: what makes its bits reproducible, its memory, copies to it."""

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

    The host does not wait for a GPU: the copy, from pinned memory, is queued behind running work.
    """

    def sent(tensor: Tensor) -> Tensor:
        if device.type == "cuda":
            return tensor.pin_memory().to(device, non_blocking=True)
        return tensor.to(device)

    moved: Tree = mapped(tree, sent)
    return moved


def prepare_device(device: str, threads: int, precision: str = "float32") -> torch.device:
    """Set all that affects the bits of arithmetic in this process; return the torch device.

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
        # Otherwise another kernel fills each new tensor first; no step reads unwritten memory.
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
    """Make the C library keep freed memory for the next activations.

    If it returns large blocks to the system, each new block costs a page fault per 4 KiB: a sixth
    of the time of a large generation on a CPU. The process then stays at its peak memory.
    """
    if sys.platform != "linux":
        return
    options = getattr(ctypes.CDLL(None), "mallopt", None)  # glibc's; other C libraries lack it
    if options is not None:
        options(M_MMAP_MAX, 0)
        options(M_TRIM_THRESHOLD, -1)
