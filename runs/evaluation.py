"""How good a generator is: metrics of a run, or of any images, in one stated protocol."""

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from pydantic import BaseModel, Field, model_validator
from torch import Tensor

from egan.data import ImageSource, Source
from egan.data.gaussians import GaussianMixture
from fitness.evaluation import evaluate_images, evaluate_mixture, observe_real
from fitness.features import FeatureSpace, Progress, feature_space
from fitness.names import METRICS, MetricName, expand_metrics
from runs.mistakes import ConfigError

BATCH = 256
REALS_SEED = 0  # which reals are compared with is part of the protocol, not of a run


class CollapseConfig(BaseModel, extra="forbid", frozen=True):
    """An alarm: a metric that is worse than its best so far by a factor, and what to do then."""

    metric: str = Field("coverage", description="a short metric name, among evaluation.metrics")
    factor: float = Field(2.0, gt=1, description="how many times worse than the best is a collapse")
    action: Literal["warn", "stop", "rollback"] = Field(
        "warn", description="rollback: go on from the best snapshot, with the streams of now"
    )


class EvaluationConfig(BaseModel, extra="forbid", frozen=True):
    """Scoring of the averaged generator while it evolves, and keeping the best snapshot."""

    every: int | None = Field(None, ge=1, description="generations between scorings; null: never")
    metrics: tuple[str, ...] = ("fid", "kid", "prdc")
    space: str = Field("classifier", description="a feature space's name or package.module:Name")
    count: int = Field(1000, ge=2, description="generated images to score")
    best: str | None = Field(None, description="metric that decides `best`; null: the first one")
    survivors: bool = Field(False, description="score every survivor too, not the average alone")
    patience: int | None = Field(None, ge=1, description="scorings without a better one, then stop")
    collapse: CollapseConfig | None = None

    @model_validator(mode="after")
    def _metrics_are_known(self) -> "EvaluationConfig":
        expanded = expand_metrics(self.metrics)
        wanted = {"best": self.best, "collapse.metric": self.collapse and self.collapse.metric}
        for key, metric in wanted.items():
            if metric is not None and metric not in expanded:
                raise ValueError(
                    f"{key}: {metric!r} is not among the metrics: {', '.join(expanded)}"
                )
        return self

    @property
    def deciding(self) -> str:
        """The short name of the metric that decides which snapshot is the best."""
        return self.best or expand_metrics(self.metrics)[0]


def short_values(values: Mapping[str, float]) -> dict[str, float]:
    """Return values by short metric name: `fid` for `fid-classifier-1k`."""
    return {MetricName.parse(name).metric: value for name, value in values.items()}


def better(metric: str, one: float, other: float) -> bool:
    """Return whether `one` is the better value of a metric."""
    return one > other if METRICS[metric].higher_is_better else one < other


def collapsed(config: CollapseConfig, value: float, best: float) -> bool:
    """Return whether a value is worse than the best by the config's factor."""
    if METRICS[config.metric].higher_is_better:
        return value < best / config.factor
    return value > best * config.factor


class Evaluator:
    """Scores generators against one source of real data; the real side is observed once."""

    def __init__(
        self,
        source: Source,
        metrics: tuple[str, ...],
        space: str,
        count: int,
        *,
        weights: Path | None = None,
        device: str = "cpu",
        progress: Progress | None = None,
    ) -> None:
        """Make the feature space ready and observe the real images, from the cache if they are.

        Raises:
            ConfigError: the metrics, the space and the data do not fit each other.
        """
        self._source = source
        self._count = count
        self._progress = progress
        self._space: FeatureSpace | None = None
        try:
            self.metrics = self._fitting(expand_metrics(metrics))
            if isinstance(source, ImageSource):
                self._space = open_space(space, source, weights, device, progress)
                reals = min(count, len(source))
                self._real = None
                if any(METRICS[metric].against_real for metric in self.metrics):
                    self._real = observe_real(
                        reals_of(source, reals),
                        self._space,
                        self.metrics,
                        reals,
                        shape=source.shape,
                        cache=cache_folder(),
                        data=source.fingerprint,
                        progress=progress,
                    )
        except ValueError as error:
            raise ConfigError(f"evaluation: {error}") from None

    def score(self, sampler: Callable[[int, int], np.ndarray], seed: int) -> dict[str, float]:
        """Return the values of `sampler(count, seed)` by full metric name.

        Raises:
            ConfigError: the samples do not fit the real data.
        """
        return self.score_samples(sampler(self._count, seed), seed)

    def score_samples(self, samples: np.ndarray, seed: int = 0) -> dict[str, float]:
        """Return the values of samples, uint8 (N, H, W, C) or points (N, 2), by full name.

        Raises:
            ConfigError: the samples do not fit the real data.
        """
        try:
            if isinstance(self._source, GaussianMixture):
                values = evaluate_mixture(samples, self._source.centres, self._source.sigma)
                return {
                    k: v for k, v in values.items() if MetricName.parse(k).metric in self.metrics
                }
            assert self._space is not None
            images = np.ascontiguousarray(samples.transpose(0, 3, 1, 2))
            return evaluate_images(
                self._real,
                batches_of(images),
                self.metrics,
                self._space,
                count=len(images),
                seed=seed,
                progress=self._progress,
            )
        except ValueError as error:
            raise ConfigError(f"evaluation: {error}") from None

    def _fitting(self, metrics: tuple[str, ...]) -> tuple[str, ...]:
        """Refuse metrics of the other kind of data."""
        points = isinstance(self._source, GaussianMixture)
        wrong = [m for m in metrics if (METRICS[m].need == "points") != points]
        if wrong:
            known = [m for m in METRICS if (METRICS[m].need == "points") == points]
            raise ValueError(
                f"{', '.join(wrong)} cannot score {self._source.name}, whose samples are "
                f"{self._source.kind}; take some of: {', '.join(known)}"
            )
        return metrics


def open_space(
    name: str,
    source: ImageSource,
    weights: Path | None = None,
    device: str = "cpu",
    progress: Progress | None = None,
) -> FeatureSpace:
    """Return a feature space for a source's images; `classifier` learns from its labels.

    Raises:
        ValueError: no such space, or it needs what the source does not have.
    """
    labelled = None
    if name == "classifier" and source.labels is not None and weights is None:
        images, labels = np.ascontiguousarray(source.images), source.labels
        labelled = (torch.from_numpy(images), torch.from_numpy(labels))
    return feature_space(
        name,
        shape=source.shape,
        labelled=labelled,
        weights=weights,
        cache=cache_folder(),
        device=device,
        progress=progress,
    )


def reals_of(source: ImageSource, count: int) -> Iterator[Tensor]:
    """Yield `count` of a source's images in batches, always the same ones, in mixed order."""
    chosen = np.random.default_rng(REALS_SEED).permutation(len(source))[:count]
    for start in range(0, count, BATCH):
        yield torch.from_numpy(source.images[chosen[start : start + BATCH]])


def batches_of(images: np.ndarray) -> Iterator[Tensor]:
    """Yield images (N, C, H, W) in batches."""
    for start in range(0, len(images), BATCH):
        yield torch.from_numpy(images[start : start + BATCH].copy())


def cache_folder() -> Path:
    """Return where trained classifiers and statistics of real data are kept between runs."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "evolutionary-gan"
