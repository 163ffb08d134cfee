"""Seeded draws of pairs of images, or of two sets, that treat both of a pair alike."""

from collections.abc import Mapping

import numpy as np
from torch import Tensor

from egan.data.pairs import PairSource
from egan.data.pixels import to_float
from egan.data.shuffled import Shuffled
from egan.streams import Purpose
from populations.seeding import numpy_stream

_FLIPS, _PLACES = 1, 2  # indices of the streams of one (generation, purpose)


class PairDraws:
    """Draws of pairs, or of both sets: functions of (seed, generation, purpose) alone.

    What children are judged on is drawn from the rows that are held out, where there are any; so
    no generator and no critic was trained on them.
    """

    def __init__(self, source: PairSource, seed: int, counts: Mapping[Purpose, int]) -> None:
        """Prepare draws of `counts[purpose]` rows each."""
        self.source = source
        self.seed = seed
        self.counts = dict(counts)
        self._sides = [
            _Side(images, seed, counts, source.held_out, 0 if source.aligned else side)
            for side, images in enumerate((source.a, source.b))
        ]

    def __call__(self, generation: int, purpose: Purpose) -> tuple[Tensor, Tensor]:
        """Return float32 images of A (count, C, H, W) and of B (count, C', H, W) in [-1, 1].

        Raises:
            ValueError: a purpose without a count, or a negative generation.
        """
        if generation < 0 or purpose not in self.counts:
            raise ValueError(f"no draw of {purpose!r} in generation {generation}")
        a, b = (self._drawn(side, generation, purpose) for side in self._sides)
        return a, b

    def _drawn(self, side: "_Side", generation: int, purpose: Purpose) -> Tensor:
        images = side.images[side.rows(generation, purpose)]  # a copy
        stream = (self.seed, generation, purpose)
        height, width = self.source.size
        room = images.shape[2] - height + 1, images.shape[3] - width + 1
        if max(room) > 1:
            places = numpy_stream(*stream, _PLACES, side.index).integers(
                room, size=(len(images), 2)
            )
            images = np.stack(
                [
                    image[:, top : top + height, left : left + width]
                    for image, (top, left) in zip(images, places, strict=True)
                ]
            )
        if self.source.flip:
            mirrored = numpy_stream(*stream, _FLIPS, side.index).random(len(images)) < 0.5
            images[mirrored] = images[mirrored, ..., ::-1]
        return to_float(images)


class _Side:
    """A or B: its images, and which rows are drawn; `index` tells unaligned sides apart."""

    def __init__(
        self,
        images: np.ndarray,
        seed: int,
        counts: Mapping[Purpose, int],
        held_out: int,
        index: int,
    ) -> None:
        self.images = images
        self.index = index
        every = np.arange(len(images))
        judged = every % held_out == held_out - 1 if held_out else every < 0
        split = bool(judged.any())
        self._drawn: dict[Purpose, tuple[np.ndarray, Shuffled]] = {}
        for rows, wanted in ((every[judged], True), (every[~judged], False)):
            own = {
                purpose: count
                for purpose, count in counts.items()
                if (split and purpose is Purpose.EVALUATION_DATA) == wanted
            }
            if own:
                shuffled = Shuffled(len(rows), seed, own, index)
                self._drawn |= dict.fromkeys(own, (rows, shuffled))

    def rows(self, generation: int, purpose: Purpose) -> np.ndarray:
        """Return the rows that a generation draws for a purpose."""
        rows, shuffled = self._drawn[purpose]
        chosen: np.ndarray = rows[shuffled(generation, purpose)]
        return chosen
