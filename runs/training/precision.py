"""A new run's `execution.precision`: `auto`, or none named where children are made on a GPU.

`auto` is the fastest arithmetic here, measured once, before a run begins. It decides the run's
bits, so the run's config keeps what was chosen, not `auto`. Times differ from one measurement to
the next, and so may the choice.
"""

import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch

from egan.backbones.dcgan.networks import DCGANConfig
from egan.data import Source
from egan.determinism import bfloat16_unit, prepare_device
from egan.engine import Engine
from egan.mutations import resolve
from egan.replica import building
from populations.individual import Job
from runs.common.errors import ConfigError
from runs.config.schema import RunConfig
from runs.training.placement import named_cluster

GAIN = 1.2  # how many times faster than float32 another arithmetic must be
SECONDS = 1.0  # of the measurement, unless its rounds take longer
LEAST = 3  # rounds that count, unless they take too long
MOST = 60.0  # seconds after which no other round begins

Round = dict[str, float]  # seconds by precision


def with_precision(config: RunConfig, precision: str) -> RunConfig:
    """Return the config with this `execution.precision`."""
    execution = config.execution.model_copy(update={"precision": precision})
    return config.model_copy(update={"execution": execution})


def decided(
    config: RunConfig, source: Source, say: Callable[[str], None]
) -> tuple[RunConfig, dict[str, Any]]:
    """Return a new run's config with a precision in the place of `auto`, and tell which.

    Returns:
        The config; and for the run's journal what was chosen, why, and the seconds by precision.
    """
    precision, reason, seconds = _choice(config, source, say)
    times = ", ".join(f"{1000 * each:.3g} ms in {name}" for name, each in seconds.items())
    measured = f" (a child takes {times})" if times else ""
    say(f"execution.precision: auto is {precision}, for {reason}{measured}")
    elsewhere = named_cluster(config.execution)
    if elsewhere and config.execution.device != "cuda" and config.backbone.name != "mlp":
        say(
            "note: that is of this machine, and the children are made on the cluster at "
            f"{elsewhere}: where its machines are others, name a precision, such as --set "
            "execution.precision=tf32 for GPUs"
        )
    rule = {"key": "execution.precision", "value": precision, "reason": reason}
    return with_precision(config, precision), rule | (
        {"seconds_by_precision": seconds} if seconds else {}
    )


def by_default(
    config: RunConfig, say: Callable[[str], None]
) -> tuple[RunConfig, dict[str, Any] | None]:
    """Return a new run's config with the precision that it has where none is named.

    On a GPU that is tf32, as torch's own convolutions have it: in float32 they are slower than
    those of programs that leave torch as it is. Where the cluster decides on what the children are
    made (`execution.device: auto`, and no GPU here), it stays float32, and so it does for an MLP.

    Returns:
        The config; and what the run's journal keeps of the choice, if one was made.
    """
    named = "precision" in config.execution.model_fields_set
    if named or config.backbone.name == "mlp" or not _made_on_gpu(config):
        return config, None
    reason = "the children are made on a GPU and none was named"
    say(
        f"execution.precision is tf32, for {reason}; for other bits, slower: "
        "--set execution.precision=float32"
    )
    rule = {"key": "execution.precision", "value": "tf32", "reason": reason}
    return with_precision(config, "tf32"), rule


def settled(config: RunConfig, kept: RunConfig) -> RunConfig:
    """Return a config that continues a run, with the run's precision where that was left open."""
    named = "precision" in config.execution.model_fields_set
    on_gpu = not named and kept.execution.precision == "tf32"  # see `by_default`
    if config.execution.precision != "auto" and not on_gpu:
        return config
    return with_precision(config, kept.execution.precision)


def _choice(
    config: RunConfig, source: Source, say: Callable[[str], None]
) -> tuple[str, str, Round]:
    """Return the precision, the reason, and median seconds by precision where it was measured."""
    if _made_on_gpu(config):
        return "tf32", "the device is a GPU", {}
    if config.backbone.name == "mlp":
        return "float32", "an MLP has nothing to gain", {}
    others = ["winograd"] * isinstance(config.backbone, DCGANConfig)
    others += ["bfloat16"] * (bfloat16_unit() is not None)
    if not others:
        return "float32", "this processor has no bfloat16 unit", {}
    names = ("float32", *others)
    say(f"execution.precision: auto: measuring {len(names)} precisions ({', '.join(names)}) ...")
    rounds = _rounds(config, source, names)
    gains = {name: statistics.median(_gain(each, name) for each in rounds) for name in others}
    fastest = max(others, key=gains.__getitem__)
    seconds = {name: statistics.median(each[name] for each in rounds) for name in names}
    seconds = {name: float(f"{x:.4g}") for name, x in seconds.items() if math.isfinite(x)}
    if gains[fastest] > GAIN:
        return fastest, f"it is {gains[fastest]:.3g} times faster than float32", seconds
    return "float32", f"no other is {GAIN} times faster", seconds


def _made_on_gpu(config: RunConfig) -> bool:
    """Tell whether there is a GPU that makes the children, here or on a named cluster."""
    if torch.cuda.is_available():
        return config.execution.device != "cpu"
    return config.execution.device == "cuda" and named_cluster(config.execution) is not None


def _gain(seconds: Round, name: str) -> float:
    """Return how many times faster than float32 a precision was in a round; 0: it failed."""
    return 0.0 if math.isinf(seconds[name]) else seconds["float32"] / seconds[name]


def _rounds(config: RunConfig, source: Source, names: Sequence[str]) -> list[Round]:
    """Return the seconds of a child in each precision, which take turns, round by round.

    It is made, and scored where children are, in the run's last generation. One that fails counts
    as endless. One thread is timed in CPU time, which other processes disturb less.

    Raises:
        ConfigError: the population cannot be made.
    """
    threads = config.execution.threads
    device = prepare_device("cpu", threads)
    mutations = {name: resolve(name) for name in config.population.mutations}
    try:
        with building():
            engines = {name: Engine(config, source, mutations, device, name) for name in names}
            first = engines[names[0]].initial_state()
    except ValueError as error:  # such as a first parent of another backbone
        raise ConfigError(str(error)) from None
    state = replace(first, generation=max(0, config.generations - 1))
    job = Job(0, (0,), config.population.mutations[0])
    scored = config.choosing or config.fitness.every == 1
    clock = time.process_time if threads == 1 else time.perf_counter

    def seconds(engine: Engine) -> float:
        start = clock()
        children = engine.vary(state, [job])
        if scored:
            engine.evaluate(state, children)
        return math.inf if children[0].failure else clock() - start

    rounds: list[Round] = []
    begun, passed = time.perf_counter(), 0.0
    while (len(rounds) <= LEAST and passed < MOST) or passed < SECONDS:
        rounds.append({name: seconds(engine) for name, engine in engines.items()})
        passed = time.perf_counter() - begun
    return rounds[1:] or rounds  # the first one warms up
