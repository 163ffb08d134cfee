"""Shuffled epochs over a finite set, with random access: a run resumes at any generation."""

from collections.abc import Mapping

import numpy as np

from egan.streams import Purpose
from populations.seeding import numpy_stream


class Shuffled:
    """Which rows a generation draws for each purpose: a function of the seed.

    An epoch is one permutation of the N rows. It serves floor(N / S) generations, S being the sum
    of the counts, and drops a remainder that differs from epoch to epoch; inside it nothing is
    drawn twice. Where S exceeds N, each generation is an epoch of its own and its permutation is
    read cyclically: a purpose still repeats no row unless it alone wants more than N.
    """

    def __init__(self, length: int, seed: int, counts: Mapping[Purpose, int], *index: int) -> None:
        """Shuffle `length` rows; `index` tells sets apart that are shuffled by one seed."""
        self._length = length
        self._seed = seed
        self._counts = {purpose: counts[purpose] for purpose in sorted(counts)}
        self._index = index
        self._total = sum(counts.values())
        self._epoch = -1
        self._permutation: np.ndarray = np.empty(0, np.int64)  # of self._epoch

    def __call__(self, generation: int, purpose: Purpose) -> np.ndarray:
        """Return the rows that a generation draws for a purpose, int64 (count,)."""
        epoch, slot = divmod(generation, max(1, self._length // self._total))
        before = sum(self._counts[other] for other in self._counts if other < purpose)
        positions = slot * self._total + before + np.arange(self._counts[purpose])
        return self._permutation_of(epoch).take(positions, mode="wrap")

    def _permutation_of(self, epoch: int) -> np.ndarray:
        if epoch != self._epoch:
            stream = numpy_stream(self._seed, epoch, Purpose.EPOCH, *self._index)
            self._permutation = stream.permutation(self._length)
            self._epoch = epoch
        return self._permutation
