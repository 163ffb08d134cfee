"""Ways to call a network: python benchmarks/alternatives.py [--json FILE].

A discriminator's output and gradient, batch 64, its network called by torch.func's functional_call,
as `egan.backbones.function` does, and through torch.compile. They take turns in one process.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch._functorch.config
from generation import game
from torch import Tensor
from torch.func import functional_call
from torch.nn.functional import softplus

from egan.backbones import build_networks
from egan.data import open_source
from egan.state import Weights


def taking_turns(programs: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Return the median seconds of each program, after one run that does not count."""
    for program in programs.values():
        program()
    seconds: dict[str, list[float]] = {name: [] for name in programs}
    for _ in range(rounds):
        for name, program in programs.items():
            start = time.perf_counter()
            program()
            seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(times) for name, times in seconds.items()}


def calls(setting: str, rounds: int) -> dict:
    """Return the milliseconds of one output and gradient, by how the network is called."""
    torch._functorch.config.donated_buffer = False  # siblings differentiate one graph
    config = game(setting, 1, 64)
    source = open_source(config.data)
    function = build_networks(config.backbone, source.shape).discriminator
    weights = function.initialise(torch.Generator().manual_seed(0))
    samples = torch.randn(64, *source.shape, generator=torch.Generator().manual_seed(1))

    def by_name(params: Tensor) -> Tensor:
        buffers = {name: buffer.clone() for name, buffer in weights.buffers.items()}
        tensors = function.named(params) | buffers
        return functional_call(function.module, tensors, (samples,), tie_weights=False)

    def gradient(call: Callable[[Tensor], Tensor]) -> None:
        params = weights.params.detach().requires_grad_()
        torch.autograd.grad(softplus(call(params)).mean(), params, retain_graph=True)

    compiled = torch.compile(by_name, dynamic=False)
    start = time.perf_counter()
    gradient(compiled)
    compiling = time.perf_counter() - start
    ours = lambda params: function(Weights(params, weights.buffers), samples)[0]  # noqa: E731
    seconds = taking_turns(
        {
            "functional_call": lambda: gradient(by_name),
            "ours": lambda: gradient(ours),
            "torch.compile": lambda: gradient(compiled),
        },
        rounds,
    )
    milliseconds = {name: 1000 * value for name, value in seconds.items()}
    return {"setting": setting, "milliseconds": milliseconds, "compiling_seconds": compiling}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--threads", type=int, default=torch.get_num_threads(), help="threads of torch"
    )
    parser.add_argument(
        "--rounds",
        type=int,
        default=15,
        help="turns that each program takes [default: %(default)s]",
    )
    parser.add_argument("--json", type=Path, help="write the figures to this file, too")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print("| network | functional_call | ours | torch.compile | compiling |")
    print("| --- | --- | --- | --- | --- |")
    called = []
    for setting in ("gaussians25", "fashion"):
        row = calls(setting, arguments.rounds * (20 if setting == "gaussians25" else 1))
        called.append(row)
        cells = " | ".join(f"{value:.2f} ms" for value in row["milliseconds"].values())
        print(f"| {setting} | {cells} | {row['compiling_seconds']:.0f} s |", flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(called, indent=2))


if __name__ == "__main__":
    main()
