"""Scores on mixtures of Gaussians whose modes are known.

Srivastava et al., *VEEGAN*, arXiv 1705.07761, sec. 4.1, and Lin et al., *PacGAN*, arXiv 1712.04086,
sec. 4: 2,500 samples, of which one is of high quality if it lies within three standard deviations
of a mode's centre; a mode is covered if a high-quality sample belongs to it; the reverse KL
divergence compares the samples' nearest modes with the modes' true weights.
"""

from dataclasses import dataclass

import numpy as np

SAMPLES = 2500
DEVIATIONS = 3.0
SHELLS = 4  # of a mode, for the overlap


@dataclass(frozen=True)
class MixtureScores:
    """Metrics of 2,500 samples of a known mixture.

    Attributes:
        modes: how many modes are covered.
        high_quality: share of high-quality samples, 0..1.
        kl: KL(histogram of nearest modes || true weights), in nats; 0 is ideal.
    """

    modes: int
    high_quality: float
    kl: float


def mixture_scores(
    samples: np.ndarray,
    centres: np.ndarray,
    deviation: float | np.ndarray,
    weights: np.ndarray | None = None,
) -> MixtureScores:
    """Score samples (N, D) against modes (K, D).

    Args:
        samples: what the generator made.
        centres: the modes' centres.
        deviation: their standard deviation, one for all or (K,).
        weights: their true shares (K,), equal if None.

    Raises:
        ValueError: shapes that do not fit, samples that are not finite, deviations or weights that
            are not positive, weights that do not add up to 1.
    """
    samples, centres = np.asarray(samples, np.float64), np.asarray(centres, np.float64)
    if samples.ndim != 2 or centres.ndim != 2 or samples.shape[1:] != centres.shape[1:]:
        raise ValueError(
            f"a mixture's scores take samples (N, D) and centres (K, D); "
            f"{samples.shape} and {centres.shape} arrived"
        )
    if not len(samples) or not len(centres):
        raise ValueError(f"{len(samples)} samples and {len(centres)} centres: none may be empty")
    bad = int((~np.isfinite(samples)).any(axis=1).sum())
    if bad:
        raise ValueError(f"{bad} of {len(samples)} samples are NaN or infinite")
    modes = len(centres)
    deviations = np.broadcast_to(np.asarray(deviation, np.float64), (modes,))
    true = np.full(modes, 1 / modes) if weights is None else np.asarray(weights, np.float64)
    if true.shape != (modes,) or not (true > 0).all() or not np.isclose(true.sum(), 1):
        raise ValueError(
            f"weights must be {modes} positive shares that add up to 1; {true} arrived"
        )
    if not (deviations > 0).all():
        raise ValueError(f"deviations must be positive; {deviation} arrived")
    distance, nearest = _nearest_modes(samples, centres, deviations)
    good = distance <= DEVIATIONS
    share = np.bincount(nearest, minlength=modes) / len(samples)
    present = share > 0
    return MixtureScores(
        modes=len(np.unique(nearest[good])),
        high_quality=float(good.mean()),
        kl=float((share[present] * np.log(share[present] / true[present])).sum()),
    )


def overlap(
    samples: np.ndarray,
    centres: np.ndarray,
    deviation: float | np.ndarray,
    weights: np.ndarray | None = None,
) -> float:
    """Return the mass that samples (N, D) and a mixture of K round Gaussians share, 0..1.

    It is sum_c min(share of the samples in c, its true mass), 1 less the total variation distance
    over the cells c. A mode has `SHELLS` 2^D cells of equal mass: shells around its centre, each
    cut into the orthants. Samples belong to the nearest mode, so the modes must lie apart. Even
    true samples share a little less than 1: about 1 - 0.4 sqrt(cells / N).

    Args and errors are those of `mixture_scores`.
    """
    from scipy.stats import chi2  # takes most of a second to import

    mixture_scores(samples, centres, deviation, weights)  # which refuses what does not fit
    samples, centres = np.asarray(samples, np.float64), np.asarray(centres, np.float64)
    modes, dimension = centres.shape
    deviations = np.broadcast_to(np.asarray(deviation, np.float64), (modes,))
    distance, nearest = _nearest_modes(samples, centres, deviations)
    limits = chi2.ppf(np.arange(1, SHELLS) / SHELLS, dimension)
    shell = np.searchsorted(limits, distance**2)
    orthant = (samples > centres[nearest]) @ (1 << np.arange(dimension))
    cell = (nearest * SHELLS + shell) * 2**dimension + orthant
    share = np.bincount(cell, minlength=modes * SHELLS * 2**dimension) / len(samples)
    true = np.full(modes, 1 / modes) if weights is None else np.asarray(weights, np.float64)
    return float(np.minimum(share, np.repeat(true, len(share) // modes) * modes / len(share)).sum())


def nearest_modes(
    samples: np.ndarray, centres: np.ndarray, deviation: float | np.ndarray
) -> np.ndarray:
    """The mode (N,), int64, that each of the samples (N, D) is nearest to, in its deviations."""
    deviations = np.broadcast_to(np.asarray(deviation, np.float64), (len(centres),))
    return _nearest_modes(samples, centres, deviations)[1]


def _nearest_modes(
    samples: np.ndarray, centres: np.ndarray, deviations: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Distance to the nearest mode, in its deviations, and that mode's index; a mode at a time."""
    best = np.full(len(samples), np.inf)
    index = np.zeros(len(samples), dtype=np.int64)
    for mode, (centre, deviation) in enumerate(zip(centres, deviations, strict=True)):
        distance = np.linalg.norm(samples - centre, axis=1) / deviation
        closer = distance < best
        best[closer] = distance[closer]
        index[closer] = mode
    return best, index
