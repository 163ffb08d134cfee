"""The quantities that metrics need of a set of images, from one pass over a feature space.

Memory: the Fréchet distance keeps D x D moments; metrics over pairs of features keep them, float32,
count x D; the inception score keeps two sums; similarity keeps at most 256 MiB of images. No pass
keeps more.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fitness.features.base import FeatureSpace, Progress
from fitness.metrics.inception_score import InceptionScore
from fitness.metrics.names import METRICS, Need, expand_metrics
from fitness.metrics.ssim import Pairs, check_side
from fitness.statistics import RunningStatistics, Statistics, check_features


@dataclass(frozen=True)
class Observation:
    """The quantities of a set of images after one pass; those that no metric needs are None.

    Attributes:
        space: name of the feature space.
        identity: hash of its weights.
        shape: (C, H, W) of the images, or (D,) of points.
        count: how many.
        statistics: moments of the features.
        features: (count, D), float32.
        logits: the inception score's sums.
        pairs: images drawn for similarity.
        histogram: how many images the space's classifier takes for each class, (K,).
    """

    space: str
    identity: str
    shape: tuple[int, ...]
    count: int
    statistics: Statistics | None = None
    features: Tensor | None = None
    logits: InceptionScore | None = None
    pairs: Pairs | None = None
    histogram: Tensor | None = None

    @property
    def has(self) -> set[Need]:
        """The parts that were gathered."""
        parts: dict[Need, object] = {
            "statistics": self.statistics,
            "features": self.features,
            "logits": self.logits,
            "pairs": self.pairs,
            "histogram": self.histogram,
        }
        return {need for need, part in parts.items() if part is not None}


def needs_of(metrics: Iterable[str], *, real: bool) -> frozenset[Need]:
    """Return what must be gathered from one side for metrics, by their short names."""
    return frozenset(
        METRICS[name].need for name in metrics if METRICS[name].against_real or not real
    )


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
        if metric.need == "classes":
            raise ValueError(f"metric {name!r} is of images by class: fitness.classes")
        if metric.need == "latents":
            raise ValueError(f"metric {name!r} is of a generator's latent space, not of images")
        if metric.need in ("targets", "parts"):
            raise ValueError(f"metric {name!r} compares translations with what they should be")
        if metric.need in ("logits", "histogram") and space.classes is None:
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
    """Take in the first `count` images of a stream, in one pass over the feature space.

    Args:
        batches: uint8 (N, C, H, W), of any N.
        space: what embeds them.
        count: how many to take; the rest of the stream is not read.
        needs: what to gather: "statistics", "features", "logits", "pairs", "histogram".
        seed: of the random choices behind "logits" and "pairs".
        shape: of one image, if already known from the other side.
        stage: what the progress callback, and errors, call these images.
        progress: called as `progress(stage, done, count)` after every batch.

    Raises:
        ValueError: too few images, images of several shapes, features that are not finite, or
            whatever the space refuses.
    """
    parts = _Parts(space, count, frozenset(needs), seed, shape, stage)
    for batch in batches:
        batch = batch[: count - parts.done]
        if len(batch):
            parts.take(batch)
            if progress is not None:
                progress(stage, parts.done, count)
        if parts.done == count:
            break
    return parts.observation()


def observed(features: Tensor, space: FeatureSpace, needs: Iterable[Need]) -> Observation:
    """Return the observation of images whose features (N, D) in a space are known.

    Raises:
        ValueError: it needs more than features, or these are not finite.
    """
    needs = frozenset(needs)
    if beyond := needs - {"statistics", "features"}:
        raise ValueError(f"{', '.join(sorted(beyond))} need the images, not their features alone")
    statistics = None
    if "statistics" in needs:
        moments = RunningStatistics(space.dimension, space.device)
        moments.update(features)
        statistics = moments.finish(space.name, space.identity, ())
    kept = features if "features" in needs else None
    return Observation(space.name, space.identity, (), len(features), statistics, kept)


def observe_real(
    batches: Iterable[Tensor],
    space: FeatureSpace,
    metrics: Iterable[str],
    count: int,
    *,
    shape: tuple[int, ...] | None = None,
    progress: Progress | None = None,
) -> Observation:
    """The real side of an evaluation, to be compared with as many generated sets as wanted.

    Args:
        batches: uint8 (N, C, H, W).
        space: what embeds them.
        metrics: short names of the metrics to come.
        count: how many images.
        shape: (C, H, W) that the images must have, if known.
        progress: called as `progress("real images", done, count)`.

    Raises:
        ValueError: as `observe`.
    """
    metrics = expand_metrics(metrics)
    check_metrics(metrics, space, (count,))
    needs = needs_of(metrics, real=True)
    return observe(
        batches, space, count, needs, shape=shape, stage="real images", progress=progress
    )


class _Parts:
    """The parts of an observation while batches arrive; those that nobody needs are None."""

    def __init__(
        self,
        space: FeatureSpace,
        count: int,
        needs: frozenset[Need],
        seed: int,
        shape: tuple[int, ...] | None,
        stage: str,
    ) -> None:
        self._space, self._count, self._needs, self._seed = space, count, needs, seed
        self._shape, self._stage = shape, stage
        self._moments: RunningStatistics | None = None
        self._features: Tensor | None = None
        self._logits: InceptionScore | None = None
        self._pairs: Pairs | None = None
        self._histogram: Tensor | None = None
        if "statistics" in needs:
            self._moments = RunningStatistics(space.dimension, space.device)
        if "features" in needs:
            self._features = torch.empty((count, space.dimension), device=space.device)
        if "logits" in needs:
            assert space.classes is not None
            self._logits = InceptionScore(count, space.classes, seed=seed, device=space.device)
        if "histogram" in needs:
            assert space.classes is not None
            self._histogram = torch.zeros(space.classes, dtype=torch.int64, device=space.device)
        self.done = 0

    def take(self, batch: Tensor) -> None:
        """Take in a batch that is not empty.

        Raises:
            ValueError: its images differ in shape from those before, or the space refuses them.
        """
        self._check_shape(tuple(batch.shape[1:]))
        if self._needs != {"pairs"}:
            self._embed(batch)
        if "pairs" in self._needs:
            if self._pairs is None:
                assert self._shape is not None
                self._pairs = Pairs(self._count, self._shape, seed=self._seed)
            self._pairs.update(batch.cpu())
        self.done += len(batch)

    def _check_shape(self, shape: tuple[int, ...]) -> None:
        self._shape = self._shape or shape
        if shape != self._shape:
            raise ValueError(
                f"{self._stage}: an image of shape {shape} arrived; {self._shape} is required by "
                "the images before it. Bring all images, real and generated, to one size"
            )

    def _embed(self, batch: Tensor) -> None:
        found, classes = self._space.features_and_logits(batch)
        check_features(found)
        if self._moments is not None:
            self._moments.update(found)
        if self._features is not None:
            self._features[self.done : self.done + len(batch)] = found
        if self._logits is not None:
            assert classes is not None
            self._logits.update(classes)
        if self._histogram is not None:
            assert classes is not None
            self._histogram += torch.bincount(classes.argmax(1), minlength=classes.shape[1])

    def observation(self) -> Observation:
        """Return all parts.

        Raises:
            ValueError: too few images arrived.
        """
        space, shape = self._space, self._shape
        if self.done < self._count or shape is None:
            raise ValueError(
                f"{self._stage}: the metrics ask for {self._count:,} images and only "
                f"{self.done:,} arrived; bring more or lower the count"
            )
        statistics = None
        if self._moments is not None:
            statistics = self._moments.finish(space.name, space.identity, shape)
        return Observation(
            space.name,
            space.identity,
            shape,
            self._count,
            statistics,
            self._features,
            self._logits,
            self._pairs,
            self._histogram,
        )
