"""Functions of tensors, recorded once and replayed: CUDA graphs.

On a GPU a small network spends its time on launching hundreds of kernels one by one; a graph
launches all of them at once. They are the kernels of the plain call, so the bits are the same. This
is checked: a recording is used only after two replays with different arguments have given the bits
of the plain call. A function that cannot be recorded (such as one with a mutation that reads its
loss on the host) is always called plainly.
"""

import logging
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, TypeVar
from weakref import ref

import torch
from torch import Tensor

from egan.tensor_tree import Tensors, copies, copy, filled, leaves, mapped
from populations.messages import one_line

Replay = Callable[[Tensors], Tensors]
Result = TypeVar("Result")
Recorder = Callable[[Callable[[Tensors], Tensors], Tensors], Replay]

PROOFS = 2  # calls whose bits a recording must reproduce before it is used
WARM_UP = 3  # calls on a side stream before a capture, as torch's documentation has it
MOST = 64  # recordings; each holds a copy of its arguments


def recorder(device: torch.device) -> Recorder | None:
    """Return what records functions on `device`; None on a CPU, where nothing is launched."""
    return CudaRecorder() if device.type == "cuda" else None


class CudaRecorder:
    """Captures CUDA graphs on one stream, with one memory pool, so that no two run concurrently.

    Concurrent graphs gave other bits, and hung: cuBLAS has one workspace for everything that is
    captured on a stream, and kernels that wait for their whole grid can wait for each other.
    """

    def __init__(self) -> None:
        self._stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        self._pool = torch.cuda.graph_pool_handle()

    def __call__(self, function: Callable[[Tensors], Tensors], arguments: Tensors) -> Replay:
        """Return `function` as a graph's replay.

        Raises:
            RuntimeError: the function does something that a graph cannot contain.
        """
        own = copies(arguments)
        current, side = torch.cuda.current_stream(), self._stream
        side.wait_stream(current)
        with torch.cuda.stream(side):
            for _ in range(WARM_UP):
                function(own)
        current.wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        # Thread-local: another thread may export the state meanwhile.
        capture = torch.cuda.graph(graph, self._pool, side, capture_error_mode="thread_local")
        with torch.cuda.stream(current), capture:  # the first ends what a failed capture leaves
            results = function(own)

        present = [ref(tensor) for tensor in own]  # the tensors whose values lie in `own`

        def replay(arguments: Tensors) -> Tensors:
            stale = [i for i, tensor in enumerate(arguments) if present[i]() is not tensor]
            copy([arguments[i] for i in stale], [own[i] for i in stale])
            present[:] = [ref(tensor) for tensor in arguments]
            graph.replay()
            return copies(results)  # the next replay writes over them

        return replay


@dataclass
class _Recording:
    """A function's replay, the form of its result, and how often its bits were right."""

    replay: Replay
    result: Any
    proofs: int = 0


class Recordings:
    """Calls functions, as a recorded graph where there is one."""

    def __init__(self, record: Recorder | None) -> None:
        self._record = record
        self._known: dict[Hashable, _Recording | None] = {}  # None: called once
        self._plain: set[Hashable] = set()  # what cannot be recorded

    @property
    def in_use(self) -> int:
        """Return the number of recordings that have passed their checks."""
        return sum(entry is not None and entry.proofs >= PROOFS for entry in self._known.values())

    def __call__(
        self, key: Hashable, function: Callable[..., Result], *arguments: object
    ) -> Result:
        """Return `function(*arguments)`.

        Args:
            key: everything that the result depends on besides `arguments`.
            function: pure, of trees of tensors (in dicts, sequences and dataclasses) to such trees.
            arguments: its arguments; nothing changes them in place afterwards.
        """
        if self._record is None:
            return function(*arguments)
        tensors = leaves(arguments)
        key = key, tuple((t.shape, t.stride(), t.dtype) for t in tensors)
        if key in self._plain:
            return function(*arguments)
        if key not in self._known:  # once is no reason to record
            if len(self._known) < MOST:
                self._known[key] = None
            return function(*arguments)
        entry = self._known[key]
        if entry is not None and entry.proofs >= PROOFS:
            return filled(entry.result, entry.replay(tensors))  # type: ignore[no-any-return]
        plain = function(*arguments)

        def flat(own: Tensors) -> Tensors:
            return leaves(function(*filled(arguments, own)))

        self._try(key, entry, flat, tensors, plain)
        return plain

    def _try(
        self,
        key: Hashable,
        entry: _Recording | None,
        function: Callable[[Tensors], Tensors],
        arguments: Tensors,
        plain: object,
    ) -> None:
        """Record the function unless it is recorded, and compare a replay with the plain result."""
        assert self._record is not None
        try:
            expected = leaves(plain)
            entry = entry or _Recording(
                self._record(function, arguments), mapped(plain, lambda _: torch.empty(0))
            )
            same = all(map(_same_bits, entry.replay(arguments), expected))
        except Exception as error:  # torch raises many kinds; the plain call is always there
            self._refuse(key, f"{type(error).__name__}: {one_line(error, 300)}")
            return
        if not same:
            self._refuse(key, "its replay gives other bits than the plain call")
            return
        entry.proofs += 1
        self._known[key] = entry

    def _refuse(self, key: Hashable, reason: str) -> None:
        self._plain.add(key)
        self._known.pop(key, None)
        logging.getLogger(__name__).warning(
            "execution.compile: a step is not recorded, but called plainly: %s", reason
        )


def _same_bits(a: Tensor, b: Tensor) -> bool:
    return torch.equal(*(tensor.reshape(-1).view(torch.uint8) for tensor in (a, b)))
