"""Samplers of a state that was exported, and whether it fits what the run's files describe."""

from collections.abc import Callable, Iterator, Mapping
from math import prod
from typing import Any

import torch

from egan.backbones.function import NetworkFunction
from egan.config import GameConfig
from egan.games import AnyGame, NoiseGame, build_game
from egan.replica import ExportedState, import_state
from egan.schedule import Schedule
from egan.state import POOL, Weights, weights_of
from runs.common.errors import ConfigError
from runs.sampling.sampler import Sampler
from runs.store.folder import DataCard


def sampler_of(
    config: GameConfig,
    card: DataCard,
    exported: ExportedState,
    survivor: int = 0,
    raw: bool = False,
) -> Sampler:
    """Return the sampler of one of a state's parents, on the CPU.

    Args:
        config: the run's.
        card: of its data.
        exported: the state.
        survivor: which parent; 0 is the best.
        raw: whether its own weights are taken, in place of their running average.

    Raises:
        ConfigError: the run translates images; the state's networks are not those that the config
            describes; or it has not so many parents.
    """
    sampler_with = _sampler_maker(config, card, exported)
    return sampler_with(weights_in(game_of(config, card), config, exported, survivor, raw))


def weights_in(
    game: AnyGame, config: GameConfig, exported: ExportedState, survivor: int, raw: bool
) -> Mapping[str, Weights]:
    """Return the weights of the generators of one of a state's parents; see `sampler_of`.

    Raises:
        ConfigError: they are not those of the game, or the state has not so many parents.
    """
    if not 0 <= survivor < config.population.survivors:
        raise ConfigError(
            f"survivor {survivor}: the run keeps {config.population.survivors} survivor(s), "
            "counted from 0"
        )
    try:
        parent = import_state(exported, torch.device("cpu")).parents[survivor]
    except (KeyError, IndexError) as error:
        raise ConfigError(f"the snapshot holds no whole state: it lacks {error}") from None
    weights = weights_of(parent.networks) if raw else parent.average
    _check_fit(game, weights)
    return weights


def survivors_of(config: GameConfig, card: DataCard, exported: ExportedState) -> list[Sampler]:
    """Return a sampler of each parent's own weights, not averaged, on the CPU."""
    sampler_with = _sampler_maker(config, card, exported)
    return [
        sampler_with(weights_of(parent.networks))
        for parent in import_state(exported, torch.device("cpu")).parents
    ]


def _check_fit(game: AnyGame, weights: Mapping[str, Weights]) -> None:
    for role, function in game.generators.items():
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


def check_whole(config: GameConfig, card: DataCard, exported: ExportedState) -> None:
    """Refuse a state that a replica cannot go on from.

    Raises:
        ConfigError: it lacks an array or has one too many, or one of another shape or type.
    """
    game = game_of(config, card)
    genomes = {
        f"parents.{index}.{role}": function
        for index in range(config.population.survivors)
        for role, function in game.generators.items()
    }
    functions = {**genomes, **game.critics}
    expected = dict(
        pair
        for prefix, function in functions.items()
        for pair in _arrays_of(prefix, function, averaged=prefix in genomes)
    )
    expected |= {POOL + name: (shape, "float32") for name, shape in game.pools.items()}
    found = {name: (array.shape, array.dtype.name) for name, array in exported.arrays.items()}
    for name in sorted(expected.keys() | found.keys()):
        if found.get(name) != expected.get(name):
            has, needs = found.get(name, "not there"), expected.get(name, "unknown")
            raise ConfigError(
                f"the snapshot's {name} is not the one that config.yaml and data.json describe "
                f"({has} there, {needs} here); one of these files is of another run, or was changed"
            )
    if exported.steps.keys() != functions.keys() or min(exported.steps.values()) < 0:
        raise ConfigError("the snapshot's step counts do not match its networks")


def _arrays_of(
    prefix: str, function: NetworkFunction, averaged: bool
) -> Iterator[tuple[str, tuple[Any, str]]]:
    """Yield the name, shape and type of each array of a network in an exported state."""
    params = ((function.parameters,), "float32")
    buffers = {
        name: (tuple(buffer.shape), str(buffer.dtype).removeprefix("torch."))
        for name, buffer in function.module.named_buffers()
    }
    for start in (prefix, f"{prefix}.average") if averaged else (prefix,):
        yield f"{start}.params", params
        for name, buffer in buffers.items():
            yield f"{start}.buffers.{name}", buffer
    yield f"{prefix}.first_moment", params
    yield f"{prefix}.second_moment", params


def game_of(config: GameConfig, card: DataCard) -> AnyGame:
    """Return the game that a config and the card of its data describe.

    Raises:
        ConfigError: they do not fit each other.
    """
    try:
        return build_game(config.backbone, card.shape, card.condition, config.game, card.partner)
    except (ValueError, RuntimeError, OverflowError, TypeError, MemoryError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"config.yaml and data.json do not fit each other: {reason}") from None


def _sampler_maker(
    config: GameConfig, card: DataCard, exported: ExportedState
) -> Callable[[Mapping[str, Weights]], Sampler]:
    """Return what makes samplers of a state's weights: its game, and how far it has come.

    Raises:
        ConfigError: they do not fit the config, or the game makes no samples from noise.
    """
    game = game_of(config, card)
    if not isinstance(game, NoiseGame):
        raise ConfigError(
            "this run translates images, and makes none from noise: translate images with the "
            "command translate, and score the run with the command evaluate"
        )
    schedule = Schedule.of(config, game)
    generation = exported.generation

    def make(weights: Mapping[str, Weights]) -> Sampler:
        return Sampler(
            game,
            weights,
            card.shape,
            schedule.stage(generation),
            conditions=card.conditions,
            shown=schedule.shown(generation) if card.conditions else None,
        )

    return make
