"""When a run's generator is scored while it evolves, by what, and what follows from the scores."""

from typing import Literal

from pydantic import BaseModel, Field, field_validator, model_validator

from fitness.metrics.names import METRICS, expand_metrics
from runs.common.hints import hint

Action = Literal["warn", "stop", "fork"]


class CollapseConfig(BaseModel, extra="forbid", frozen=True):
    """An alarm: a metric that is worse than its best so far by a factor, and what to do then."""

    metric: str = Field(
        "coverage", description="the metric that is watched; one of evaluation.metrics"
    )
    factor: float = Field(
        2.0,
        gt=1,
        description="the run counts as collapsed when the metric is this many times worse than "
        "its best",
    )
    action: Action = Field(
        "warn",
        description="what to do then. fork: end this run and continue from its best snapshot in a"
        " new folder beside it",
    )
    forks: int = Field(3, ge=0, description="consecutive forks before the run stops")

    @field_validator("metric")
    @classmethod
    def _has_a_zero(cls, metric: str) -> str:
        if metric in ("kid", "ikid", "mmd"):
            raise ValueError(
                f"{metric} is unbiased and may be negative, so no factor makes it worse; "
                "take fid or coverage"
            )
        return metric


class EvaluationConfig(BaseModel, extra="forbid", frozen=True):
    """Scoring of the averaged generator while it evolves, and keeping the best snapshot."""

    every: int | None = Field(None, ge=1, description="score every n-th generation; null: never")
    metrics: tuple[str, ...] = ("fid", "kid", "prdc")
    space: str = Field("classifier", description="a feature space's name or package.module:Name")
    count: int = Field(1000, ge=2, description="number of images generated for each scoring")
    best: str | None = Field(
        None,
        description="the metric that decides which snapshot is the best; null: the first of "
        "metrics",
    )
    survivors: bool = Field(
        False, description="also score each survivor, not only the averaged generator"
    )
    patience: int | None = Field(
        None,
        ge=1,
        description="stop after this many consecutive scorings without an improvement; null: never",
    )
    collapse: CollapseConfig | None = None

    @model_validator(mode="after")
    def _metrics_fit(self) -> "EvaluationConfig":
        expanded = expand_metrics(self.metrics)
        if of_latents := [metric for metric in expanded if METRICS[metric].need == "latents"]:
            raise ValueError(
                f"metrics: {', '.join(of_latents)} look into a generator's latent space, which is "
                f"for `{hint('evaluate', 'RUN_DIR', metrics=of_latents[0])}`, not for scorings "
                "while a run evolves"
            )
        wanted = {"best": self.best, "collapse.metric": self.collapse and self.collapse.metric}
        for key, metric in wanted.items():
            if metric is not None and metric not in expanded:
                raise ValueError(
                    f"{key}: {metric!r} is not among the metrics: {', '.join(expanded)}"
                )
        for metric in expanded:
            if self.count < METRICS[metric].minimum:
                raise ValueError(
                    f"count: {metric} needs at least {METRICS[metric].minimum} images, "
                    f"not {self.count}"
                )
        return self

    @property
    def deciding(self) -> str:
        """The short name of the metric that decides which snapshot is the best."""
        return self.best or expand_metrics(self.metrics)[0]

    def scores(self, generation: int) -> bool:
        """Return whether the state that a generation starts from is to be scored."""
        return self.every is not None and generation > 0 and generation % self.every == 0
