"""Several metrics from one pass over the images: observe each side once, then compare.

Memory: the Fréchet distance keeps D x D moments; metrics over pairs of features keep them, float32,
count x D; the inception score keeps two sums; similarity keeps at most 256 MiB of images. No pass
keeps more.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from fitness.cache import digest, write_arrays
from fitness.features.base import FeatureSpace, Progress
from fitness.metrics.fid import frechet_distance
from fitness.metrics.inception_score import InceptionScore
from fitness.metrics.kid import kernel_distance
from fitness.metrics.mixtures import mixture_scores
from fitness.metrics.mmd import gaussian_kernel, mean_bandwidth, unbiased_mmd
from fitness.metrics.names import GROUPS, METRICS, MetricName, Need, expand_metrics
from fitness.metrics.prdc import precision_recall_density_coverage
from fitness.metrics.ssim import Pairs, check_side, diversity
from fitness.statistics import (
    RunningStatistics,
    Statistics,
    check_comparable,
    check_features,
    read_arrays,
)


@dataclass(frozen=True)
class Observation:
    """What a set of images left behind in one pass; parts that nobody asked for are None.

    Attributes:
        space: name of the feature space.
        identity: hash of its weights.
        shape: (C, H, W) of the images, or (D,) of points.
        count: how many.
        statistics: moments of the features.
        features: (count, D), float32.
        logits: the inception score's sums.
        pairs: images drawn for similarity.
    """

    space: str
    identity: str
    shape: tuple[int, ...]
    count: int
    statistics: Statistics | None = None
    features: Tensor | None = None
    logits: InceptionScore | None = None
    pairs: Pairs | None = None

    @property
    def has(self) -> set[Need]:
        """The parts that were gathered."""
        parts: dict[Need, object] = {
            "statistics": self.statistics,
            "features": self.features,
            "logits": self.logits,
            "pairs": self.pairs,
        }
        return {need for need, part in parts.items() if part is not None}


def _needs(metrics: Iterable[str], *, real: bool) -> set[Need]:
    """What must be gathered from one side for the metrics."""
    return {METRICS[name].need for name in metrics if METRICS[name].against_real or not real}


def check_metrics(
    metrics: Sequence[str],
    space: FeatureSpace,
    counts: Iterable[int],
    shape: tuple[int, ...] | None = None,
) -> None:
    """Refuse, before any work, what cannot be computed in the end.

    Args:
        metrics: short names.
        space: the feature space.
        counts: how many images there will be on each side.
        shape: (C, H, W) of the images, if known.

    Raises:
        ValueError: a metric asks for more images, larger ones, or another space.
    """
    for name in metrics:
        metric = METRICS[name]
        if metric.need == "points":
            raise ValueError(f"metric {name!r} is of points with known modes: evaluate_mixture")
        if metric.need == "latents":
            raise ValueError(f"metric {name!r} is of a generator's latent space, not of images")
        if metric.need == "logits" and space.classes is None:
            raise ValueError(
                f"metric {name!r} needs a classifier's logits, which space {space.name!r} lacks; "
                "take space 'classifier', 'inception' or 'efficientnet-lite0'"
            )
        if metric.need == "pairs" and shape is not None:
            check_side(name, shape)
        for count in counts:
            if count < metric.minimum:
                raise ValueError(
                    f"metric {name!r} needs at least {metric.minimum} images; count is {count}"
                )


def observe(
    batches: Iterable[Tensor],
    space: FeatureSpace,
    count: int,
    needs: Iterable[Need],
    *,
    seed: int = 0,
    shape: tuple[int, ...] | None = None,
    stage: str = "images",
    progress: Progress | None = None,
) -> Observation:
    """Take in the first ``count`` images of a stream, in one pass over the feature space.

    Args:
        batches: uint8 (N, C, H, W), of any N.
        space: what embeds them.
        count: how many to take; the rest of the stream is not read.
        needs: what to gather: "statistics", "features", "logits", "pairs".
        seed: of the random choices behind "logits" and "pairs".
        shape: of one image, if already known from the other side.
        stage: what the progress callback, and errors, call these images.
        progress: called as ``progress(stage, done, count)`` after every batch.

    Raises:
        ValueError: too few images, images of several shapes, features that are not finite, or
            whatever the space refuses.
    """
    needs = frozenset(needs)
    moments = features = logits = pairs = None
    if "statistics" in needs:
        moments = RunningStatistics(space.dimension, space.device)
    if "features" in needs:
        features = torch.empty((count, space.dimension), device=space.device)
    if "logits" in needs:
        assert space.classes is not None
        logits = InceptionScore(count, space.classes, seed=seed, device=space.device)
    done = 0
    for batch in batches:
        batch = batch[: count - done]
        if not len(batch):
            continue
        shape = tuple(batch.shape[1:]) if shape is None else shape
        if tuple(batch.shape[1:]) != shape:
            raise ValueError(
                f"{stage}: an image of shape {tuple(batch.shape[1:])} arrived; {shape} is required "
                "by the images before it. Bring all images, real and generated, to one size"
            )
        if "pairs" in needs and pairs is None:
            pairs = Pairs(count, shape, seed=seed)
        if needs != {"pairs"}:
            found, classes = space.features_and_logits(batch)
            check_features(found)
            if moments is not None:
                moments.update(found)
            if features is not None:
                features[done : done + len(batch)] = found
            if logits is not None:
                assert classes is not None
                logits.update(classes)
        if pairs is not None:
            pairs.update(batch.cpu())
        done += len(batch)
        if progress is not None:
            progress(stage, done, count)
        if done == count:
            break
    if done < count or shape is None:
        raise ValueError(
            f"{stage}: the metrics ask for {count:,} images and only {done:,} arrived; "
            "bring more or lower the count"
        )
    statistics = None
    if moments is not None:
        statistics = moments.finish(space.name, space.identity, shape)
    return Observation(
        space.name, space.identity, shape, count, statistics, features, logits, pairs
    )


def observe_real(
    batches: Iterable[Tensor],
    space: FeatureSpace,
    metrics: Iterable[str],
    count: int,
    *,
    shape: tuple[int, ...] | None = None,
    cache: Path | None = None,
    data: str | None = None,
    progress: Progress | None = None,
) -> Observation:
    """The real side of an evaluation, to be compared with as many generated sets as wanted.

    Args:
        batches: uint8 (N, C, H, W); not read where the cache has the answer.
        space: what embeds them.
        metrics: short names of the metrics to come.
        count: how many images.
        shape: (C, H, W) that the images must have; part of the cache's key.
        cache: folder in which to keep what was gathered, in a file of its own per data, image
            shape, count, space and weights.
        data: hash of the real images in their order; required with ``cache``. It must cover the
            images' size too where ``shape`` is not given.
        progress: called as ``progress("real images", done, count)``.

    Raises:
        ValueError: as :func:`observe`; ``cache`` without ``data``; a damaged cached file.
    """
    metrics = expand_metrics(metrics)
    check_metrics(metrics, space, (count,))
    needs = _needs(metrics, real=True)
    path = None
    if cache is not None:
        if not data:
            raise ValueError("a cache of real statistics needs the data's hash; none was given")
        key = digest(data, str(shape), count, space.name, space.identity)
        name = "".join(c if c.isalnum() or c in "-_." else "_" for c in space.name)
        path = Path(cache) / f"real-{name}-{count}-{key[:16]}.npz"
        if path.exists():
            found = _load(path, space)
            if needs <= found.has:
                return found
            needs |= found.has
    seen = observe(
        batches, space, count, needs, shape=shape, stage="real images", progress=progress
    )
    if path is not None:
        _save(seen, path)
    return seen


def _save(seen: Observation, path: Path) -> None:
    """Statistics under pytorch-fid's keys, features beside them where they were kept."""
    arrays = seen.statistics.arrays() if seen.statistics else {}
    arrays |= {
        "space": np.asarray(seen.space),
        "identity": np.asarray(seen.identity),
        "shape": np.asarray(seen.shape),
        "count": np.asarray(seen.count),
    }
    if seen.features is not None:
        arrays["features"] = seen.features.cpu().numpy()
    write_arrays(path, arrays)


def _load(path: Path, space: FeatureSpace) -> Observation:
    """What :func:`_save` wrote, on the space's device."""
    arrays = read_arrays(path)
    try:
        return _observation(path, arrays, space)
    except (TypeError, OverflowError) as error:
        raise ValueError(f"{path} is damaged: {error}; delete it to gather anew") from error


def _observation(path: Path, arrays: dict[str, np.ndarray], space: FeatureSpace) -> Observation:
    if not {"space", "identity", "shape", "count"} <= set(arrays):
        raise ValueError(f"{path} is not a cache of real statistics; delete it to gather anew")
    statistics = None
    if "mu" in arrays:
        statistics = Statistics.from_arrays(arrays, str(path), space=space.name)
    features = None
    if "features" in arrays:
        features = torch.tensor(arrays["features"], device=space.device)
        if features.dtype != torch.float32 or features.ndim != 2:
            raise ValueError(f"{path} is damaged: its features are {features.dtype}")
    return Observation(
        str(arrays["space"]),
        str(arrays["identity"]),
        tuple(map(int, arrays["shape"])),
        int(arrays["count"]),
        statistics,
        features,
    )


def evaluate_images(
    real: Iterable[Tensor] | Observation | Statistics | None,
    fake: Iterable[Tensor],
    metrics: Iterable[str],
    space: FeatureSpace,
    *,
    count: int,
    real_count: int | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> dict[str, float]:
    """Score generated images, by any number of metrics, in one pass over each side.

    Args:
        real: batches of uint8 (N, C, H, W); or what :func:`observe_real` made of them; or
            statistics from a file, for ``fid`` alone; or None where no metric looks at them.
        fake: batches of uint8 (N, C, H, W).
        metrics: short names or groups: ``("fid", "kid", "prdc", "is")``.
        space: the feature space.
        count: how many generated images.
        real_count: how many real images, if not ``count``; ignored where ``real`` was observed.
        seed: of the inception score's parts and the choice of pairs.
        progress: called as ``progress(stage, done, total)``.

    Returns:
        Values by full name (:class:`MetricName`), in the order of ``metrics``.

    Raises:
        ValueError: an unknown metric, too few images, images of unequal shapes, values that are not
            finite, statistics of another space, or a metric that the space or ``real`` cannot
            serve.
    """
    metrics = expand_metrics(metrics)
    against_real = [name for name in metrics if METRICS[name].against_real]
    reals = real_count or count
    if isinstance(real, Observation):
        reals = real.count
    check_metrics(metrics, space, (count, reals))
    if not against_real:
        seen = None
    elif real is None:
        raise ValueError(f"{', '.join(against_real)} compare with real images; none were given")
    elif isinstance(real, Statistics):
        seen = _from_statistics(real, metrics, space)
    elif isinstance(real, Observation):
        seen = _checked_real(real, metrics, space)
    else:
        seen = observe_real(real, space, metrics, reals, progress=progress)
    made = observe(
        _checked_sides(fake, metrics),
        space,
        count,
        _needs(metrics, real=False),
        seed=seed,
        shape=(seen.shape or None) if seen else None,
        stage="generated images",
        progress=progress,
    )
    scores: dict[str, float] = {}
    for number, metric in enumerate(metrics):
        if progress is not None:
            progress("metrics", number, len(metrics))
        if metric not in scores:
            scores.update(_COMPUTE[metric](seen, made))
    if progress is not None:
        progress("metrics", len(metrics), len(metrics))
    return {str(_full_name(metric, space, made, seen)): scores[metric] for metric in metrics}


def _full_name(
    metric: str, space: FeatureSpace, made: Observation, seen: Observation | None
) -> MetricName:
    if METRICS[metric].need == "pairs":  # of the images themselves, whatever the space
        return MetricName(metric, "pixels", made.count)
    if seen is None or not METRICS[metric].against_real:
        return MetricName(metric, space.name, made.count)
    return MetricName(metric, space.name, made.count, seen.count or "file")


def _from_statistics(real: Statistics, metrics: Sequence[str], space: FeatureSpace) -> Observation:
    """Statistics as the real side; a shape or count that the file did not say is left empty."""
    beyond = [name for name in metrics if "features" in _needs((name,), real=True)]
    if beyond:
        raise ValueError(
            f"{', '.join(beyond)} need the real images' features, which statistics of mean and "
            "covariance do not hold; give the real images"
        )
    check_comparable(real, space.name, space.identity, space.dimension)
    return Observation(space.name, space.identity, real.shape or (), real.count or 0, real)


def _checked_real(seen: Observation, metrics: Sequence[str], space: FeatureSpace) -> Observation:
    """Refuse another space's observation, or one that lacks a part, before more work is done."""
    if (seen.space, seen.identity) != (space.name, space.identity):
        raise ValueError(
            f"the real images were observed in space {seen.space!r} ({seen.identity[:12]}); "
            f"the generated ones are to be in {space.name!r} ({space.identity[:12]})"
        )
    missing = [name for name in metrics if not _needs((name,), real=True) <= seen.has]
    if missing:
        raise ValueError(
            f"the real images were not observed for {', '.join(missing)}; "
            "name these metrics to observe_real too"
        )
    return seen


def _checked_sides(batches: Iterable[Tensor], metrics: Sequence[str]) -> Iterator[Tensor]:
    """The same stream, stopped at once by images too small for a similarity's window."""
    for batch in batches:
        for name in metrics:
            if METRICS[name].need == "pairs":
                check_side(name, tuple(batch.shape[1:]))
        yield batch


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
    "ssim": _ssim,
    "ms-ssim": _ms_ssim,
}


def evaluate_mixture(
    samples: np.ndarray,
    centres: np.ndarray,
    deviation: float | np.ndarray,
    weights: np.ndarray | None = None,
) -> dict[str, float]:
    """Modes covered, share of high quality and KL to the true weights, by full name.

    Args and errors are those of :func:`mixture_scores`; 2,500 samples are usual.
    """
    scores = mixture_scores(samples, centres, deviation, weights)
    values = {
        "modes": float(scores.modes),
        "high-quality": scores.high_quality,
        "kl": scores.kl,
    }
    return {str(MetricName(name, "pixels", len(samples))): values[name] for name in values}
