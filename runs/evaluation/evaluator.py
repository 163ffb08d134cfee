"""How good a generator is: metrics of a run, or of any images, in one stated protocol."""

from collections.abc import Iterable
from pathlib import Path

import torch
from psutil import virtual_memory
from torch import Tensor

from egan.data import ImageSource, Source
from egan.data.gaussians import GaussianMixture
from egan.data.pairs import PairSource
from fitness.comparison import compare, evaluate_mixture, real_side
from fitness.evaluation import evaluate_images
from fitness.features import FeatureSpace, Progress
from fitness.metrics.names import BY_CLASS, METRICS, MetricName, expand_metrics
from fitness.observation import Observation, check_metrics, needs_of, observe, observed
from fitness.statistics import Statistics
from runs.evaluation.classes import (
    ClassScorer,
    Draw,
    ImageClasses,
    PointClasses,
    check_classes,
    values_by_class,
)
from runs.evaluation.mistakes import user_mistakes
from runs.evaluation.observations import observe_cached
from runs.evaluation.reals import reals_of
from runs.evaluation.spaces import open_space
from runs.store.class_values import ClassValues


class Evaluator:
    """Scores samples against one real side; that is observed once, for any number of scorings.

    Attributes:
        device: where features are computed.
    """

    def __init__(
        self,
        real: Source | Statistics,
        shape: tuple[int, ...],
        metrics: Iterable[str],
        space: str,
        count: int,
        *,
        weights: Path | None = None,
        device: str = "cpu",
        classes: tuple[str, ...] | None = None,
        progress: Progress | None = None,
    ) -> None:
        """Make the feature space ready and observe the real images, from the cache if they are.

        Args:
            real: the real data; or their statistics, which serve `fid` alone.
            shape: of one sample to come: (C, H, W), or (2,) for a point.
            metrics: short names or groups.
            space: the feature space; points need none.
            count: how many samples a scoring takes.
            weights: a file of the space's weights.
            device: where features are computed.
            classes: names of the classes that samples can be asked for; None: they cannot.
            progress: called as `progress(stage, done, total)`.

        Raises:
            ConfigError: metrics, space, samples and real data do not fit each other.
        """
        self._real: Observation | Statistics | GaussianMixture | None
        self._count = count
        self._progress = progress
        self._space: FeatureSpace | None = None
        self.device = device
        self._by_class: ClassScorer | None = None
        self._classes = classes or ()
        with user_mistakes():
            if isinstance(real, PairSource):
                raise ValueError(
                    f"data.source: {real.name} are pairs of images, and these metrics compare "
                    "samples with one set of reals"
                )
            named = expand_metrics(metrics)
            self._metrics = tuple(name for name in named if name not in BY_CLASS)
            by_class = [name for name in named if name in BY_CLASS]
            _check_kinds(real, shape, named)
            if by_class:
                check_classes(real, by_class, classes)
            if isinstance(real, GaussianMixture):
                self._real = real
                self._by_class = PointClasses(real, count) if by_class else None
                return
            self._space = open_space(space, real, shape, weights, device, progress)
            check_metrics(self._metrics, self._space, (count,), shape)
            _check_memory(self._metrics, self._space, count)
            self._real = real if isinstance(real, Statistics) else self._observe(real)
            real_side(self._real, self._metrics, self._space)  # refused now, not at a scoring
            if by_class:
                assert isinstance(real, ImageSource)
                self._by_class = ImageClasses(real, by_class, self._space, count, progress)

    @property
    def identity(self) -> str | None:
        """The hash of the feature space's weights; None for points."""
        return None if self._space is None else self._space.identity

    def score_classes(self, draw: Draw) -> tuple[dict[str, float], dict[str, ClassValues]]:
        """Return the values of metrics by class, by full name, and those of each class.

        Both are empty where no such metric is asked for.

        Args:
            draw: gives batches of samples of the classes (N,) that it is called with.

        Raises:
            ConfigError: the samples do not fit the real data.
        """
        if self._by_class is None:
            return {}, {}
        with user_mistakes():
            scores = self._by_class(draw)
        values = {name: score.fakes.value for name, score in scores.items()}
        return values, values_by_class(scores, self._classes)

    def score(self, samples: Iterable[Tensor], seed: int = 0) -> dict[str, float]:
        """Return the values of `count` samples by full metric name, but for metrics by class.

        Args:
            samples: batches of images, uint8 (N, C, H, W), or of points, float32 (N, 2).
            seed: of a metric's own draws, such as the parts of the inception score.

        Raises:
            ConfigError: the samples do not fit the real data.
        """
        if not self._metrics:
            return {}
        with user_mistakes():
            if isinstance(self._real, GaussianMixture):
                points = torch.cat(list(samples)).cpu().numpy()
                values = evaluate_mixture(points, self._real.centres, self._real.sigma)
                return {
                    k: v for k, v in values.items() if MetricName.parse(k).metric in self._metrics
                }
            assert self._space is not None
            return evaluate_images(
                self._real,
                samples,
                self._metrics,
                self._space,
                count=self._count,
                seed=seed,
                progress=self._progress,
            )

    def features(self, images: Iterable[Tensor], count: int, stage: str) -> Tensor:
        """Return the features (count, D) of images, uint8 (N, C, H, W) in batches.

        Raises:
            ValueError: the images do not fit the space.
        """
        assert self._space is not None, "points have no feature space"
        seen = observe(
            images, self._space, count, ["features"], stage=stage, progress=self._progress
        )
        assert seen.features is not None
        return seen.features

    def score_features(self, features: Tensor) -> dict[str, float]:
        """Return the values of the metrics, by short name, of samples with features (N, D).

        Raises:
            ValueError: a metric needs more than features; or the features are not finite.
        """
        assert self._space is not None, "points have no feature space"
        assert not isinstance(self._real, GaussianMixture)
        real = real_side(self._real, self._metrics, self._space)
        seen = observed(features, self._space, needs_of(self._metrics, real=False))
        values = compare(real, seen, self._metrics)
        return dict(zip(self._metrics, values.values(), strict=True))

    def _observe(self, source: ImageSource) -> Observation | None:
        """Gather what the metrics need of the real images; None where they need nothing."""
        assert self._space is not None
        if not any(METRICS[metric].against_real for metric in self._metrics):
            return None
        reals = min(self._count, len(source))
        return observe_cached(
            reals_of(source, reals),
            self._space,
            self._metrics,
            reals,
            data=source.fingerprint,
            shape=source.shape,
            progress=self._progress,
        )


def _check_memory(metrics: tuple[str, ...], space: FeatureSpace, count: int) -> None:
    """Refuse more samples than there is memory for their features, which some metrics keep.

    Raises:
        ValueError: says how much they take, and how much is free.
    """
    keep = [metric for metric in metrics if METRICS[metric].need == "features"]
    size = count * space.dimension * 4  # float32
    cuda = space.device.type == "cuda"
    free = torch.cuda.mem_get_info(space.device)[0] if cuda else virtual_memory().available
    if keep and size > free:
        raise ValueError(
            f"{', '.join(keep)} keep the features of all samples: {size / 1e9:,.1f} GB for "
            f"{count:,} in space {space.name!r}, and {free / 1e9:,.1f} GB of memory are free. "
            "Score fewer, or by fid alone"
        )


def _remedy(real: Source | Statistics, shape: tuple[int, ...]) -> str:
    """Return what brings samples of a shape and the real ones to one side, if anything does."""
    sides = (shape[1:], (real.shape or shape)[1:])
    if len(shape) != 3 or sides[0] == sides[1]:
        return ""
    # Statistics stay as they are; of a generator, the real images are brought to its side.
    side = sides[1][-1] if isinstance(real, Statistics) else sides[0][-1]
    return f": --resolution {side} brings image files and arrays to one side"


def _check_kinds(
    real: Source | Statistics, shape: tuple[int, ...], metrics: tuple[str, ...]
) -> None:
    """Refuse metrics of the other kind of data, and samples of another kind or shape.

    Raises:
        ValueError: says what does not fit.
    """
    points = isinstance(real, GaussianMixture)
    name = "statistics" if isinstance(real, Statistics) else real.name
    if real.shape is not None and real.shape != shape:
        raise ValueError(
            f"the samples are of shape {shape}, those of {name} of {real.shape}; both must have "
            f"one size and number of channels{_remedy(real, shape)}"
        )
    if wrong := [m for m in metrics if (METRICS[m].need == "points") != points]:
        known = [
            m
            for m in METRICS
            if METRICS[m].need not in ("latents", "targets", "parts")
            and (METRICS[m].need == "points") == points
        ]
        raise ValueError(
            f"{', '.join(wrong)} cannot score {'points' if points else 'images'}, such as those of "
            f"{name}; take some of: {', '.join(known)}"
        )
