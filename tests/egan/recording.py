"""Recording on the CPU, and a game to record."""

from collections import Counter
from collections.abc import Callable

import torch
from torch import Tensor
from torch.fx import GraphModule
from torch.fx.experimental.proxy_tensor import make_fx

from egan.cuda_graphs import Replay
from egan.engine import Engine
from egan.state import checksum
from populations.individual import Job


class Tracer:
    """Records functions as a CUDA graph does, on the CPU, by torch's tracer of ATen operations.

    It keeps of a function what such a graph keeps: the operations, and every number that Python put
    into them. `graphs` are what it has recorded, `replays` how often each ran.
    """

    def __init__(self) -> None:
        self.graphs: list[GraphModule] = []
        self.replays: Counter[int] = Counter()

    def __call__(
        self, function: Callable[[list[Tensor]], list[Tensor]], arguments: list[Tensor]
    ) -> Replay:
        graph = make_fx(function)(arguments)
        place = len(self.graphs)
        self.graphs.append(graph)

        def replay(tensors: list[Tensor]) -> list[Tensor]:
            self.replays[place] += 1
            with torch.no_grad():
                return graph(tensors)

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
