"""Seconds per generation: python benchmarks/generation.py [--device cuda] [--json FILE].

Programs take turns of a generation, or of several short ones, so that a machine that slows down
slows all of them; one thread's seconds are those of the CPU. Each has a process of its own, for
ours also sets the C library's allocator:

    sequential   a faithful sequential E-GAN loop (benchmarks/sequential.py), float32
    default      the same on CUDA as torch runs it by default: convolutions in TF32
    plain        a DCGAN step with the same number of discriminator updates: no evolution
    single       ours under one mutation: nothing to choose, so children are not scored
    reuse        the same with population.reuse_fakes, where one parent survives
    engine       ours, same networks and float32
    graphs       ours with execution.compile=graphs, on CUDA; so are those that follow there
    winograd     ours with execution.precision=winograd: the same in float32, fewer multiplications
    tf32         ours with execution.precision=tf32, on CUDA
    bfloat16     ours with execution.precision=bfloat16, where the device multiplies that faster

Medians over the rounds; ratios are taken round by round and quoted as median and quartiles. FLOPs
are counted by torch in one whole generation of each, and held against the rate of a large matrix
product here; `limit` is how much faster than `sequential` a program would be at that rate. No Ray
is needed.
"""

import argparse
import itertools
import json
import math
import multiprocessing
import platform
import statistics
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import torch
from sequential import PlainGAN, SequentialEGAN
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from egan.backbones import build_networks
from egan.config import GameConfig
from egan.cuda_graphs import Recorder, recorder
from egan.data import Source, open_source
from egan.data.draws import Draws
from egan.determinism import prepare_device
from egan.engine import Engine
from egan.mutations import resolve
from egan.replica import EngineReplica
from egan.streams import Purpose
from populations.individual import Job

SETTINGS = {
    "cifar": "E-GAN's CIFAR networks, width 128, one channel of 32 x 32",
    "fashion": "DCGAN of width 64, one channel of 32 x 32",
    "gaussians25": "MLP of 3 x 128 on the grid of 25 Gaussians",
}
SINGLE = ("single", "reuse")
RECORDED = ("graphs", "winograd", "tf32", "bfloat16")
RATES = {"default": "tf32"}  # what a program's FLOPs are held against, if not its own name
TURN = 0.25  # seconds of a turn, at least
RECORDING = 6  # generations after which every step is a proved recording
PUBLISHED = {"sequential": SequentialEGAN, "default": SequentialEGAN, "plain": PlainGAN}


def game(setting: str, survivors: int, evaluation: int) -> GameConfig:
    """Return the benchmark's configuration: batch 32, n_D 3."""
    backbone = {
        "cifar": {
            "name": "dcgan", "width": 128, "generator_norm": "none", "bias": True,
            "prior": "uniform",
        },
        "fashion": {"name": "dcgan", "width": 64},
        "gaussians25": {"name": "mlp", "width": 128, "depth": 3},
    }[setting]  # fmt: skip
    data = {"source": "gaussians", "modes": "grid25"}
    if setting != "gaussians25":
        data = {"source": "digits", "resolution": 32}
    return GameConfig.model_validate(
        {
            "data": data,
            "backbone": backbone,
            "population": {"survivors": survivors, "batch": 32},
            "fitness": {"batch": evaluation},
            "discriminator": {"updates": 3},
        }
    )


def reals(source: Source, device: torch.device) -> Iterator[Tensor]:
    """Yield batches of 256 reals, as the engine draws them."""
    draws = Draws(source, 0, {Purpose.EVALUATION_DATA: 256})
    for generation in itertools.count():
        yield draws(generation, Purpose.EVALUATION_DATA).to(device)


def engine_generations(
    config: GameConfig,
    source: Source,
    device: torch.device,
    precision: str,
    record: Recorder | None = None,
    single: bool = False,
    reuse: bool = False,
) -> Callable[[], None]:
    """Return a function that makes one whole generation of the engine.

    `single`: under one mutation, so there is nothing to choose and children are not scored.
    """
    if single:
        keys = {"mutations": ("heuristic",), "reuse_fakes": reuse}
        population = config.population.model_copy(update=keys)
        config = config.model_copy(update={"population": population})
    mutations = {name: resolve(name) for name in config.population.mutations}
    replica = EngineReplica(Engine(config, source, mutations, device, precision, record))
    survivors, names = config.population.survivors, config.population.mutations
    grid = [
        Job(parent * len(names) + place, (parent,), name)
        for parent in range(survivors)
        for place, name in enumerate(names)
    ]
    state = {"generation": 0, "survivors": None}

    def generation() -> None:
        outcome = replica.step(state["generation"], state["survivors"], grid, scored=not single)
        ranked = grid
        if not single:
            ranked = sorted(grid, key=lambda job: -outcome.scores[job.index].values[0])
        state["survivors"] = tuple(ranked[:survivors])
        state["generation"] += 1

    return generation


def serve(name: str, config: GameConfig, device_name: str, threads: int, turns: Connection) -> None:
    """Take a turn with program `name` for every message; answer with the seconds of a generation.

    The first answer is the GFLOP of a generation.
    """
    source = open_source(config.data)
    if name in PUBLISHED:
        torch.set_num_threads(threads)
        torch.backends.cudnn.allow_tf32 = name == "default"
        device = torch.device(device_name)
        networks = build_networks(config.backbone, source.shape)
        generation = PUBLISHED[name](networks, config, reals(source, device), device).generation
    else:
        precision = "float32" if name in ("engine", "graphs", *SINGLE) else name
        device = prepare_device(device_name, threads, precision)
        single, reuse = name in SINGLE, name == "reuse"
        generation = engine_generations(config, source, device, precision, None, single, reuse)
    generation()  # the first generation of ours has no discriminator's turn
    work = flops(generation)  # also the warm-up
    if name in RECORDED and device.type == "cuda":
        generation = engine_generations(config, source, device, precision, recorder(device))
        for _ in range(RECORDING):
            generation()
    turns.send(work)
    count = 0

    def turn() -> None:
        for _ in range(count):
            generation()

    while turns.recv():
        count = count or math.ceil(TURN / timed(generation, device))  # now nobody else is at work
        turns.send(timed(turn, device) / count)


def matmul_rate(device: torch.device, dtype: torch.dtype) -> float:
    """Return GFLOP/s of a square matrix product here: what FLOPs are held against."""
    size = 2048 if device.type == "cpu" else 8192
    a = torch.randn(size, size, device=device).to(dtype)
    few = a[: size // 32]  # first, for a CPU may only emulate bfloat16
    timed(lambda: few @ a, device)  # loads the library
    seconds = timed(lambda: few @ a, device) * 32
    if seconds < 1:
        seconds = min(timed(lambda: a @ a, device) for _ in range(7))
    return 2 * size**3 / 1e9 / seconds


def timed(task: Callable[[], object], device: torch.device) -> float:
    """Return the seconds of a task and its work on the device, not of what was due before.

    One thread's are CPU seconds, so that other work on the machine counts little.
    """
    alone = device.type == "cpu" and torch.get_num_threads() == 1
    now = time.process_time if alone else time.perf_counter
    if device.type == "cuda":
        torch.cuda.synchronize()
    start = now()
    task()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return now() - start


def flops(task: Callable[[], object]) -> float:
    """Return the GFLOP of a task, as torch counts them."""
    with FlopCounterMode(display=False) as counter:
        task()
    return counter.get_total_flops() / 1e9


def take_turns(
    names: Sequence[str], config: GameConfig, device: torch.device, threads: int, rounds: int
) -> tuple[dict[str, float], dict[str, list[float]]]:
    """Return each program's GFLOP in a generation, and its seconds in each round."""
    context = multiprocessing.get_context("spawn")
    ends, processes = {}, []
    try:
        for name in names:
            ends[name], other = context.Pipe()
            task = (name, config, device.type, threads, other)
            processes.append(context.Process(target=serve, args=task, daemon=True))
            processes[-1].start()
            other.close()  # so that a program that fails ends the wait for its answer
        work = {name: end.recv() for name, end in ends.items()}
        seconds: dict[str, list[float]] = {name: [] for name in names}
        for _ in range(rounds):
            for name, end in ends.items():
                end.send(True)
                seconds[name].append(end.recv())
    finally:
        for process in processes:
            process.kill()
    return work, seconds


def programs(
    setting: str, survivors: int, device: torch.device, rates: dict[str, float]
) -> list[str]:
    """Return what is worth measuring here."""
    cuda, images = device.type == "cuda", setting != "gaussians25"
    names = ["sequential", "plain", "single"]
    names += ["reuse"] if survivors == 1 else []
    names += ["engine"]
    names += ["graphs"] if cuda else []
    names += ["winograd"] if images else []
    names += ["default", "tf32"] if cuda and images else []
    if rates["bfloat16"] > rates["float32"]:
        names.append("bfloat16")
    return names


def measure(
    setting: str,
    survivors: int,
    evaluation: int,
    rounds: int,
    device: torch.device,
    threads: int,
    rates: dict[str, float],
) -> dict:
    """Return the timings of the programs on one setting; `rates` are matrix products' GFLOP/s."""
    config = game(setting, survivors, evaluation)
    names = programs(setting, survivors, device, rates)
    work, seconds = take_turns(names, config, device, threads, rounds)
    rows = {}
    for name, times in seconds.items():
        median = statistics.median(times)
        at_best = work[name] / rates.get(RATES.get(name, name), rates["float32"])
        ratios = np.array(seconds["sequential"]) / np.array(times)
        to_plain = np.array(times) / np.array(seconds["plain"])
        rows[name] = {
            "seconds": median,
            "fastest": min(times),
            "gflop": work[name],
            "share_of_matmul_rate": at_best / median,
            "limit": statistics.median(seconds["sequential"]) / at_best if at_best else None,
            "times_faster_than_sequential": np.quantile(ratios, [0.25, 0.5, 0.75]).tolist(),
            "cost_in_plain_steps": np.quantile(to_plain, [0.25, 0.5, 0.75]).tolist(),
        }
    points = setting == "gaussians25"
    return {
        "setting": setting,
        "what": SETTINGS[setting],
        "survivors": survivors,
        "evaluation_batch": evaluation,
        "flops_counted": not points or bool(work["engine"]),
        "rounds": rounds,
        "programs": rows,
    }


def table(result: dict) -> str:
    """Return a result as a table in Markdown."""
    lines = [
        f"\n{result['what']}; mu {result['survivors']}, evaluation {result['evaluation_batch']}, "
        f"medians of {result['rounds']}\n",
        "| program | seconds | GFLOP | of matmul rate | faster than sequential | limit "
        "| cost in plain steps |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, row in result["programs"].items():
        low, median, high = row["times_faster_than_sequential"]
        plow, pmedian, phigh = row["cost_in_plain_steps"]
        lines.append(
            f"| {name} | {row['seconds']:.4g} | {row['gflop']:.3g} | "
            f"{row['share_of_matmul_rate']:.0%} | {median:.2f} ({low:.2f} to {high:.2f}) | "
            f"{row['limit'] or math.inf:.2f} | "
            f"{pmedian:.2f} ({plow:.2f} to {phigh:.2f}) |"
        )
    return "\n".join(lines)


def settings_among(
    known: Collection[str], parser: argparse.ArgumentParser, arguments: argparse.Namespace
) -> list[str]:
    """Return the settings asked for; end the program where one is unknown."""
    settings: list[str] = arguments.settings.split(",")
    if unknown := set(settings) - set(known):
        parser.error(f"--settings: no {', '.join(unknown)}; known: {', '.join(known)}")
    return settings


def device_for(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> torch.device:
    """Return the device asked for, ready for arithmetic; end the program where there is none."""
    if arguments.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda: torch sees no GPU here (its build may be for CPUs alone)")
    return prepare_device(arguments.device, arguments.threads)


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
    parser.add_argument(
        "--settings",
        default=",".join(SETTINGS),
        help="names of SETTINGS, by commas [default: %(default)s]",
    )
    parser.add_argument(
        "--survivors", default="1,4", help="values of mu, by commas [default: %(default)s]"
    )
    parser.add_argument(
        "--evaluation",
        default="256,64",
        help="evaluation batches, by commas [default: %(default)s]",
    )
    parser.add_argument(
        "--rounds", type=int, default=7, help="turns that each program takes [default: %(default)s]"
    )
    parser.add_argument("--json", type=Path, help="write the figures to this file, too")
    arguments = parser.parse_args()
    settings = settings_among(SETTINGS, parser, arguments)
    device = device_for(parser, arguments)
    rates = {
        str(dtype).removeprefix("torch."): matmul_rate(device, dtype)
        for dtype in (torch.float32, torch.bfloat16)
    }
    if device.type == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = True
        rates["tf32"] = matmul_rate(device, torch.float32)
    machine = {
        "device": torch.cuda.get_device_name() if device.type == "cuda" else platform.machine(),
        "threads": arguments.threads,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "matmul_gflop_per_second": rates,
    }
    print(json.dumps(machine, indent=2))
    results = []
    for setting in settings:
        for survivors in map(int, arguments.survivors.split(",")):
            for evaluation in map(int, arguments.evaluation.split(",")):
                result = measure(
                    setting, survivors, evaluation, arguments.rounds, device, arguments.threads,
                    rates,
                )  # fmt: skip
                results.append(result)
                print(table(result), flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps({"machine": machine, "results": results}, indent=2))


if __name__ == "__main__":
    main()
