"""`execution.precision: auto`: the fastest arithmetic here, measured once, before a run begins.

It decides the run's bits, so the run's config keeps what was chosen, not `auto`.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import replace

import torch

from egan.backbones.dcgan.networks import DCGANConfig
from egan.data import Source
from egan.determinism import bfloat16_unit, prepare_device
from egan.engine import Engine
from egan.mutations import resolve
from populations.individual import Job
from runs.config.schema import RunConfig

GAIN = 1.1  # how many times faster than float32 another arithmetic must be
MEASURED = 3  # steps of a mutation, after one that does not count


def with_precision(config: RunConfig, precision: str) -> RunConfig:
    """Return the config with this `execution.precision`."""
    execution = config.execution.model_copy(update={"precision": precision})
    return config.model_copy(update={"execution": execution})


def decided(config: RunConfig, source: Source, say: Callable[[str], None]) -> RunConfig:
    """Return a new run's config with a precision in the place of `auto`, and tell which."""
    precision, reason = _choice(config, source)
    say(f"execution.precision: auto is {precision}, {reason}")
    return with_precision(config, precision)


def settled(config: RunConfig, kept: RunConfig) -> RunConfig:
    """Return a config that continues a run, with the run's precision in the place of `auto`."""
    if config.execution.precision != "auto":
        return config
    return with_precision(config, kept.execution.precision)


def _choice(config: RunConfig, source: Source) -> tuple[str, str]:
    if config.execution.device != "cpu" and torch.cuda.is_available():
        return "tf32", "for there is a GPU"
    others = ["winograd"] * isinstance(config.backbone, DCGANConfig)
    others += ["bfloat16"] * (bfloat16_unit() is not None)
    if not others:
        return "float32", "for this processor has no bfloat16 unit"
    prepare_device("cpu", config.execution.threads)
    seconds = {name: _step(config, source, name) for name in ("float32", *others)}
    fastest = min(others, key=seconds.__getitem__)
    chosen = fastest if seconds[fastest] * GAIN < seconds["float32"] else "float32"
    return chosen, "for a step takes " + ", ".join(
        f"{1000 * each:.3g} ms in {name}" for name, each in seconds.items()
    )


def _step(config: RunConfig, source: Source, precision: str) -> float:
    """Return the median seconds of a mutation's step in the run's last generation."""
    mutations = {name: resolve(name) for name in config.population.mutations}
    engine = Engine(config, source, mutations, torch.device("cpu"), precision)
    job = Job(0, (0,), config.population.mutations[0])
    state = replace(engine.initial_state(), generation=max(0, config.generations - 1))
    times = []
    for _ in range(1 + MEASURED):
        start = time.perf_counter()
        engine.vary(state, [job])
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:])
