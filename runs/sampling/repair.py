"""A generator with units switched off in every image, whatever makes it."""

import copy
from dataclasses import replace

import torch
from torch import Tensor

from egan.backbones.taps import attach, listed
from egan.tensor_tree import leaves
from fitness.digest import digest
from fitness.suggestion import nearest
from runs.common.errors import ConfigError
from runs.sampling.sampler import Sampler
from runs.sampling.units import UnitsFile, check_units


def weights_of(sampler: Sampler) -> str:
    """Return a hash of a generator's weights."""
    return digest(*leaves(sampler.weights[sampler.role]))


def layers_of(sampler: Sampler) -> dict[str, tuple[int, ...]]:
    """Return a generator's layers with maps, and the maps' shapes (U, h, w), in order of calls."""
    with listed(sampler.function) as found, torch.no_grad():
        _, noise, told = next(iter(sampler.parts(0, 1, 0)))
        sampler.fakes(noise[:2], None if told is None else told[:2])
    channels = sampler.shape[0]
    return {layer: shape for layer, shape in found.items() if shape[0] != channels}


def check_fit(units: UnitsFile, sampler: Sampler, name: str, what: str) -> None:
    """Refuse units of another generator than a sampler's.

    Args:
        units: that are to be changed.
        sampler: of the generator.
        name: what the generator is called.
        what: begins the message, such as the option and the file.

    Raises:
        ConfigError: says what does not fit.
    """
    known = layers_of(sampler)
    if units.layer not in known:
        raise ConfigError(
            f"{what}: the {name} has no layer {units.layer!r} with maps"
            f"{nearest(units.layer, known)}"
        )
    try:
        check_units(units.layer, known[units.layer], units.units, units.shares)
    except ConfigError as error:
        raise ConfigError(f"{what}: {error}") from None
    if units.weights not in (None, weights_of(sampler)):
        of = units.generator or "another generator"
        raise ConfigError(
            f"{what}: the units are of other weights ({of}) than those of the {name}: choose that "
            "generator with --snapshot, --survivor and --raw, or find the units of this one"
        )


def repaired(sampler: Sampler, units: UnitsFile) -> Sampler:
    """Return a sampler whose generator has units switched off in every image, whatever makes it.

    The given sampler stays as it is. `check_fit` says whether the units are this generator's.
    """
    factors = torch.ones(layers_of(sampler)[units.layer][0])
    factors[units.units] = 1 - torch.tensor(units.shares)

    def switch_off(maps: Tensor) -> Tensor:
        return maps * factors.to(maps)[:, None, None]

    game = copy.copy(sampler.game)
    function = copy.deepcopy(sampler.function)
    attach(function, units.layer, switch_off)
    game.generators = {**game.generators, sampler.role: function}
    return replace(sampler, game=game, repair=units)
