"""The mean and covariance of a set's features, gathered by stream.

As arrays they are `mu` and `sigma`, as in pytorch-fid's files; ours say besides in which space,
from how many images of what shape. Statistics of another space are refused, not compared.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

# Beyond this a float64 covariance takes over half a GiB, and its eigenvalues minutes.
LARGEST_DIMENSION = 8192
STRIP = 256  # rows of a covariance that are updated at a time


def check_features(features: Tensor) -> None:
    """Refuse features that are not finite.

    Raises:
        ValueError: says how many images are affected.
    """
    if not features.numel() or torch.stack(torch.aminmax(features)).isfinite().all():
        return  # both extremes are NaN if any number is
    parts = torch.split(features, 1024)  # in parts, for the check's own temporaries
    bad = sum(int((~torch.isfinite(part)).any(dim=1).sum()) for part in parts)
    if bad:
        raise ValueError(
            f"{bad} of {len(features)} images have NaN or infinite features; "
            "the images or the feature network's weights are not finite"
        )


@dataclass(frozen=True)
class Statistics:
    """First two moments of a set of images in a feature space.

    Attributes:
        mean: (D,), float64.
        covariance: (D, D), float64, unbiased.
        space: name of the feature space.
        identity: hash of the space's weights; None for a file that does not say.
        count: images behind the moments; None for a file that does not say.
        shape: (C, H, W) of the images; None for a file that does not say.
    """

    mean: np.ndarray
    covariance: np.ndarray
    space: str
    identity: str | None = None
    count: int | None = None
    shape: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        dimension = self.mean.size
        if self.mean.shape != (dimension,) or self.covariance.shape != (dimension, dimension):
            raise ValueError(
                f"statistics need mu (D,) and sigma (D, D); "
                f"{self.mean.shape} and {self.covariance.shape} arrived"
            )
        if not (np.isfinite(self.mean).all() and np.isfinite(self.covariance).all()):
            raise ValueError("statistics hold NaN or infinite numbers")

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the arrays that a file of statistics holds; unknown values are left out."""
        entries: dict[str, object] = {
            "mu": self.mean,
            "sigma": self.covariance,
            "space": self.space,
            "identity": self.identity,
            "count": self.count,
            "shape": self.shape,
        }
        return {key: np.asarray(value) for key, value in entries.items() if value is not None}

    @classmethod
    def from_arrays(
        cls, arrays: dict[str, np.ndarray], source: str, *, space: str | None = None
    ) -> "Statistics":
        """Return the statistics in a file's arrays, ours or pytorch-fid's.

        Args:
            arrays: by key, see `arrays`.
            source: what errors call the file.
            space: the space that the caller expects; required where the file does not say.

        Raises:
            ValueError: `mu` or `sigma` is missing or damaged, or the space is another one.
        """
        for key in ("mu", "sigma"):
            if key not in arrays:
                raise ValueError(
                    f"{source} lacks {key!r}; statistics as pytorch-fid writes them have "
                    f"'mu' and 'sigma', this has {', '.join(sorted(arrays)) or 'nothing'}"
                )
        said = str(arrays["space"]) if "space" in arrays else None
        if said is None and space is None:
            raise ValueError(f"{source} does not say its feature space; state it")
        if said is not None and space is not None and said != space:
            raise ValueError(f"{source} holds statistics of space {said!r}; {space!r} is required")
        try:
            return cls(
                arrays["mu"].astype(np.float64),
                arrays["sigma"].astype(np.float64),
                space=said or space or "",
                identity=str(arrays["identity"]) if "identity" in arrays else None,
                count=int(arrays["count"]) if "count" in arrays else None,
                shape=tuple(map(int, arrays["shape"])) if "shape" in arrays else None,
            )
        except (ValueError, TypeError, OverflowError) as error:  # arrays of any type and shape
            raise ValueError(f"{source}: {error}") from error


def check_comparable(
    statistics: Statistics, space: str, identity: str | None, dimension: int
) -> None:
    """Refuse statistics of another space, other weights or another dimension than asked for.

    Raises:
        ValueError: says which differ.
    """
    if statistics.space != space:
        raise ValueError(
            f"statistics of space {statistics.space!r} cannot be compared with {space!r}; "
            "gather both in one space"
        )
    if statistics.identity and identity and statistics.identity != identity:
        raise ValueError(
            f"both sides are of space {space!r} but of other weights "
            f"({statistics.identity[:12]} and {identity[:12]}); gather both with the same weights"
        )
    if statistics.mean.size != dimension:
        raise ValueError(
            f"statistics of {statistics.mean.size} dimensions cannot be compared with {dimension}"
        )


class RunningStatistics:
    """Mean and covariance of features that come in batches, in float64, on the features' device.

    Batches merge by Chan, Golub & LeVeque's (1979) pairwise update, which does not cancel as a
    running sum of squares does. Memory: D x D numbers, whatever the number of images. `scatter` has
    values on and above the diagonal alone, which is half of the work.

    Raises:
        ValueError: the dimension is too large for a covariance.
    """

    def __init__(self, dimension: int, device: str | torch.device = "cpu") -> None:
        if dimension > LARGEST_DIMENSION:
            raise ValueError(
                f"a covariance of {dimension:,} dimensions is too large "
                f"(at most {LARGEST_DIMENSION:,}); choose a feature space, or kid in this one"
            )
        self.count = 0
        self.mean = torch.zeros(dimension, dtype=torch.float64, device=device)
        self.scatter = torch.zeros((dimension, dimension), dtype=torch.float64, device=device)

    def update(self, features: Tensor) -> None:
        """Take in a batch (N, D).

        Raises:
            ValueError: a feature is not finite.
        """
        check_features(features)
        batch = features.double()
        size = len(batch)
        mean = batch.mean(dim=0)
        centred = batch - mean
        delta = mean - self.mean
        total = self.count + size
        # M2 = M2_a + M2_b + delta delta^T n_a n_b / (n_a + n_b): one more row is the last term
        between = delta * (self.count * size / total) ** 0.5
        rows = torch.cat([centred, between[None]])
        for start in range(0, len(self.mean), STRIP):
            strip = rows[:, start : start + STRIP]
            self.scatter[start : start + STRIP, start:].addmm_(strip.T, rows[:, start:])
        self.mean += delta * (size / total)
        self.count = total

    def finish(self, space: str, identity: str | None, shape: tuple[int, ...] | None) -> Statistics:
        """The statistics so far, labelled with where they come from.

        Raises:
            ValueError: fewer than 2 images, whose covariance is undefined.
        """
        if self.count < 2:
            raise ValueError(f"a covariance needs at least 2 images; {self.count} arrived")
        upper = self.scatter.triu()
        scatter = upper + upper.triu(1).T
        covariance = (scatter / (self.count - 1)).cpu().numpy()
        return Statistics(
            self.mean.cpu().numpy().copy(), covariance, space, identity, self.count, shape
        )
