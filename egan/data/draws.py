"""Seeded draws of real samples: a batch is a function of (seed, generation, purpose) alone.

Within a generation the purposes draw from one shuffled pass over the set, one after the other, so
what the generators train on, what judges them and what the discriminator sees never overlap.
"""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from egan.data.condition import Conditions, marginal_of
from egan.data.gaussians import GaussianMixture
from egan.data.opening import Source
from egan.data.pixels import to_float
from egan.data.source import ImageSource
from egan.streams import Purpose
from populations.seeding import numpy_stream

# Indices of the streams of one (generation, purpose).
_POINTS, _FLIPS = 0, 1


class Draws:
    """Draws from a source, at random access: a resumed run asks for any generation first.

    An epoch is one permutation of the N images. It serves floor(N / S) generations, S being the sum
    of the counts, and drops a remainder that differs from epoch to epoch; inside it nothing is
    drawn twice. Where S exceeds N, each generation is an epoch of its own and its permutation is
    read cyclically: a purpose still repeats no image unless it alone wants more than N.
    """

    def __init__(
        self,
        source: Source,
        seed: int,
        counts: Mapping[Purpose, int],
        conditions: Conditions | None = None,
    ) -> None:
        """Prepare draws of `counts[purpose]` samples each, with their `conditions` if any.

        Raises:
            ValueError: no counts, or one below 1.
        """
        if not counts or min(counts.values()) < 1:
            raise ValueError(f"every purpose must draw at least one sample, not {dict(counts)}")
        self.source = source
        self.seed = seed
        self.counts = {purpose: counts[purpose] for purpose in sorted(counts)}
        self._total = sum(counts.values())
        self._marginal = None if conditions is None else marginal_of(source, conditions)
        self._epoch = -1
        self._permutation: np.ndarray = np.empty(0, np.int64)  # of self._epoch

    def __call__(self, generation: int, purpose: Purpose) -> Tensor:
        """Return float32 images (count, C, H, W) in [-1, 1], or points (count, 2), on the CPU.

        Raises:
            ValueError: a purpose without a count, or a negative generation.
        """
        if isinstance(self.source, GaussianMixture):
            return torch.from_numpy(self._points(self.source, generation, purpose)[0])
        images = self.source.images[self.indices(generation, purpose)]  # a copy
        if self.source.flip:
            stream = numpy_stream(self.seed, generation, purpose, _FLIPS)
            mirrored = stream.random(len(images)) < 0.5
            images[mirrored] = images[mirrored, ..., ::-1]
        return to_float(images)

    def labels(self, generation: int, purpose: Purpose) -> Tensor | None:
        """Return the labels (modes, for a mixture) of the same draw, int64 (count,), or None."""
        if isinstance(self.source, GaussianMixture):
            return torch.from_numpy(self._points(self.source, generation, purpose)[1])
        if self.source.labels is None:
            return None
        return torch.from_numpy(self.source.labels[self.indices(generation, purpose)])

    def conditions(self, generation: int, purpose: Purpose) -> Tensor:
        """Return the conditions of the same draw, float32 (count, size).

        Raises:
            ValueError: the draws have no conditions; or as a call.
        """
        if self._marginal is None:
            raise ValueError("these draws have no conditions: data.condition is not set")
        if isinstance(self.source, GaussianMixture):
            rows = self._points(self.source, generation, purpose)[1]  # a row for each mode
        else:
            rows = self.indices(generation, purpose)
        return torch.from_numpy(self._marginal[rows])

    def marginal(self, count: int, generation: int, purpose: Purpose, *index: int) -> Tensor:
        """Return conditions of `count` rows of the data at random, float32 (count, size).

        `purpose` and `index` tell which fakes of a generation they are for.

        Raises:
            ValueError: the draws have no conditions.
        """
        if self._marginal is None:
            raise ValueError("these draws have no conditions: data.condition is not set")
        stream = numpy_stream(self.seed, generation, Purpose.CONDITION, purpose, *index)
        return torch.from_numpy(self._marginal[stream.integers(len(self._marginal), size=count)])

    def indices(self, generation: int, purpose: Purpose) -> np.ndarray:
        """Return where in the source's images the draw lies, int64 (count,).

        Raises:
            ValueError: the source is endless; a purpose without a count; a negative generation.
        """
        if not isinstance(self.source, ImageSource):
            raise ValueError(f"{self.source.name} is endless: its samples have no indices")
        count = self._count(generation, purpose)
        images = len(self.source)
        epoch, slot = divmod(generation, max(1, images // self._total))
        before = sum(self.counts[other] for other in self.counts if other < purpose)
        positions = slot * self._total + before + np.arange(count)
        return self._permutation_of(epoch, images).take(positions, mode="wrap")

    def _permutation_of(self, epoch: int, images: int) -> np.ndarray:
        if epoch != self._epoch:
            stream = numpy_stream(self.seed, epoch, Purpose.EPOCH)
            self._permutation = stream.permutation(images)
            self._epoch = epoch
        return self._permutation

    def _points(
        self, mixture: GaussianMixture, generation: int, purpose: Purpose
    ) -> tuple[np.ndarray, np.ndarray]:
        count = self._count(generation, purpose)
        return mixture.sample(count, numpy_stream(self.seed, generation, purpose, _POINTS))

    def _count(self, generation: int, purpose: Purpose) -> int:
        if generation < 0:
            raise ValueError(f"generation must not be negative, not {generation}")
        if purpose not in self.counts:
            known = ", ".join(known.name for known in self.counts)
            raise ValueError(f"no count was given for {purpose!r}; these draw: {known}")
        return self.counts[purpose]
