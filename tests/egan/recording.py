"""Recording on the CPU, and a game to record."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch._ops import OpOverload
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

from egan.cuda_graphs import Replay
from egan.engine import Engine
from egan.state import checksum
from populations.individual import Job


@dataclass(frozen=True)
class Place:
    """Stands for a tensor among the arguments and results of a recording's operations."""

    number: int


class Recording(TorchDispatchMode):
    """The ATen operations of what is called in this mode, as a CUDA graph keeps them.

    Every number that Python put into them stays. `captured` are tensors that are neither arguments
    nor made inside.
    """

    def __init__(self, arguments: list[Tensor]) -> None:
        super().__init__()
        self.operations: list[OpOverload] = []
        self.captured: list[Tensor] = []
        self._calls: list[tuple[Any, ...]] = []
        self._seen: list[Tensor] = []  # kept, for an id is a tensor's own only while it lives
        self._places: dict[int, Place] = {}
        for tensor in arguments:
            self._add(tensor)

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if function is torch.ops.aten._local_scalar_dense.default:
            raise RuntimeError("a number is read on the host")
        inputs = tree_map_only(Tensor, self._place, (args, kwargs or {}))
        result = function(*args, **(kwargs or {}))
        self.operations.append(function)
        self._calls.append((function, *inputs, tree_map_only(Tensor, self._add, result)))
        return result

    def _add(self, tensor: Tensor) -> Place:
        self._seen.append(tensor)
        self._places[id(tensor)] = Place(len(self._seen) - 1)
        return self._places[id(tensor)]

    def _place(self, tensor: Tensor) -> Place | Tensor:
        place = self._places.get(id(tensor))
        if place is None:
            self.captured.append(tensor)
        return tensor if place is None else place

    def replay(self, arguments: list[Tensor], results: list[Place | Tensor]) -> list[Tensor]:
        """Run the operations with other arguments; return what now stands in `results`."""
        values = {Place(number): tensor for number, tensor in enumerate(arguments)}

        def filled(tree):
            return tree_map_only(Place, values.__getitem__, tree)

        for function, args, kwargs, places in self._calls:
            result = function(*filled(args), **filled(kwargs))
            flat_places, flat_values = tree_leaves(places), tree_leaves(result)
            values |= zip(flat_places, flat_values, strict=True)
        return filled(results)


class Tracer:
    """Records functions as a CUDA graph does, on the CPU.

    `recordings` are what it has recorded, `replays` how often each ran.
    """

    def __init__(self) -> None:
        self.recordings: list[Recording] = []
        self.replays: Counter[int] = Counter()

    def __call__(
        self, function: Callable[[list[Tensor]], list[Tensor]], arguments: list[Tensor]
    ) -> Replay:
        recording = Recording(arguments)
        with recording:
            results = [recording._place(tensor) for tensor in function(arguments)]
        number = len(self.recordings)
        self.recordings.append(recording)

        def replay(tensors: list[Tensor]) -> list[Tensor]:
            self.replays[number] += 1
            with torch.no_grad():
                return recording.replay(tensors, results)

        return replay


def played(engine: Engine, generations: int = 6) -> list:
    """Every score, report and checksum of some generations, jobs in varying order."""
    names, parents = engine.config.population.mutations, engine.config.population.survivors
    grid = [Job(p * len(names) + i, (p,), n) for p in range(parents) for i, n in enumerate(names)]
    state, record = engine.initial_state(), []
    for generation in range(generations):
        jobs = grid[generation % len(grid) :] + grid[: generation % len(grid)]
        children = engine.vary(state, jobs)
        scores = engine.evaluate(state, children)
        chosen = [child for child in children if not child.failure][:parents]
        state, report = engine.advance(state, chosen)
        record.append((scores, report, checksum(state)))
    return record
