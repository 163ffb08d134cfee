"""Seeded draws of real samples: a batch is a function of (seed, generation, purpose) alone.

Within a generation the purposes draw from one shuffled pass over the set, one after the other, so
what the generators train on, what judges them and what the discriminator sees never overlap.
"""

from collections.abc import Mapping
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from egan.data.condition import Conditions, marginal_of
from egan.data.gaussians import GaussianMixture
from egan.data.mapped import rows_of
from egan.data.opening import SampleSource, Source
from egan.data.pair_draws import PairDraws
from egan.data.pairs import PairSource
from egan.data.pixels import to_float
from egan.data.shuffled import Shuffled
from egan.data.source import ImageSource
from egan.streams import Purpose
from populations.seeding import numpy_stream

# Indices of the streams of one (generation, purpose).
_POINTS, _FLIPS = 0, 1


AnyDraws: TypeAlias = "Draws | PairDraws"


def draws_of(
    source: Source,
    seed: int,
    counts: Mapping[Purpose, int],
    conditions: Conditions | None = None,
) -> AnyDraws:
    """Return the draws of `counts[purpose]` rows each from a source of any kind."""
    if isinstance(source, PairSource):
        return PairDraws(source, seed, counts)
    return Draws(source, seed, counts, conditions)


class Draws:
    """Draws from a source, at random access; of a finite one as `Shuffled` says."""

    def __init__(
        self,
        source: SampleSource,
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
        self._marginal = None if conditions is None else marginal_of(source, conditions)
        self._shuffled: Shuffled | None = None
        if isinstance(source, ImageSource):
            self._shuffled = Shuffled(len(source), seed, counts)

    def __call__(self, generation: int, purpose: Purpose) -> Tensor:
        """Return float32 images (count, C, H, W) in [-1, 1], or points (count, 2), on the CPU.

        Raises:
            ValueError: a purpose without a count, or a negative generation.
        """
        if isinstance(self.source, GaussianMixture):
            return torch.from_numpy(self._points(self.source, generation, purpose)[0])
        images = rows_of(self.source.images, self.indices(generation, purpose))  # a copy
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
        if self._shuffled is None:
            raise ValueError(f"{self.source.name} is endless: its samples have no indices")
        self._count(generation, purpose)
        return self._shuffled(generation, purpose)

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
