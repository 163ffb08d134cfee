"""Samplers of a state that was exported, and whether it fits what the run's files describe."""

from collections.abc import Iterator, Mapping
from math import prod
from typing import Any

import torch

from egan.backbones import Networks, build_networks
from egan.backbones.function import NetworkFunction
from egan.backbones.progressive.growth import Stage
from egan.config import GameConfig
from egan.context import Pace
from egan.games.noise import NoiseTask
from egan.replica import ExportedState, import_state
from egan.state import Weights
from runs.common.errors import ConfigError
from runs.sampling.sampler import Sampler


def sampler_of(
    config: GameConfig,
    shape: tuple[int, ...],
    exported: ExportedState,
    survivor: int = 0,
    raw: bool = False,
) -> Sampler:
    """Return the sampler of one of a state's parents, on the CPU.

    Args:
        config: the run's.
        shape: of one real sample.
        exported: the state.
        survivor: which parent; 0 is the best.
        raw: whether its own weights are taken, in place of their running average.

    Raises:
        ConfigError: the state's networks are not those that the config describes, or it has not
            so many parents.
    """
    task, stage = _task_of(config, shape, exported)
    if not 0 <= survivor < config.population.survivors:
        raise ConfigError(
            f"survivor {survivor}: the run keeps {config.population.survivors} survivor(s), "
            "counted from 0"
        )
    try:
        parent = import_state(exported, torch.device("cpu")).parents[survivor]
    except (KeyError, IndexError) as error:
        raise ConfigError(f"the snapshot holds no whole state: it lacks {error}") from None
    own = {role: network.weights for role, network in parent.networks.items()}
    weights = own if raw else parent.average
    _check_fit(task, weights)
    return Sampler(task, weights, shape, stage)


def survivors_of(
    config: GameConfig, shape: tuple[int, ...], exported: ExportedState
) -> list[Sampler]:
    """Return a sampler of each parent's own weights, not averaged, on the CPU."""
    task, stage = _task_of(config, shape, exported)
    return [
        Sampler(task, {role: n.weights for role, n in parent.networks.items()}, shape, stage)
        for parent in import_state(exported, torch.device("cpu")).parents
    ]


def _check_fit(task: NoiseTask, weights: Mapping[str, Weights]) -> None:
    for role, function in task.functions.items():
        found = weights.get(role)
        numbers = sum(prod(shape) for _, shape in function.layout)
        buffers = {name: buffer.shape for name, buffer in function.module.named_buffers()}
        if (
            found is None
            or found.params.shape != (numbers,)
            or {name: buffer.shape for name, buffer in found.buffers.items()} != buffers
        ):
            raise ConfigError(
                f"the snapshot's {role} is not the one that config.yaml and data.json describe, of "
                f"{numbers} weights; one of these files is of another run, or was changed"
            )


def check_whole(config: GameConfig, shape: tuple[int, ...], exported: ExportedState) -> None:
    """Refuse a state that a replica cannot go on from.

    Raises:
        ConfigError: it lacks an array or has one too many, or one of another shape or type.
    """
    networks = _networks_of(config, shape)
    functions = {
        f"parents.{index}.{role}": function
        for index in range(config.population.survivors)
        for role, function in NoiseTask(networks).functions.items()
    } | {"discriminator": networks.discriminator}
    expected = dict(
        pair for prefix, function in functions.items() for pair in _arrays_of(prefix, function)
    )
    found = {name: (array.shape, array.dtype.name) for name, array in exported.arrays.items()}
    for name in sorted(expected.keys() | found.keys()):
        if found.get(name) != expected.get(name):
            has, needs = found.get(name, "not there"), expected.get(name, "unknown")
            raise ConfigError(
                f"the snapshot's {name} is not the one that config.yaml and data.json describe "
                f"({has} there, {needs} here); one of these files is of another run, or was changed"
            )
    if exported.steps.keys() != functions.keys() or min(exported.steps.values()) < 0:
        raise ConfigError("the snapshot's steps are not those of its networks")


def _arrays_of(prefix: str, function: NetworkFunction) -> Iterator[tuple[str, tuple[Any, str]]]:
    """Yield the name, shape and type of each array of a network in an exported state."""
    params = ((function.parameters,), "float32")
    buffers = {
        name: (tuple(buffer.shape), str(buffer.dtype).removeprefix("torch."))
        for name, buffer in function.module.named_buffers()
    }
    for start in (prefix, f"{prefix}.average") if prefix != "discriminator" else (prefix,):
        yield f"{start}.params", params
        for name, buffer in buffers.items():
            yield f"{start}.buffers.{name}", buffer
    yield f"{prefix}.first_moment", params
    yield f"{prefix}.second_moment", params


def _networks_of(config: GameConfig, shape: tuple[int, ...]) -> Networks:
    try:
        return build_networks(config.backbone, shape)
    except (ValueError, RuntimeError, OverflowError, TypeError, MemoryError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"config.yaml and data.json do not fit each other: {reason}") from None


def _task_of(
    config: GameConfig, shape: tuple[int, ...], exported: ExportedState
) -> tuple[NoiseTask, Stage | None]:
    """Return what a state's networks are for, and the stage that they have reached."""
    networks = _networks_of(config, shape)
    return NoiseTask(networks), Pace.of(config, networks).stage(exported.generation)
