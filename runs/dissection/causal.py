"""The units of a layer that cause a class: shares by Adam, and the effect of the first ones."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from egan.backbones import Rows
from egan.backbones.taps import changed
from fitness.dissection.intervention import (
    intervened,
    on_grid,
    optimised_shares,
    presence_in,
)
from fitness.features import Progress
from fitness.segmenters import Segmenter
from runs.dissection.results import Statistics
from runs.dissection.subject import Subject, second_half
from runs.sampling.sampler import BATCH

IMAGES = 32  # of a step
MOST_OF = 0.75
RANDOM = 3  # choices of random units that the effect is compared with


@dataclass(frozen=True)
class Causes:
    """What causes a class.

    Attributes:
        order: the units, the most causal first.
        shares: of all units, (U,).
        curve: how many of the first units are changed, from none on, the average causal effect,
            and that of as many random ones.
    """

    order: tuple[int, ...]
    shares: tuple[float, ...]
    curve: tuple[tuple[int, float, float], ...]

    @property
    def enough(self) -> int:
        """The smallest number of units that has `MOST_OF` the largest effect."""
        none, best = self.curve[0][1], max(effect for _, effect, _ in self.curve)
        wanted = none + MOST_OF * (best - none)
        return next(count for count, effect, _ in self.curve if effect >= wanted)


@dataclass(frozen=True)
class Effect:
    """The average causal effect of units on a class: 1811.10597, section 3.2.

    The class is ablated where it is, and inserted at random places; each term reads the
    segmentation at its own place. (In the authors' code the insertion reads it at the ablation's.)

    Attributes:
        subject: the generator.
        layer: of the units.
        shape: of its maps, (U, h, w).
        segmenter: says where the class is.
        place: the number of the class.
        constants: what is inserted, (U,).
    """

    subject: Subject
    layer: str
    shape: tuple[int, ...]
    segmenter: Segmenter
    place: int
    constants: Tensor

    def __call__(self, shares: Tensor, first: int) -> Tensor:
        """Return the effect () of shares (U,), over images from number `first` on.

        They are `IMAGES`, or fewer where so many large ones are not made at a time.
        """
        noise, told = self._rows(first)
        sampler = self.subject.sampler
        with torch.no_grad():
            seen = self.segmenter.masks(sampler.enlarged(sampler.fakes(noise, told)))[:, self.place]
        grid = self._random_places(first, len(seen)).to(seen.device)
        ablated = self._presence(
            shares, noise, told, (on_grid(seen, *self.shape[1:]) > 0).float(), 0
        )
        inserted = self._presence(shares, noise, told, grid, 1)
        there = F.interpolate(grid[:, None], seen.shape[1:])[:, 0] > 0
        return presence_in(inserted, there) - presence_in(ablated, seen)

    def _rows(self, first: int) -> tuple[Rows, Tensor | None]:
        """Return what the images from number `first`, a multiple of `IMAGES`, are made from."""
        whole = first // BATCH * BATCH
        rest = first - whole
        for number, noise, told in self.subject.parts(whole, BATCH):
            if rest < number:
                part = slice(rest, min(rest + IMAGES, number))
                return noise[part], None if told is None else told[part]
            rest -= number
        raise AssertionError("the parts have all numbers")

    def _presence(
        self, shares: Tensor, noise: Rows, told: Tensor | None, place: Tensor, insert: float
    ) -> Tensor:
        """Return the presence of the class, (N, H, W), with the units changed at places."""
        units = torch.arange(self.shape[0], device=place.device)
        constants = insert * self.constants.to(place.device)
        sampler = self.subject.sampler

        def change(maps: Tensor) -> Tensor:
            return intervened(maps, units, shares.to(maps), 0.0, constants.to(maps), place)

        with changed(self.subject.function, self.layer, change):
            images = sampler.enlarged(sampler.fakes(noise, told))
        return self.segmenter.presence(images)[:, self.place]

    def _random_places(self, first: int, count: int) -> Tensor:
        """Return a random square of a quarter of the grid's side for each image, (N, h, w)."""
        _, height, width = self.shape
        side = max(1, height // 4)
        stream = np.random.default_rng((self.subject.seed, first))
        grid = torch.zeros(count, height, width)
        for own in grid:
            top, left = (int(stream.integers(size - side + 1)) for size in (height, width))
            own[top : top + side, left : left + side] = 1
        return grid


def causes_of(
    effect: Effect, statistics: Statistics, steps: int, progress: Progress | None = None
) -> Causes:
    """Return the units that cause a class.

    Args:
        effect: of the units on the class.
        statistics: of the layer.
        steps: of Adam.
        progress: called as `progress(stage, done, total)`.
    """
    iou = torch.from_numpy(np.array(statistics.iou[:, effect.place])).float()
    most = float(iou.max())
    start = iou / most if most else torch.zeros_like(iou)

    def report(done: int, total: int) -> None:
        if progress is not None:
            progress("causal units", done, total)

    shares = optimised_shares(
        lambda step, own: effect(own, step * IMAGES), start, steps, report=report
    )
    order = shares.argsort(descending=True, stable=True)
    return Causes(tuple(order.tolist()), tuple(shares.tolist()), _curve(effect, order, steps))


def _curve(effect: Effect, order: Tensor, steps: int) -> tuple[tuple[int, float, float], ...]:
    """Return the effect of the first 0, 1, 2, 4, ... units on other images, and of random ones."""
    units = len(order)
    first = second_half(steps * IMAGES)
    stream = np.random.default_rng((effect.subject.seed, units))
    others = [torch.from_numpy(stream.permutation(units)) for _ in range(RANDOM)]

    def of(chosen: Tensor) -> float:
        shares = torch.zeros(units)
        shares[chosen] = 1
        with torch.no_grad():
            values = [float(effect(shares, first + n * IMAGES)) for n in range(2)]
        return sum(values) / len(values)

    counts = [0, *(2**n for n in range(units.bit_length()) if 2**n <= units)]
    return tuple(
        (count, of(order[:count]), float(np.mean([of(own[:count]) for own in others])))
        for count in counts
    )
