"""Metrics by class of labelled fakes, each with the value of reals in the fakes' place.

The reals are two halves with equal numbers of each class, one to compare with and one that is held
out. The fakes are as many, of the same classes. What the held-out reals come to in the fakes' place
is the ceiling: what a perfect generator would get from as many images.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
import torch
from torch import Tensor

from fitness.features.base import FeatureSpace, Progress
from fitness.features.classifier import SmallClassifier, fitted_classifier, predicted
from fitness.metrics.classes import (
    ByClass,
    accuracy_by_class,
    frechet_by_class,
    kernel_by_class,
)
from fitness.metrics.mixtures import nearest_modes
from fitness.metrics.names import METRICS, MetricName

LEARNER = "classifier"  # what learns in gan-train and gan-test, whatever the space


@dataclass(frozen=True)
class Labelled:
    """Images (N, C, H, W), uint8, and the label (N,), int64, of each."""

    images: Tensor
    labels: Tensor

    def __post_init__(self) -> None:
        if self.labels.shape != self.images.shape[:1] or self.labels.dtype != torch.int64:
            raise ValueError(
                f"{len(self.images)} images need as many classes, int64 (N,); "
                f"{self.labels.dtype} {tuple(self.labels.shape)} arrived"
            )


@dataclass(frozen=True)
class ClassScore:
    """A metric of the fakes, and of reals in their place (the ceiling)."""

    fakes: ByClass
    reals: ByClass


class ClassComparison:
    """Compares fakes with reals by class; values of reals alone are computed once."""

    def __init__(
        self,
        real: Labelled,
        held_out: Labelled,
        metrics: Sequence[str],
        space: FeatureSpace,
        *,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> None:
        """Keep both halves of the reals, and check that the metrics can be computed.

        Args:
            real: the half that fakes are compared with, or stand in for.
            held_out: the other half, see `fitness.metrics.classes.split_by_class`.
            metrics: short names, of those that need classes.
            space: in which distances are taken; its classifier decides class-accuracy.
            seed: of the classifiers that are trained.
            progress: called as `progress(stage, done, total)`.

        Raises:
            ValueError: one class only, too few images, or a space without the data's classes.
        """
        self._real, self._held_out = _Seen(real, space), _Seen(held_out, space)
        self._metrics, self._space = tuple(metrics), space
        self._seed, self._progress = seed, progress
        self._ceilings: dict[str, ByClass] = {}  # of the reals, by metric, once they are asked for
        self._classes = int(real.labels.max()) + 1
        if len(torch.unique(real.labels)) < 2:
            raise ValueError("metrics by class need at least two classes; the real images have one")
        for name in self._metrics:
            if len(real.images) < METRICS[name].minimum:
                raise ValueError(
                    f"metric {name!r} needs at least {METRICS[name].minimum} images in each half "
                    f"of the reals; there are {len(real.images)}"
                )
        if "class-accuracy" in self._metrics and (space.classes or 0) < self._classes:
            raise ValueError(
                f"class-accuracy needs a space that knows the data's {self._classes} classes; "
                f"{space.name!r} knows {space.classes or 'none'}. Take space 'classifier'"
            )

    @property
    def labels(self) -> Tensor:
        """The class (N,) that each of the fakes must have."""
        return self._real.of.labels

    def score(self, images: Tensor) -> dict[str, ClassScore]:
        """Return the values by full name, in the order of the metrics.

        Args:
            images: the fakes (N, C, H, W), uint8, of the classes `labels`.

        Raises:
            ValueError: images of another number or shape, or what the space refuses.
        """
        wanted = (len(self.labels), *self._real.of.images.shape[1:])
        if images.shape != wanted:
            raise ValueError(
                f"metrics by class take images {wanted}, one for each class asked for; "
                f"{tuple(images.shape)} arrived"
            )
        fakes = _Seen(Labelled(images.cpu(), self.labels), self._space)
        scores = {}
        for name in self._metrics:
            space = LEARNER if name.startswith("gan-") else self._space.name
            full = str(MetricName(name, space, len(images)))
            if name not in self._ceilings:
                # In training, fakes stand in for one half; in all else, for the other.
                stand_in = self._real if name == "gan-train" else self._held_out
                self._ceilings[name] = self._value(name, stand_in)
            scores[full] = ClassScore(self._value(name, fakes), self._ceilings[name])
        return scores

    def _value(self, name: str, seen: "_Seen") -> ByClass:
        """Return a metric of `seen`: the fakes, or reals in their place."""
        real, held_out = self._real, self._held_out
        if name == "gan-train":
            learner = self._judge if seen is real else self._learned(name, "fakes", seen.of)
            return accuracy_by_class(predicted(learner, held_out.of.images), held_out.of.labels)
        if name == "gan-test":
            return accuracy_by_class(predicted(self._judge, seen.of.images), seen.of.labels)
        if name == "class-accuracy":
            return accuracy_by_class(seen.predicted, seen.labels)
        distance = frechet_by_class if name == "ifid" else kernel_by_class
        return distance(real.features, real.labels, seen.features, seen.labels)

    @cached_property
    def _judge(self) -> SmallClassifier:
        """The classifier of real images."""
        return self._learned("gan-test", "reals", self._real.of)

    def _learned(self, metric: str, kind: str, images: Labelled) -> SmallClassifier:
        report = self._progress and partial(self._progress, f"{metric}: learning from {kind}")
        return fitted_classifier(
            images.images, images.labels, self._classes, seed=self._seed, report=report
        )


def score_modes(
    fakes: np.ndarray,
    reals: np.ndarray,
    modes: np.ndarray,
    centres: np.ndarray,
    deviation: float | np.ndarray,
) -> dict[str, ClassScore]:
    """How many points lie nearest to the mode of a mixture that they were asked for, by full name.

    Args:
        fakes: points (N, D) that were generated.
        reals: points (N, D) of the mixture itself.
        modes: the mode (N,), int64, that each fake was asked for, and each real was drawn from.
        centres: of the modes, (K, D).
        deviation: their standard deviation, one for all or (K,).
    """
    scores = (
        accuracy_by_class(
            torch.from_numpy(nearest_modes(points, centres, deviation)), torch.from_numpy(modes)
        )
        for points in (fakes, reals)
    )
    return {str(MetricName("mode-accuracy", "pixels", len(fakes))): ClassScore(*scores)}


class _Seen:
    """Labelled images in a space, embedded once, when a metric asks."""

    def __init__(self, of: Labelled, space: FeatureSpace) -> None:
        self.of, self._space = of, space

    @cached_property
    def _embedded(self) -> tuple[Tensor, Tensor | None]:
        return self._space.features_and_logits(self.of.images)

    @property
    def features(self) -> Tensor:
        return self._embedded[0]

    @property
    def labels(self) -> Tensor:
        """The classes, where the features are."""
        return self.of.labels.to(self.features.device)

    @property
    def predicted(self) -> Tensor:
        logits = self._embedded[1]
        assert logits is not None
        return logits.argmax(dim=1)
