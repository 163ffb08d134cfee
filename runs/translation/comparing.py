"""Translations beside what they should be, and the metrics of them.

Pairs are compared with their partners, image by image. Two sets have none, except for built-in
ones, whose test parts hide them: there each way is compared with what it should give, and there and
back with where it began. KID compares the sets of images.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch

from egan.data.pairs import PairSource
from fitness.features import FeatureSpace, Progress
from fitness.metrics.fidelity import FIDELITY
from fitness.metrics.kid import kernel_distance
from fitness.metrics.names import GROUPS, MetricName
from fitness.metrics.ssim import SMALLEST
from runs.evaluation.mistakes import user_mistakes
from runs.evaluation.spaces import feature_space
from runs.sampling.translation_grid import to_bytes
from runs.sampling.translator import Translator

KID = "kid"
METRICS = GROUPS["translation"]
SPACE = "pixels"  # which needs no weights
CHUNK = 64
THERE_AND_BACK = ("a-to-a", "b-to-b")
SpaceFor = Callable[[tuple[int, ...]], FeatureSpace]  # of images (C, H, W)


@dataclass(frozen=True)
class Compared:
    """One way of translation and what it made of some images, uint8 (N, C, H, W).

    Attributes:
        name: "" for pairs; "a-to-b", "b-to-a", or "a-to-a", "b-to-b" for there and back.
        given: what was translated.
        made: the translations.
        wanted: what each should be; None: nobody knows.
        others: images of the set that translations should look like.
    """

    name: str
    given: np.ndarray
    made: np.ndarray
    wanted: np.ndarray | None
    others: np.ndarray

    def scores(self, metrics: Sequence[str]) -> dict[str, np.ndarray]:
        """Return the scores (N,) of each image that has a target, by metric."""
        if self.wanted is None:
            return {}
        pair = torch.from_numpy(self.made), torch.from_numpy(self.wanted)
        return {
            name: FIDELITY[name](*pair).numpy()
            for name in metrics
            if name in FIDELITY and is_large_enough(name, self.made.shape[2:])
        }


def is_large_enough(metric: str, size: Sequence[int]) -> bool:
    """Tell whether a metric is defined for images of (height, width)."""
    return metric != "target-ssim" or min(size) >= SMALLEST["ssim"]


def compared(
    translator: Translator, source: PairSource, seed: int = 0, progress: Progress | None = None
) -> list[Compared]:
    """Return the ways of a translator on all images of a source."""
    a, b = source.a, source.b
    if source.aligned:
        given, wanted = (b, a) if translator.backwards else (a, b)
        made = _made(translator, given, seed, progress, "translations")
        return [Compared("", to_bytes(given), made, to_bytes(wanted), to_bytes(wanted))]
    back = translator.reversed()
    ways = []
    for one, other, images, others, names in (
        (translator, back, a, b, ("a-to-b", "a-to-a")),
        (back, translator, b, a, ("b-to-a", "b-to-b")),
    ):
        there = _made(one, images, seed, progress, names[0])
        again = _made(other, there, seed, progress, names[1])
        own, target = to_bytes(images), to_bytes(others)
        ways.append(Compared(names[0], own, there, target if source.counterparts else None, target))
        ways.append(Compared(names[1], own, again, own, own))
    return ways


def _made(
    translator: Translator, images: np.ndarray, seed: int, progress: Progress | None, stage: str
) -> np.ndarray:
    parts = []
    for start in range(0, len(images), CHUNK):
        part = np.array(images[start : start + CHUNK])
        parts.append(translator.pictures(part, seed, start))
        if progress:
            progress(stage, min(start + CHUNK, len(images)), len(images))
    return np.concatenate(parts)


def values_of(
    ways: Sequence[Compared], metrics: Sequence[str], space_for: SpaceFor
) -> dict[str, float]:
    """Return the metrics of a translator's ways by full name; `space_for` gives KID's space."""
    values: dict[str, float] = {}
    for way in ways:
        for name, scores in way.scores(metrics).items():
            full = MetricName(name, SPACE, len(scores), way=way.name)
            values[str(full)] = float(scores.mean())
        if KID in metrics and way.name not in THERE_AND_BACK:
            space = space_for(way.made.shape[1:])
            full = MetricName(KID, space.name, len(way.made), way=way.name)
            values[str(full)] = _kid(way, space)
    return values


def _kid(way: Compared, space: FeatureSpace) -> float:
    with user_mistakes():
        real, fake = (
            torch.cat([space(part) for part in torch.split(torch.from_numpy(images), CHUNK)])
            for images in (way.others, way.made)
        )
        return kernel_distance(real.double(), fake.double())


def space_opener(name: str, weights: Path | None, device: str | torch.device) -> SpaceFor:
    """Return what opens a feature space for images of a shape, each once.

    It raises ConfigError where there is no such space, or where it lacks weights or labels.
    """

    @cache
    def space_for(shape: tuple[int, ...]) -> FeatureSpace:
        with user_mistakes():
            return feature_space(name, shape=shape, weights=weights, device=device)

    return space_for
