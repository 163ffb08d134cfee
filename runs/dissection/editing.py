"""Edits: units of a layer switched off, dampened, boosted, or set to a constant at a place."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from egan.backbones.taps import changed
from egan.data.pixels import to_uint8
from fitness.dissection.intervention import intervened, on_grid
from fitness.suggestion import nearest
from runs.common.errors import ConfigError
from runs.dissection.results import Found, Statistics
from runs.dissection.subject import ALL, Subject
from runs.sampling.pictures import check_picture, save_images
from runs.sampling.translation_grid import visible
from runs.sampling.units import check_units

Where = tuple[int, int, int, int]  # left, top, right, bottom, in pixels


@dataclass(frozen=True)
class Edit:
    """What is changed: x <- (1 - a) x + a (scale x + constant), in the region.

    Attributes:
        layer: its name.
        shape: of its maps, (U, h, w).
        units: their numbers.
        shares: a, of each.
        scale: of their values.
        constants: added to each, for insertion.
        where: the region; None: everywhere.
    """

    layer: str
    shape: tuple[int, ...]
    units: tuple[int, ...]
    shares: tuple[float, ...]
    scale: float = 0.0
    constants: tuple[float, ...] = ()
    where: Where | None = None

    def __post_init__(self) -> None:
        check_units(self.layer, self.shape, self.units, self.shares)

    def __call__(self, maps: Tensor, height: int, width: int) -> Tensor:
        """Return the changed maps (N, U, h, w) of images of `height` and `width`."""
        device, k = maps.device, len(self.units)
        constants = self.constants or (0.0,) * k
        return intervened(
            maps,
            torch.tensor(self.units, device=device),
            torch.tensor(self.shares, device=device),
            self.scale,
            torch.tensor(constants, device=device),
            self._place(height, width, maps).to(maps),
        )

    def _place(self, height: int, width: int, maps: Tensor) -> Tensor:
        region = torch.zeros(1, height, width)
        left, top, right, bottom = self.where or (0, 0, width, height)
        region[:, top:bottom, left:right] = 1
        return on_grid(region, maps.shape[2], maps.shape[3])


def edited(subject: Subject, edit: Edit, noise: object, told: Tensor | None) -> Tensor:
    """Return a part's images with an edit, float (N, C, H, W) in the reals' size."""
    sampler = subject.sampler
    height, width = sampler.shape[1:]
    with changed(subject.function, edit.layer, lambda maps: edit(maps, height, width)):
        return sampler.enlarged(sampler.fakes(noise, told))  # type: ignore[arg-type]


def before_and_after(subject: Subject, edit: Edit, count: int) -> tuple[Tensor, Tensor]:
    """Return the first `count` images, float (N, C, H, W), without an edit and with it."""
    plain, changed_ = [], []
    for number, noise, told in subject.parts(0, count):
        with torch.no_grad():
            plain.append(subject.sampler.enlarged(subject.sampler.fakes(noise, told))[:number])
            changed_.append(edited(subject, edit, noise, told)[:number])
    return torch.cat(plain), torch.cat(changed_)


def check_edit_picture(count: int, shape: tuple[int, ...]) -> None:
    """Refuse too many images for a picture.

    Raises:
        ConfigError: says how large it would be.
    """
    check_picture(3 * count, shape)


def write_edit(path: Path, before: Tensor, after: Tensor) -> float:
    """Write images before, after, and how much each pixel changes; return the largest change.

    White in the third row is the largest change of all, in units of 1/255.
    """
    grey, most = difference(before, after)
    rows = [visible(to_uint8(images).cpu().numpy()) for images in (before, after)]
    rows.append(grey)
    save_images(np.concatenate(rows), path, len(before), ("before", "after", "difference"))
    return most


def difference(before: Tensor, after: Tensor) -> tuple[np.ndarray, float]:
    """Return how much each pixel changes, uint8 (N, H, W, 3), and the largest change.

    White is the largest change of all, in units of 1/255.
    """
    change = (after.clamp(-1, 1) - before.clamp(-1, 1)).abs().mean(1) * 127.5
    most = float(change.max())
    grey = (change * (255 / most if most else 0)).round().to(torch.uint8).cpu().numpy()
    return grey[:, :, :, None].repeat(3, 3), most


# --------------------------------------------------------------------------------- which units


def units_of_class(found: Found, label: str, layer: str | None) -> tuple[str, tuple[int, ...]]:
    """Return the layer and the units that detect a class, the best first.

    Args:
        found: the dissection.
        label: the class.
        layer: its name; None: the one with most detectors of the class.

    Raises:
        ConfigError: there is no such class or layer, or no unit detects the class.
    """
    check_class(found, label)
    name = layer or max(found.layers, key=lambda own: found.layers[own].detectors.get(label, 0))
    check_dissected(found, name)
    own = [unit for unit in found.layers[name].units if unit.label == label]
    own.sort(key=lambda unit: -unit.iou)
    detectors = tuple(unit.unit for unit in own if unit.detector)
    if not detectors:
        best = f"; unit {own[0].unit} is the nearest, with IoU {own[0].iou:.3f}" if own else ""
        raise ConfigError(f"no unit of {name} detects {label}{best}: name units with --off")
    return name, detectors


def check_class(found: Found, label: str) -> None:
    """Refuse a class that a dissection does not know.

    Raises:
        ConfigError: names the nearest one.
    """
    if label not in found.classes:
        raise ConfigError(
            f"no class {label!r}{nearest(label, found.classes)} The dissection has: "
            f"{', '.join(found.classes)}"
        )


def check_dissected(found: Found, layer: str) -> None:
    """Refuse a layer that was not dissected.

    Raises:
        ConfigError: names those that were.
    """
    if layer not in found.layers:
        raise ConfigError(
            f"--layer: {layer!r} was not dissected{nearest(layer, found.layers)} These were: "
            f"{', '.join(found.layers)}"
        )


def check_same(found: Found, subject: Subject) -> None:
    """Refuse a dissection of another generator.

    Raises:
        ConfigError: says which one it was.
    """
    if found.weights != subject.weights:
        raise ConfigError(
            f"the dissection is of the {found.generator}, and this is the {subject.name}: choose "
            "that one with --snapshot, or dissect this one"
        )


def one_layer(subject: Subject, layer: str | None) -> tuple[str, tuple[int, ...]]:
    """Return a layer's name and the shape of its maps; without a name, of the only one.

    Raises:
        ConfigError: there is no such layer, or there are several and none is named.
    """
    known = subject.chosen(layer or ALL)
    if len(known) > 1:
        raise ConfigError(f"several layers have units: name one with --layer: {', '.join(known)}")
    return next(iter(known.items()))


def inserted(statistics: Statistics, units: tuple[int, ...], place: int) -> tuple[float, ...]:
    """Return the units' means over the pixels of a class, or of the class of largest mean (-1)."""
    means = statistics.means[list(units)]
    return tuple((means.max(1) if place < 0 else means[:, place]).tolist())
