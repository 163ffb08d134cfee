"""Images per second and memory by resolution: python benchmarks/resolutions.py [--json FILE].

StyleGAN and ProGAN at the resolutions that they grow through, beside a DCGAN of about as many
parameters, generator and discriminator together. Five programs take turns, round by round, so that
a machine that slows down slows all of them. Speeds are medians, and so are their ratios to the
DCGAN's, taken round by round.

    G            images a second of the generator, without gradients
    D            images a second of the discriminator, forward and backward
    generation   reals shown a second by whole generations: three mutations, evaluation on a batch,
                 one update of the discriminator
    kept         what the graph of a mutation's step keeps for its backward pass, in MiB
    peak         the most that the allocator gave at once while three children were made, in MiB

`again` is the same network with backbone.checkpoint. A CPU's peak is what torch's profiler counts,
a GPU's is torch.cuda.max_memory_allocated.
"""

import argparse
import json
import platform
import statistics
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from generation import device_for, engine_generations, timed
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.profiler import ProfilerActivity, profile

from egan.backbones import Networks, build_networks
from egan.config import GameConfig
from egan.data import open_source
from egan.determinism import send
from egan.engine import Engine
from egan.mutations import resolve
from egan.state import EvolutionState, Weights
from populations.individual import Job

MIB = 2**20
STYLES = {"style": 64, "mapping_layers": 4}
MUTATIONS = ("minimax", "heuristic", "least_squares")
JOBS = [Job(index, (0,), name) for index, name in enumerate(MUTATIONS)]


def game(backbone: dict, side: int, batch: int) -> GameConfig:
    """Return a game with a backbone on digits of a side; every batch is the same."""
    return GameConfig.model_validate(
        {
            "data": {"source": "digits", "resolution": side},
            "backbone": backbone,
            "population": {"survivors": 1, "batch": batch, "mutations": MUTATIONS},
            "fitness": {"batch": batch},
            "discriminator": {"updates": 1},
        }
    )


def parameters(networks: Networks) -> int:
    """Return the parameters of both networks."""
    return networks.generator.parameters + networks.discriminator.parameters


def dcgan_like(wanted: int, side: int, latent: int) -> dict:
    """Return the DCGAN whose number of parameters is nearest."""

    def of(width: int) -> dict:
        return {"name": "dcgan", "width": width, "latent": latent}

    def distance(width: int) -> int:
        networks = build_networks(game(of(width), side, 2).backbone, (1, side, side))
        return abs(parameters(networks) - wanted)

    low, high = 1, 2
    while distance(2 * high) < distance(high):
        low, high = high, 2 * high
    return of(min(range(low, 2 * high + 1), key=distance))


@dataclass(frozen=True)
class Program:
    """One game, ready to be timed."""

    config: GameConfig
    engine: Engine
    state: EvolutionState
    generation: Callable[[], None]

    @classmethod
    def of(cls, config: GameConfig, device: torch.device) -> "Program":
        """Return the program of a config."""
        mutations = {name: resolve(name) for name in MUTATIONS}
        source = open_source(config.data)
        engine = Engine(config, source, mutations, device)
        state = engine.initial_state()
        return cls(config, engine, state, engine_generations(config, source, device, "float32"))

    @property
    def parameters(self) -> int:
        return parameters(self.engine.game.networks)

    def fakes(self, weights: Weights) -> Tensor:
        context, count = self.engine.context(0), self.config.population.batch
        inputs = self.engine.game.inputs(count, torch.Generator().manual_seed(0))
        return context.generate({"generator": weights}, send(inputs, self.engine.device))[0]["x"]

    def forward(self) -> None:
        """Make a batch of images."""
        with torch.no_grad():
            self.fakes(self.state.parents[0].networks["generator"].weights)

    def logits(self, critic: Weights, images: Tensor) -> Tensor:
        return self.engine.context(0).judge("discriminator", critic, {"x": images}, {})[0]["logits"]

    def judge(self, images: Tensor) -> None:
        """Judge a batch of images, and differentiate by the discriminator's weights."""
        weights = self.state.critics["discriminator"].weights
        params = weights.params.detach().requires_grad_()
        logits = self.logits(replace(weights, params=params), images)
        torch.autograd.grad(logits.sum(), params)

    def vary(self) -> None:
        """Make three children of one parent."""
        self.engine.vary(self.state, JOBS)

    def kept(self) -> int:
        """Return the bytes that the graph of a mutation's step keeps, weights left out."""
        parent = self.state.parents[0].networks["generator"].weights
        leaf = replace(parent, params=parent.params.detach().requires_grad_())
        judge = self.state.critics["discriminator"].weights
        sizes: dict[int, int] = {}
        weights = {w.params.untyped_storage().data_ptr() for w in (leaf, judge)}

        def keep(tensor: Tensor) -> Tensor:
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in weights:
                sizes[storage.data_ptr()] = storage.nbytes()
            return tensor

        with saved_tensors_hooks(keep, lambda tensor: tensor):
            fakes = self.fakes(leaf)
            logits = self.logits(judge, fakes)
        assert logits.requires_grad
        return sum(sizes.values())


def peak(task: Callable[[], object], device: torch.device) -> int:
    """Return the most bytes that a task held at once, over what was held before."""
    task()  # what is made once and kept is none of it
    if device.type == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        task()
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() - before
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        task()
    now = most = 0
    for event in profiler.profiler.kineto_results.events():
        if event.name() == "[memory]":
            now += event.nbytes()
            most = max(most, now)
    return most


def programs(arguments: argparse.Namespace, side: int, device: torch.device) -> dict[str, Program]:
    """Return what is timed at a side, by name."""
    sizes = {
        "latent": arguments.latent,
        "fmap_base": arguments.fmap_base,
        "fmap_max": arguments.fmap_max,
    }
    found = {}
    for name, own in (("stylegan", STYLES), ("progan", {})):
        backbone = {"name": name, **sizes, **own}
        found[name] = Program.of(game(backbone, side, arguments.batch), device)
        again = game(backbone | {"checkpoint": True}, side, arguments.batch)
        found[f"{name}, again"] = Program.of(again, device)
    like = dcgan_like(found["stylegan"].parameters, side, arguments.latent)
    return found | {"dcgan": Program.of(game(like, side, arguments.batch), device)}


def measure(arguments: argparse.Namespace, side: int, device: torch.device) -> list[dict]:
    """Return a row for each program at a side."""
    found = programs(arguments, side, device)
    reals = torch.rand(arguments.batch, 1, side, side, device=device) * 2 - 1
    tasks = {
        "G": lambda program: program.forward(),
        "D": lambda program: program.judge(reals),
        "generation": lambda program: program.generation(),
    }
    seconds: dict[tuple[str, str], list[float]] = {}
    for turn in range(arguments.rounds + 1):  # the first is the warm-up
        for task, run in tasks.items():
            for name, program in found.items():
                spent = timed(lambda run=run, program=program: run(program), device)
                if turn:
                    seconds.setdefault((name, task), []).append(spent)
    rows = []
    for name, program in found.items():
        row = {"side": side, "program": name, "parameters": program.parameters}
        for task in tasks:
            own, theirs = seconds[name, task], seconds["dcgan", task]
            row[task] = arguments.batch / statistics.median(own)
            row[f"{task} to dcgan"] = statistics.median(
                b / a for a, b in zip(own, theirs, strict=True)
            )
        row["kept MiB"] = program.kept() / MIB
        row["peak MiB"] = peak(program.vary, device) / MIB
        rows.append(row)
    return rows


HEAD = """\
| px | network | parameters | G, images/s | D | generation | kept, MiB | peak, MiB |
| --- | --- | --- | --- | --- | --- | --- | --- |"""


def line(row: dict) -> str:
    """Return a row as a line of a table in Markdown; speeds with their ratio to the DCGAN's."""
    speeds = " | ".join(
        f"{row[task]:.3g} ({row[f'{task} to dcgan']:.2f})" for task in ("G", "D", "generation")
    )
    return (
        f"| {row['side']} | {row['program']} | {row['parameters']:,} | {speeds} | "
        f"{row['kept MiB']:.1f} | {row['peak MiB']:.1f} |"
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--device",
        default="cpu",
        choices=["cpu", "cuda"],
        help="where to compute [default: %(default)s]",
    )
    parser.add_argument(
        "--threads", type=int, default=torch.get_num_threads(), help="threads of torch"
    )
    parser.add_argument("--sides", help="[default: 8,16,32,64; on cuda 8,...,256]")
    parser.add_argument("--batch", type=int, help="[default: 16; on cuda 32]")
    parser.add_argument(
        "--latent", type=int, default=64, help="numbers of z [default: %(default)s]"
    )
    parser.add_argument(
        "--fmap-base", type=int, default=512, help="channels as in backbone. [default: %(default)s]"
    )
    parser.add_argument(
        "--fmap-max",
        type=int,
        default=128,
        help="the most channels of a layer [default: %(default)s]",
    )
    parser.add_argument(
        "--rounds", type=int, default=3, help="turns that each program takes [default: %(default)s]"
    )
    parser.add_argument("--json", type=Path, help="write the figures to this file, too")
    arguments = parser.parse_args()
    device = device_for(parser, arguments)
    cuda = device.type == "cuda"
    arguments.batch = arguments.batch or (32 if cuda else 16)
    sides = arguments.sides or ("8,16,32,64,128,256" if cuda else "8,16,32,64")
    machine = {
        "device": torch.cuda.get_device_name() if cuda else platform.machine(),
        "threads": arguments.threads,
        "torch": torch.__version__,
        "batch": arguments.batch,
        "rounds": arguments.rounds,
    }
    print(json.dumps(machine))
    print(HEAD)
    rows = []
    for side in map(int, sides.split(",")):
        rows += (new := measure(arguments, side, device))
        print("\n".join(map(line, new)), flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps({"machine": machine, "rows": rows}, indent=2))


if __name__ == "__main__":
    main()
