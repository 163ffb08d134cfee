"""The config of a run; the model of each section stands beside what it configures."""

import yaml
from pydantic import BaseModel, Field, field_validator, model_validator

from egan.config import GameConfig
from egan.data.pair_config import AvatarsPartsConfig, PairBase
from fitness.metrics.names import BY_CLASS, GROUPS, METRICS, expand_metrics
from populations.selection import Selection, SelectionConfig, build_selection
from runs.common.addresses import absolute, without_secrets
from runs.config.evaluation import EvaluationConfig
from runs.config.execution import ExecutionConfig

TOP_LEVEL = (
    "name",
    "seed",
    "generations",
    "data",
    "backbone",
    "game",
    "population",
    "fitness",
    "selection",
    "discriminator",
    "optimizer",
    "execution",
    "evaluation",
    "checkpoint",
    "tracking",
)
MOST_GENERATIONS = 10**18 - 1  # their numbers have at most 18 digits wherever they are written
OF_TRANSLATIONS = ("targets", "parts")  # what metrics of translations need
IN_SIGHT = "holds a secret, which the run's folder and MLflow would show; "


class CheckpointConfig(BaseModel, extra="forbid", frozen=True):
    """Snapshots of the whole state; a sample grid is drawn with each."""

    every: int = Field(100, ge=1, description="write a snapshot every n-th generation")
    keep: int = Field(3, ge=1, description="how many of the newest snapshots are kept")
    grace: float = Field(
        20.0,
        ge=0,
        le=1e6,
        allow_inf_nan=False,
        description="seconds that the current generation has to finish after SIGTERM or Ctrl-C",
    )
    mirror: str | None = Field(
        None,
        pattern=r"^[a-z][a-z0-9+.-]*://.",
        description="where the run is copied to, such as s3://bucket/prefix; null: nowhere",
    )

    @field_validator("mirror")
    @classmethod
    def _no_secrets(cls, mirror: str | None) -> str | None:
        if mirror and without_secrets(mirror) != mirror:
            raise ValueError(
                f"{IN_SIGHT}the store's own environment variables or files are the place for it"
            )
        return mirror


class TrackingConfig(BaseModel, extra="forbid", frozen=True):
    """Logging to MLflow; the journal on disk is written in any case."""

    enabled: bool = Field(True, description="whether the run is logged to MLflow")
    uri: str | None = Field(
        None, description="MLflow's tracking URI; null: MLFLOW_TRACKING_URI, else MLflow's default"
    )
    experiment: str = Field(
        "egan", min_length=1, max_length=500, description="name of MLflow's experiment"
    )
    every: int = Field(1, ge=1, description="log every n-th generation")
    system_metrics: bool = Field(True, description="log the use of CPU, memory and GPU")
    model: bool = Field(True, description="log the evolved generator as an MLflow model (pyfunc)")

    @field_validator("uri")
    @classmethod
    def _absolute_without_secrets(cls, uri: str | None) -> str | None:
        if uri and without_secrets(uri) != uri:
            raise ValueError(f"{IN_SIGHT}MLFLOW_TRACKING_URI is the place for it")
        return absolute(uri) if uri else uri


class RunConfig(GameConfig):
    """Everything that a run is: with the journal's selections it determines every bit."""

    name: str = Field("run", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    generations: int = Field(1000, ge=1, le=MOST_GENERATIONS)
    selection: SelectionConfig = SelectionConfig()
    execution: ExecutionConfig = ExecutionConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    checkpoint: CheckpointConfig = CheckpointConfig()
    tracking: TrackingConfig = TrackingConfig()

    @model_validator(mode="after")
    def _layers_for_winograd(self) -> "RunConfig":
        name = self.backbone.name
        if self.execution.precision == "winograd" and name != "dcgan":
            raise ValueError(f"execution.precision: winograd is for backbone dcgan, not {name}")
        return self

    @model_validator(mode="after")
    def _classes_to_score(self) -> "RunConfig":
        by_class = [name for name in expand_metrics(self.evaluation.metrics) if name in BY_CLASS]
        if by_class and self.data.condition != "labels":
            raise ValueError(
                f"evaluation.metrics: {', '.join(by_class)} ask for samples of each class: set "
                "data.condition=labels, or leave them out"
            )
        return self

    @model_validator(mode="after")
    def _translations_to_score(self) -> "RunConfig":
        named, usable = expand_metrics(self.evaluation.metrics), GROUPS["translation"]
        if isinstance(self.data, AvatarsPartsConfig):
            usable = (*usable, *GROUPS["parts"])
        if not isinstance(self.data, PairBase):
            if wrong := [name for name in named if METRICS[name].need in OF_TRANSLATIONS]:
                raise ValueError(
                    f"evaluation.metrics: {', '.join(wrong)} compare translations with what they "
                    f"should be, and data.source {self.data.source} has none; leave them out"
                )
        elif self.evaluation.every is not None:
            if wrong := [name for name in named if name not in usable]:
                raise ValueError(
                    f"evaluation.metrics: {', '.join(wrong)} do not score translations; take some "
                    f"of {', '.join(usable)}, or all of them: evaluation.metrics=[translation]"
                )
            if not self.data.held_out:
                raise ValueError(
                    "evaluation.every: translations are scored on what is held out, and "
                    "data.held_out is 0; set it, or evaluation.every=null"
                )
        return self

    @model_validator(mode="after")
    def _enough_children(self) -> "RunConfig":
        if self.selection.name == "nsga2" and self.population.children < 2:
            raise ValueError("selection.name: nsga2 needs at least 2 children to choose from")
        if not self._ranks and self.population.crossover is not None:
            raise ValueError(
                f"selection.name: {self.selection.name} ranks no children, so there are no two "
                "best ones for population.crossover; set it to null"
            )
        if self.selection.name == "bandit" and len(self.population.mutations) < 2:
            raise ValueError("selection.name: bandit needs two mutations or more to choose from")
        if self.selection.name == "bandit" and self.evaluation.every is None:
            raise ValueError(
                "selection.name: bandit chooses a mutation at every scoring; set evaluation.every, "
                "for example to 50"
            )
        return self

    @property
    def _ranks(self) -> bool:
        return self.selection.name in ("egan", "nsga2")

    @property
    def children(self) -> int:
        """Return how many children a generation makes."""
        population = self.population
        return population.children if self._ranks else population.survivors

    @property
    def choosing(self) -> bool:
        """Whether a generation has more children than survive."""
        return self.children > self.population.survivors

    def scored(self, generation: int) -> bool:
        """Return whether the children of a generation are scored: to choose, or for the record."""
        return self.choosing or generation % self.fitness.every == 0

    def policy(self) -> Selection:
        """Return the selection policy."""
        ranked = self.choosing or self.fitness.every == 1
        mu, weights = self.population.survivors, self.fitness.weights
        return build_selection(self.selection, mu, weights, ranked)

    def to_yaml(self) -> str:
        """Return the whole configuration as YAML that `load_config` reads."""
        values = self.model_dump(mode="json")
        return yaml.safe_dump({key: values[key] for key in TOP_LEVEL}, sort_keys=False)
