"""Metrics from what was observed of two sets of images, or from points and a mixture's modes."""

from collections.abc import Callable, Sequence

import numpy as np
from torch import Tensor

from fitness.features.base import FeatureSpace, Progress
from fitness.metrics.covered import classes_covered, divergence_from_equal
from fitness.metrics.fid import frechet_distance
from fitness.metrics.kid import kernel_distance
from fitness.metrics.mixtures import mixture_scores, overlap
from fitness.metrics.mmd import gaussian_kernel, mean_bandwidth, unbiased_mmd
from fitness.metrics.names import GROUPS, METRICS, MetricName
from fitness.metrics.prdc import precision_recall_density_coverage
from fitness.metrics.ssim import diversity
from fitness.observation import Observation, needs_of
from fitness.statistics import Statistics, check_comparable


def compare(
    real: Observation | None,
    fake: Observation,
    metrics: Sequence[str],
    progress: Progress | None = None,
) -> dict[str, float]:
    """Return the values of metrics, given and returned in order, by full name.

    Args:
        real: what was observed of the real images; None where no metric looks at them.
        fake: what was observed of the generated images.
        metrics: short names, without groups.
        progress: called as `progress("metrics", done, total)`.
    """
    values: dict[str, float] = {}
    for number, metric in enumerate(metrics):
        if progress is not None:
            progress("metrics", number, len(metrics))
        if metric not in values:
            values.update(_COMPUTE[metric](real, fake))
    if progress is not None:
        progress("metrics", len(metrics), len(metrics))
    return {str(_full_name(metric, fake, real)): values[metric] for metric in metrics}


def _full_name(metric: str, fake: Observation, real: Observation | None) -> MetricName:
    if METRICS[metric].need == "pairs":  # of the images themselves, whatever the space
        return MetricName(metric, "pixels", fake.count)
    if real is None or not METRICS[metric].against_real:
        return MetricName(metric, fake.space, fake.count)
    return MetricName(metric, fake.space, fake.count, real.count or "file")


def real_side(
    real: Observation | Statistics | None, metrics: Sequence[str], space: FeatureSpace
) -> Observation | None:
    """Return the real side that metrics are compared with; None where none looks at one.

    Raises:
        ValueError: there is none, it is of another space, or it lacks a part that a metric needs.
    """
    against_real = [name for name in metrics if METRICS[name].against_real]
    if not against_real:
        return None
    if real is None:
        raise ValueError(f"{', '.join(against_real)} compare with real images; none were given")
    if isinstance(real, Statistics):
        return _from_statistics(real, metrics, space)
    return _checked(real, metrics, space)


def _from_statistics(real: Statistics, metrics: Sequence[str], space: FeatureSpace) -> Observation:
    """Statistics as the real side; a shape or count that the file did not say is left empty."""
    beyond = [name for name in metrics if "features" in needs_of((name,), real=True)]
    if beyond:
        raise ValueError(
            f"{', '.join(beyond)} need the real images' features, which statistics of mean and "
            "covariance do not hold; give the real images"
        )
    check_comparable(real, space.name, space.identity, space.dimension)
    return Observation(space.name, space.identity, real.shape or (), real.count or 0, real)


def _checked(seen: Observation, metrics: Sequence[str], space: FeatureSpace) -> Observation:
    """Refuse an observation that cannot serve the metrics, before more work is done."""
    if (seen.space, seen.identity) != (space.name, space.identity):
        raise ValueError(
            f"the real images were observed in space {seen.space!r} ({seen.identity[:12]}); "
            f"the generated ones are to be in {space.name!r} ({space.identity[:12]})"
        )
    missing = [name for name in metrics if not needs_of((name,), real=True) <= seen.has]
    if missing:
        raise ValueError(
            f"the real images were not observed for {', '.join(missing)}; "
            "name these metrics to observe_real too"
        )
    if "mmd" in metrics:
        mean_bandwidth(_features(seen))  # images that are all alike set no scale
    return seen


def _features(seen: Observation | None) -> Tensor:
    assert seen is not None
    assert seen.features is not None
    return seen.features


def _statistics(seen: Observation | None) -> Statistics:
    assert seen is not None
    assert seen.statistics is not None
    return seen.statistics


def _fid(real: Observation | None, fake: Observation) -> dict[str, float]:
    return {"fid": frechet_distance(_statistics(real), _statistics(fake))}


def _kid(real: Observation | None, fake: Observation) -> dict[str, float]:
    return {"kid": kernel_distance(_features(real), _features(fake))}


def _mmd(real: Observation | None, fake: Observation) -> dict[str, float]:
    kernel = gaussian_kernel(mean_bandwidth(_features(real)))
    return {"mmd": unbiased_mmd(_features(real), _features(fake), kernel)}


def _prdc(real: Observation | None, fake: Observation) -> dict[str, float]:
    return vars(precision_recall_density_coverage(_features(real), _features(fake)))


def _is(_real: Observation | None, fake: Observation) -> dict[str, float]:
    assert fake.logits is not None
    return {"is": fake.logits.result()[0]}


def _covered(_real: Observation | None, fake: Observation) -> dict[str, float]:
    assert fake.histogram is not None
    return {
        "classes-covered": float(classes_covered(fake.histogram)),
        "classes-kl": divergence_from_equal(fake.histogram),
    }


def _ssim(_real: Observation | None, fake: Observation) -> dict[str, float]:
    assert fake.pairs is not None
    return {"ssim": diversity(fake.pairs)}


def _ms_ssim(_real: Observation | None, fake: Observation) -> dict[str, float]:
    assert fake.pairs is not None
    return {"ms-ssim": diversity(fake.pairs, multiscale=True)}


_COMPUTE: dict[str, Callable[[Observation | None, Observation], dict[str, float]]] = {
    "fid": _fid,
    "kid": _kid,
    "mmd": _mmd,
    **dict.fromkeys(GROUPS["prdc"], _prdc),
    "is": _is,
    "classes-covered": _covered,
    "classes-kl": _covered,
    "ssim": _ssim,
    "ms-ssim": _ms_ssim,
}


def evaluate_mixture(
    samples: np.ndarray,
    centres: np.ndarray,
    deviation: float | np.ndarray,
    weights: np.ndarray | None = None,
) -> dict[str, float]:
    """Modes covered, share of high quality, KL to the true weights and overlap, by full name.

    Args and errors are those of `mixture_scores`; 2,500 samples are usual.
    """
    scores = mixture_scores(samples, centres, deviation, weights)
    values = {
        "modes": float(scores.modes),
        "high-quality": scores.high_quality,
        "kl": scores.kl,
        "overlap": overlap(samples, centres, deviation, weights),
    }
    return {str(MetricName(name, "pixels", len(samples))): values[name] for name in values}
