"""Metrics of samples that are asked for by class, against real data that say theirs."""

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from egan.data import ImageSource, Source
from egan.data.gaussians import GaussianMixture
from egan.streams import Purpose
from fitness.classes import ClassComparison, ClassScore, Labelled, score_modes
from fitness.features import FeatureSpace, Progress
from fitness.metrics.classes import split_by_class
from fitness.statistics import Statistics
from populations.seeding import numpy_stream
from runs.evaluation.reals import REALS_SEED
from runs.store.class_values import ClassValues

# Gives batches of samples of the classes (N,), int64, that it is called with.
Draw = Callable[[Tensor], Iterable[Tensor]]


class ClassScorer(Protocol):
    """Scores what a generator makes of each class."""

    def __call__(self, draw: Draw) -> dict[str, ClassScore]:
        """Return the values by full metric name."""


class ImageClasses:
    """Scores images by class against two halves of labelled reals, see `fitness.classes`."""

    def __init__(
        self,
        real: ImageSource,
        metrics: Sequence[str],
        space: FeatureSpace,
        count: int,
        progress: Progress | None = None,
    ) -> None:
        """Choose the reals, at most `count` in each half.

        Raises:
            ValueError: they have no labels, or too few images of some class.
        """
        if real.labels is None:
            raise ValueError(
                f"{', '.join(metrics)} compare class by class, and {real.name} has no labels"
            )
        stream = np.random.default_rng(REALS_SEED)
        compared, held_out = (
            Labelled(torch.from_numpy(real.images[places]), torch.from_numpy(real.labels[places]))
            for places in split_by_class(real.labels, count, stream)
        )
        # The classifiers' seed belongs to the protocol, as the choice of reals does.
        self._comparison = ClassComparison(
            compared, held_out, metrics, space, seed=REALS_SEED, progress=progress
        )
        self._progress = progress

    def __call__(self, draw: Draw) -> dict[str, ClassScore]:
        """Return the values by full name."""
        labels = self._comparison.labels
        images: list[Tensor] = []
        for batch in draw(labels):
            images.append(batch.cpu())
            if self._progress is not None:
                self._progress("images by class", sum(map(len, images)), len(labels))
        return self._comparison.score(torch.cat(images))


class PointClasses:
    """Scores points by the mode that they were asked for; the ceiling is the mixture itself."""

    def __init__(self, real: GaussianMixture, count: int) -> None:
        self._real = real
        self._points, self._modes = real.sample(
            count, numpy_stream(REALS_SEED, 0, Purpose.EVALUATION_DATA)
        )

    def __call__(self, draw: Draw) -> dict[str, ClassScore]:
        """Return the values by full name."""
        fakes = torch.cat(list(draw(torch.from_numpy(self._modes)))).cpu().numpy()
        real = self._real
        return score_modes(fakes, self._points, self._modes, real.centres, real.sigma)


def check_classes(
    real: Source | Statistics, metrics: Sequence[str], classes: tuple[str, ...] | None
) -> None:
    """Refuse metrics by class of what cannot be asked for the real data's classes.

    Raises:
        ValueError: says what the samples' classes are, and the real ones'.
    """
    told = ", ".join(metrics)
    if isinstance(real, Statistics):
        raise ValueError(f"{told} compare class by class; statistics hold no classes: give images")
    if classes is None:
        raise ValueError(
            f"{told} ask for samples of each class, and these cannot be asked for: a run needs "
            "data.condition=labels, images need labels"
        )
    ours = class_names(real)
    if ours != classes:
        raise ValueError(
            f"{told}: the classes that are asked for are {_some(classes)}, those of {real.name} "
            f"are {_some(ours)}; both must have the same classes in the same order"
        )


def class_names(real: Source) -> tuple[str, ...]:
    """Return the names of real samples' classes, numbers where they have none; (): no classes."""
    if isinstance(real, GaussianMixture):
        return tuple(map(str, range(len(real.centres))))
    if real.classes is not None:
        return real.classes
    return () if real.labels is None else tuple(map(str, range(int(real.labels.max()) + 1)))


def _some(names: tuple[str, ...], most: int = 12) -> str:
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "") or "none"


def values_by_class(
    scores: dict[str, ClassScore], classes: tuple[str, ...]
) -> dict[str, ClassValues]:
    """Return scores by the classes' names, by full metric name."""
    return {
        metric: ClassValues(
            score.reals.value,
            {
                classes[label]: (value, score.reals.classes[label])
                for label, value in score.fakes.classes.items()
            },
        )
        for metric, score in scores.items()
    }
