"""Counts of the pixels where units are active and classes are seen: 1811.10597, section 3.1.

A unit is one channel of a layer; its map is upsampled to the image. Images come a few at a time,
and what is kept does not grow with their number.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

FRACTIONS = np.geomspace(1, 1e-3, 100)
"""Shares of the pixels above each of the thresholds that are tried, for thresholds that rise."""
TOP_FRACTION = 0.005  # of the pixels above the threshold of the simple rule
AT_ONCE = 2**22  # numbers of upsampled maps that are in memory


def upsampled(maps: Tensor, height: int, width: int) -> Iterator[tuple[slice, Tensor]]:
    """Yield a few units at a time, and their maps (N, U, h, w) in an image's size, as (u, N H W).

    They are interpolated bilinearly.
    """
    step = max(1, AT_ONCE // (len(maps) * height * width))
    for start in range(0, maps.shape[1], step):
        units = slice(start, min(start + step, maps.shape[1]))
        large = F.interpolate(
            maps[:, units].float(), (height, width), mode="bilinear", align_corners=False
        )
        yield units, large.transpose(0, 1).flatten(1)


class Values:
    """Values of units at random pixels, from which thresholds are read.

    Attributes:
        kept: (U, `most`), of which the first `count` columns are filled.
    """

    def __init__(self, units: int, most: int) -> None:
        self.kept = torch.empty(units, most)
        self.count = 0

    def add(self, maps: Tensor, places: Tensor, height: int, width: int) -> None:
        """Take the values of maps (N, U, h, w) at `places` (n,) of the N H W pixels."""
        end = self.count + len(places)
        for units, large in upsampled(maps, height, width):
            self.kept[units, self.count : end] = large[:, places.to(large.device)].cpu()
        self.count = end

    def thresholds(self, fractions: np.ndarray) -> Tensor:
        """Return (U, L): each is exceeded by one of the `fractions` (L,) of a unit's values."""
        found = self.kept[:, : self.count].sort(1)[0]
        places = self.count - 1 - np.rint(fractions * self.count).astype(np.int64)
        return found[:, torch.from_numpy(places.clip(0))].contiguous()


@dataclass
class Tally:
    """Counts of pixels; U units, L thresholds, K classes.

    Attributes:
        levels: how many pixels exceed exactly the first l thresholds, int64 (U, L + 1).
        of_classes: the same among the pixels of each class, int64 (U, L + 1, K).
        areas: how many pixels each class has, int64 (K,).
        pixels: how many there are, int64 ().
        sums: of a unit's values over the pixels of each class, float64 (U, K).
    """

    levels: Tensor
    of_classes: Tensor
    areas: Tensor
    pixels: Tensor
    sums: Tensor

    @classmethod
    def empty(cls, units: int, levels: int, classes: int) -> "Tally":
        """Return a tally of no pixels."""
        return cls(
            torch.zeros(units, levels + 1, dtype=torch.int64),
            torch.zeros(units, levels + 1, classes, dtype=torch.int64),
            torch.zeros(classes, dtype=torch.int64),
            torch.zeros((), dtype=torch.int64),
            torch.zeros(units, classes, dtype=torch.float64),
        )

    def add(self, maps: Tensor, masks: Tensor, thresholds: Tensor) -> None:
        """Count the pixels of some images.

        Args:
            maps: of the units, (N, U, h, w).
            masks: what each pixel shows, bool (N, K, H, W); classes may overlap.
            thresholds: of each unit, rising, (U, L).
        """
        classes, height, width = masks.shape[1:]
        flat = masks.transpose(0, 1).flatten(1)  # (K, N H W)
        self.areas += flat.sum(1).cpu()
        self.pixels += flat.shape[1]
        size = thresholds.shape[1] + 1
        for units, large in upsampled(maps, height, width):
            own = thresholds[units].to(large.device)
            level = torch.searchsorted(own, large, out_int32=True)  # thresholds below a value
            level += (
                torch.arange(len(level), device=level.device, dtype=torch.int32)[:, None] * size
            )
            self.levels[units] += _counts(level, size)
            for place in range(classes):
                chosen = flat[place].nonzero()[:, 0]
                if len(chosen):
                    self.of_classes[units, :, place] += _counts(level[:, chosen], size)
            self.sums[units] += (large @ flat.T.to(large)).double().cpu()

    def arrays(self) -> dict[str, np.ndarray]:
        """Return what is counted, by name, for `restored`."""
        return {field.name: getattr(self, field.name).numpy() for field in fields(self)}

    @classmethod
    def restored(cls, arrays: dict[str, np.ndarray]) -> "Tally":
        """Return a tally from what `arrays` gave."""
        return cls(**{field.name: torch.tensor(arrays[field.name]) for field in fields(cls)})

    @property
    def above(self) -> Tensor:
        """How many pixels are above each threshold, (U, L)."""
        return _above(self.levels)

    @property
    def both(self) -> Tensor:
        """How many pixels are above each threshold and of each class, (U, L, K)."""
        return _above(self.of_classes)

    @property
    def shares(self) -> Tensor:
        """The share of the pixels that each class has, float64 (K,)."""
        return self.areas.double() / self.pixels

    @property
    def means(self) -> Tensor:
        """Each unit's mean over the pixels of each class, float64 (U, K); 0 for a class of none."""
        return self.sums / self.areas.clamp(min=1)


def _counts(level: Tensor, size: int) -> Tensor:
    """Return how often each of `size` values is in each row (u, n) of numbers, (u, size).

    The numbers of a row are counted from its own multiple of `size` on.
    """
    return torch.bincount(level.flatten(), minlength=len(level) * size).view(-1, size).cpu()


def _above(levels: Tensor) -> Tensor:
    """Return the sums over the levels (U, L + 1, ...) above each threshold, (U, L, ...)."""
    return levels.flip(1).cumsum(1).flip(1)[:, 1:]
