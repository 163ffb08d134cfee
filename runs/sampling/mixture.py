"""A mixture of generators: each sample is made by one of them, drawn with its weight."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from egan.streams import Purpose, torch_stream
from runs.sampling.sampler import BATCH, Sampler


@dataclass(frozen=True)
class Mixture(Sampler):
    """Several samplers as one; it is the first, but for the samples that others make.

    All of them make every sample, and one is kept, so that a sample depends on the seed and its
    number alone.

    Attributes:
        members: the samplers, at least one.
        shares: their weights, which sum to 1.
    """

    members: tuple[Sampler, ...] = ()
    shares: tuple[float, ...] = ()

    @classmethod
    def of(cls, members: tuple[Sampler, ...], shares: tuple[float, ...]) -> "Mixture":
        """Return the mixture of samplers."""
        first = {name: getattr(members[0], name) for name in Sampler.__dataclass_fields__}
        return cls(**first, members=members, shares=shares)

    def to(self, device: torch.device | str) -> "Mixture":
        """Return the mixture on a device."""
        return self._each(lambda member: member.to(device))

    def truncated(self, truncation: float | None, cutoff: int | None = None) -> "Mixture":
        """Return the mixture of truncated samplers."""
        return self._each(lambda member: member.truncated(truncation, cutoff))

    def table(self, conditions: Tensor, columns: int, seed: int) -> np.ndarray:
        """Return images (K columns, H, W, C); a column is made by one member."""
        tables = [member.table(conditions, columns, seed) for member in self.members]
        chosen = self._drawn(0, seed)[:columns].repeat(len(conditions)).numpy()
        made = tables[0]
        for place, own in enumerate(tables[1:], 1):
            made[chosen == place] = own[chosen == place]
        return made

    def _samples(self, count: int, seed: int, conditions: Tensor | None) -> Iterator[Tensor]:
        parts = zip(*(m._samples(count, seed, conditions) for m in self.members), strict=True)
        for number, made in enumerate(parts):
            chosen = self._drawn(number * BATCH, seed)[: len(made[0])]
            yield torch.stack(made)[chosen.to(made[0].device), torch.arange(len(made[0]))]

    def _drawn(self, start: int, seed: int) -> Tensor:
        """Return which members make `BATCH` samples, of which `start` is the first."""
        stream = torch_stream(seed, 0, Purpose.MIXTURE, start)
        weights = torch.tensor(self.shares, dtype=torch.float64)
        return torch.multinomial(weights, BATCH, replacement=True, generator=stream)

    def _each(self, change: Callable[[Sampler], Sampler]) -> "Mixture":
        members = tuple(map(change, self.members))
        return Mixture.of(members, self.shares)
