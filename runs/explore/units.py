"""Units of a dissected generator, switched off, dampened, boosted or inserted class by class."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from egan.backbones import Rows
from egan.backbones.taps import changed
from runs.common.errors import ConfigError
from runs.common.hints import hint
from runs.dissection.editing import Edit, check_same, inserted, units_of_class
from runs.dissection.repair_commands import FOLDER as REPAIRS
from runs.dissection.results import FOLDER, JSON, Found, Statistics, read_results
from runs.dissection.subject import Subject
from runs.explore.catalogue import Shown
from runs.sampling.repair import check_fit
from runs.sampling.sampler import Sampler
from runs.sampling.units import UnitsFile, read_units

INSERT = "inserted"
OFF = "off"
SCALES = {OFF: 0.0, "half as strong": 0.5, "twice as strong": 2.0}
AMOUNTS = (*SCALES, INSERT)


@dataclass(frozen=True)
class Switch:
    """Units of a layer that belong to a class.

    Attributes:
        name: what is clicked.
        layer: their layer.
        label: the class.
        units: their numbers.
        shares: how far each is changed.
    """

    name: str
    layer: str
    label: str
    units: tuple[int, ...]
    shares: tuple[float, ...]


@dataclass(frozen=True)
class Dissected:
    """A dissection of a generator that is shown, and the switches that it gives."""

    found: Found
    statistics: dict[str, Statistics]
    switches: tuple[Switch, ...]


def dissected(shown: Shown) -> Dissected:
    """Return the dissection in a run's folder.

    Raises:
        ConfigError: there is none, or it is of another generator.
    """
    folder = shown.place / FOLDER
    found, statistics = read_results(folder, shown.place)
    check_same(found, Subject(shown.place, shown.what, shown.sampler))
    switches = [
        _switch(layer, label, units_of_class(found, label, layer)[1])
        for label in found.classes
        for layer, own in found.layers.items()
        if own.detectors.get(label)
    ]
    return Dissected(found, statistics, (*switches, *_causal(found, folder)))


def _switch(layer: str, label: str, units: tuple[int, ...]) -> Switch:
    name = f"{label}: {_counted(len(units), 'detector')} in {layer}"
    return Switch(name, layer, label, units, (1.0,) * len(units))


def _causal(found: Found, folder: Path) -> list[Switch]:
    """Return the units that `edit --optimise` found, as far as the dissection has their layer."""
    files = [read_units(path) for path in sorted(folder.glob("units-*.json"))]
    return [
        Switch(
            f"{file.label}: {_counted(len(file.units), 'cause')} in {file.layer}",
            file.layer,
            file.label,
            tuple(file.units),
            tuple(file.shares),
        )
        for file in files
        if file.label in found.classes and file.layer in found.layers
    ]


def files_of(shown: Shown) -> list[str]:
    """Return the files of units in a run's folder: of `repair`, and of `edit --optimise`."""
    folders = (shown.place / REPAIRS, shown.place / FOLDER)
    found = [path for folder in folders for path in sorted(folder.glob("*.json"))]
    return [str(path) for path in found if path.name != JSON]


def repair_of(shown: Shown, file: str) -> UnitsFile:
    """Return the units that a file has a repair switch off.

    Raises:
        ConfigError: there is no such file, or its units are of another generator.
    """
    if not file:
        raise ConfigError(
            f"no file of units is chosen, and {shown.place} has none; find some: "
            f"{hint('repair', shown.place)}"
        )
    units = read_units(Path(file), "the file")
    check_fit(units, shown.sampler, shown.what, f"the file {file}")
    return units


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def edits(known: Dissected, names: Sequence[str], amount: str) -> list[Edit]:
    """Return the changes that some switches make, one for each layer.

    A unit of several switches is changed once, as far as the first of them says.

    Args:
        known: the dissection.
        names: of the switches.
        amount: one of `AMOUNTS`; insertion sets units to their mean where their class is.

    Raises:
        ConfigError: there is no such switch.
    """
    by_name = {switch.name: switch for switch in known.switches}
    if missing := [name for name in names if name not in by_name]:
        raise ConfigError(f"this generator's dissection has no {missing[0]!r}; choose again")
    made = []
    chosen = [by_name[name] for name in names]
    for layer in dict.fromkeys(switch.layer for switch in chosen):
        shares: dict[int, float] = {}
        constants: dict[int, float] = {}
        for switch in chosen:
            if switch.layer == layer:
                place = known.found.classes.index(switch.label)
                means = inserted(known.statistics[layer], switch.units, place)
                shares = dict(zip(switch.units, switch.shares, strict=True)) | shares
                constants = dict(zip(switch.units, means, strict=True)) | constants
        units = tuple(shares)
        made.append(
            Edit(
                layer,
                known.found.layers[layer].shape,
                units,
                tuple(shares.values()),
                SCALES.get(amount, 0.0),
                tuple(constants[unit] for unit in units) if amount == INSERT else (),
            )
        )
    return made


def changed_images(
    sampler: Sampler, changes: Sequence[Edit], rows: Rows, told: Tensor | None
) -> Tensor:
    """Return images with changes of several layers, float (N, C, H, W) in [-1, 1]."""
    with ExitStack() as hooks:
        for edit in changes:
            hooks.enter_context(
                changed(sampler.function, edit.layer, partial(_applied, edit, sampler))
            )
        return torch.cat(list(sampler.floats(rows, told)))


def _applied(edit: Edit, sampler: Sampler, maps: Tensor) -> Tensor:
    return edit(maps, *sampler.shape[1:])
