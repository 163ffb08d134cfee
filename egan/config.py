"""The configuration of a game: every key that decides the bits, except those of selection."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from egan.backbones import BackboneConfig
from egan.data.config import DataConfig
from egan.data.pair_config import PairBase
from egan.discriminator import UNANCHORED, DiscriminatorConfig, misfit
from egan.games.rules import GameRules
from egan.imports import imports
from egan.mutations import canonical, resolve
from egan.optimizer import OptimizerConfig
from egan.ramp import NUMBER, NUMBER_OR_RAMP, RAMP, Ramp, within
from egan.weights_file import FirstParent
from fitness.scores import FitnessConfig
from populations.individual import Operator

AVERAGE_WARM_UP = 0.05  # the average's half-life is at most this part of the images shown
Kimg = Annotated[float, Field(gt=0, allow_inf_nan=False)]
HalfLife = Annotated[
    Annotated[Kimg | Literal["auto"], NUMBER]
    | Annotated[Ramp, AfterValidator(within(0, 1e9)), RAMP],
    NUMBER_OR_RAMP,
]


def average_by_rule(batch: int) -> float:
    """Return the average's half-life in thousands of images, that of StyleGAN2-ADA's code."""
    return batch * 10 / 32


class PopulationConfig(BaseModel, extra="forbid", frozen=True):
    """How many parents there are and how they are varied."""

    survivors: int = Field(1, ge=1, description="parents per generation (mu in the paper)")
    mutations: tuple[str, ...] = ("minimax", "heuristic", "least_squares")
    batch: int = Field(
        32,
        ge=1,
        description="batch size: fakes per step of a mutation and per step of the discriminator",
    )
    steps: int = Field(
        1, ge=1, description="optimiser steps of a mutation before the child is evaluated"
    )
    crossover: Literal["distillation"] | None = Field(
        None,
        description="also cross the two best children. distillation: a child of the better one "
        "learns from each noise the better one of their fakes, as in IE-GAN",
    )
    crossover_diversity: float = Field(
        0.05,
        allow_inf_nan=False,
        description="weight of a fake's difference to another one, beside its logit, in what is "
        "better for a crossover (lambda in IE-GAN)",
    )
    noise: Literal["common", "fresh"] = Field(
        "common",
        description="common: siblings share all noise, so that selection compares them under "
        "equal conditions; fresh: each child draws its own noise, as in the published"
        " code",
    )
    reuse_fakes: bool = Field(
        False,
        description="vary the parent on the fakes that the critics were trained on last, as most "
        "GAN programs do, which saves the generators' forward pass, except where steps are "
        "recorded as CUDA graphs; needs one survivor, one step, common noise, and networks that "
        "do not grow",
    )
    first_parent: FirstParent | None = Field(
        None, description="folder of a generator whose weights the first parent starts with"
    )
    average: float = Field(
        0.999, ge=0, lt=1, description="decay per generation of the averaged generator's weights"
    )
    average_kimg: HalfLife | None = Field(
        None,
        description="replaces average: half-life of the averaged generator's weights in thousands "
        "of images shown to D, at most 5 % of those shown so far; auto: batch x 10/32; or a "
        "schedule {from, to, over}, without that limit",
    )

    @property
    def operators(self) -> tuple[Operator, ...]:
        """What makes children: the mutations, and a crossover of two of their children."""
        crossover = () if self.crossover is None else (Operator(self.crossover, arity=2),)
        return (*map(Operator, self.mutations), *crossover)

    @property
    def children(self) -> int:
        """How many children all parents have: those of the mutations, and a crossover's one."""
        return self.survivors * len(self.mutations) + (self.crossover is not None)

    @field_validator("mutations")
    @classmethod
    def _known(cls, names: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if not names:
            raise ValueError("at least one mutation is needed")
        names = tuple(map(canonical, names))
        if len(set(names)) < len(names):
            raise ValueError(f"a mutation is named twice: {', '.join(names)}")
        for name in names:
            if imports(info) or ":" not in name:
                resolve(name)
        return names

    @model_validator(mode="after")
    def _two_to_cross(self) -> "PopulationConfig":
        if self.crossover is not None and self.survivors * len(self.mutations) < 2:
            raise ValueError(
                f"crossover: {self.crossover} crosses two children, but {self.mutations[0]} of one "
                "survivor makes one; name another mutation, or set survivors to 2 or more"
            )
        if self.crossover in self.mutations:
            raise ValueError(f"mutations: {self.crossover} is the name of a crossover")
        return self

    @property
    def against_reuse(self) -> list[str]:
        """What of the population keeps the critics' last fakes from being used again."""
        asked = {
            f"survivors is {self.survivors}": self.survivors > 1,
            f"steps is {self.steps}": self.steps > 1,
            f"noise is {self.noise}": self.noise != "common",
            f"crossover is {self.crossover}": self.crossover is not None,
        }
        return [what for what, is_so in asked.items() if is_so]

    @model_validator(mode="after")
    def _one_parent_made_all_fakes(self) -> "PopulationConfig":
        if self.reuse_fakes and (misfits := self.against_reuse):
            raise ValueError(
                "reuse_fakes: all children of a generation begin from the one batch of fakes that "
                f"the critics saw last, but {' and '.join(misfits)}; leave reuse_fakes out"
            )
        return self

    def average_decay(self, generation: int, shown: int, batch: int, updates: int) -> float:
        """Return how much of the average a generation keeps, after `shown` images; see `average`.

        The average starts fast, so that it forgets the random initial weights. By images shown, it
        is the published half-life (1710.10196), which grows up to its value as in StyleGAN2's code.
        """
        if self.average_kimg is None:
            return min(self.average, (1 + generation) / (10 + generation))
        if isinstance(self.average_kimg, Ramp):
            half_life = 1000 * self.average_kimg.at(shown)
        else:
            kimg = average_by_rule(batch) if self.average_kimg == "auto" else self.average_kimg
            half_life = min(1000 * kimg, AVERAGE_WARM_UP * shown)
        return float(0.5 ** (updates * batch / half_life)) if half_life else 0.0


class GameConfig(BaseModel, extra="forbid", frozen=True):
    """The part of a config that decides results: data, networks, mutations, scores."""

    seed: int = Field(0, ge=0, lt=2**63)
    data: DataConfig
    backbone: BackboneConfig
    game: GameRules = GameRules()
    population: PopulationConfig = PopulationConfig()
    fitness: FitnessConfig = FitnessConfig()
    discriminator: DiscriminatorConfig = DiscriminatorConfig()
    optimizer: OptimizerConfig = OptimizerConfig()

    @model_validator(mode="after")
    def _every_survivor_is_seen(self) -> "GameConfig":
        for key, batch in self.backbone.batches(self.population.batch).items():
            least = self.backbone.least_fakes
            if batch < least * self.population.survivors:
                raise ValueError(
                    f"{key} is {batch}, but the discriminator's batch needs at least {least} "
                    f"fake(s) of each of the {self.population.survivors} survivors"
                )
        return self

    @model_validator(mode="after")
    def _the_backbone_takes_the_batches(self) -> "GameConfig":
        batches = dict(self.backbone.batches(self.population.batch))
        for key, batch in (batches | {"fitness.batch": self.fitness.batch}).items():
            self.backbone.check_batch(key, batch)
        return self

    @model_validator(mode="after")
    def _crossed_networks_do_not_grow(self) -> "GameConfig":
        if self.population.crossover and self.backbone.grows:
            raise ValueError(
                f"population.crossover: {self.population.crossover} takes one step more, but "
                f"backbone {self.backbone.name} grows by the number of steps; leave it out"
            )
        return self

    @model_validator(mode="after")
    def _reused_fakes_do_not_grow(self) -> "GameConfig":
        if self.population.reuse_fakes and self.backbone.grows:
            raise ValueError(
                "population.reuse_fakes takes fakes of the generation before, whose networks may "
                f"be smaller: backbone {self.backbone.name} grows; leave it out"
            )
        return self

    @model_validator(mode="after")
    def _mutations_read_what_d_says(self) -> "GameConfig":
        loss = self.discriminator.loss
        line = misfit(loss, self.population.mutations)
        if line and loss in UNANCHORED:
            raise ValueError(f"{line}, which take a logit for a probability")
        return self

    @model_validator(mode="after")
    def _conditions_are_there(self) -> "GameConfig":
        asked = {
            "backbone.condition": getattr(self.backbone, "condition", None),
            "game.ac_weight": self.game.ac_weight,
            "game.condition_ramp": self.game.condition_ramp,
        }
        for key, value in asked.items():
            if value and self.data.condition is None:
                raise ValueError(
                    f"{key} is {value}, but there are no conditions: set data.condition=labels "
                    f"(or tags), or leave {key} out"
                )
        return self

    @model_validator(mode="after")
    def _images_are_augmented(self) -> "GameConfig":
        augment, source = self.discriminator.augment, self.data.source
        if augment != "none" and (source == "gaussians" or isinstance(self.data, PairBase)):
            raise ValueError(
                f"discriminator.augment is {augment}, which changes images that are made from "
                f"noise, and data.source is {source}; leave it out"
            )
        return self

    @model_validator(mode="after")
    def _something_is_descended(self) -> "GameConfig":
        if "no_adversary" in self.population.mutations and not self._has_l1():
            raise ValueError(
                "population.mutations: no_adversary leaves the critics out, and nothing else is "
                "descended here: it is the control of translation, beside game.l1 or game.cycle; "
                "take another mutation"
            )
        return self

    @model_validator(mode="after")
    def _there_are_gradients_to_add(self) -> "GameConfig":
        added = self.game.ac_weight or getattr(self.backbone, "path_weight", 0) or self._has_l1()
        if not (self.game.gradient_ratio or added):
            raise ValueError(
                "game.gradient_ratio is false, but children descend the adversarial loss alone; "
                "leave it out"
            )
        return self

    def _has_l1(self) -> bool:
        """Tell whether children descend the distance of translations to what they should be."""
        return isinstance(self.data, PairBase) and bool(self.game.l1 or not self.data.aligned)

    @property
    def spared_passes(self) -> str | None:
        """A line on passes through translators that one mutation does not need; None: none."""
        population = self.population
        if not (self._has_l1() and self.game.gradient_ratio) or population.reuse_fakes:
            return None
        if population.children > 1 or population.against_reuse:
            return None
        return (
            "one mutation makes all children: --set game.gradient_ratio=false and --set "
            "population.reuse_fakes=true leave out two passes through the generators in each "
            "generation, a quarter of the time or more (where steps are recorded as CUDA "
            "graphs, the first alone saves time); the bits are then others"
        )

    @model_validator(mode="after")
    def _something_is_reconstructed(self) -> "GameConfig":
        if self.fitness.reconstruction is not None and not isinstance(self.data, PairBase):
            raise ValueError(
                f"fitness.reconstruction is {self.fitness.reconstruction:g}, but data.source "
                f"{self.data.source} says of no fake what it should be: it is for translation; "
                "leave it out"
            )
        return self


STRENGTH = "discriminator.augment_strength"  # which ADA adapts
# What may change while a run goes on: it is state, in the snapshot and the checksum.
SETTINGS = (
    "optimizer.learning_rate",
    "optimizer.discriminator_learning_rate",
    "discriminator.r1",
    "discriminator.r2",
    "discriminator.gradient_penalty",
    STRENGTH,
    "fitness.gamma",
)


def with_settings(config: GameConfig, settings: Mapping[str, float]) -> GameConfig:
    """Return the config with the settings of a state, which are keys of `SETTINGS`.

    Raises:
        ValueError: a key that cannot change while a run goes on.
    """
    for key, value in settings.items():
        if key not in SETTINGS:
            raise ValueError(f"{key} cannot change while a run goes on; {', '.join(SETTINGS)} can")
        section, name = key.split(".")
        changed = getattr(config, section).model_copy(update={name: value})
        config = config.model_copy(update={section: changed})
    return config


def adapted_settings(
    config: GameConfig, batch: int, report: Mapping[str, float]
) -> dict[str, float]:
    """Return the settings that a generation changes by itself, from the critics' report: ADA's."""
    if config.discriminator.augment != "ada":
        return {}
    images = batch * config.discriminator.updates
    return {STRENGTH: config.discriminator.adapted(report["sure"], images)}
