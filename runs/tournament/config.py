"""A tournament's configuration: the run that it starts from, and how islands compete."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, Field, field_validator, model_validator

from egan.backbones import TranslationBackbone
from runs.common.errors import ConfigError
from runs.common.files import read_text
from runs.common.folders import refuse_another
from runs.common.formats import STAMP, format_of, upgraded, without_head
from runs.config.explaining import checked
from runs.config.loading import changes_of, check_comparable, load_config, validate, with_changes
from runs.config.safe_yaml import LARGEST_CONFIG, parse_yaml
from runs.config.schema import RunConfig
from runs.config.values import resolved
from runs.presets import preset_names
from runs.tournament.genes import GeneConfig, Genes, Prior, check_keys, genes_of
from runs.tournament.priors import built_in


class ScheduleConfig(BaseModel, extra="forbid", frozen=True):
    """How many islands there are in each stage, and when they copy each other."""

    name: Literal["tournament", "halving", "constant", "best-of"] = Field(
        "tournament",
        description="tournament: the worst islands copy the best, and the better half stays after"
        " each stage; halving: only the better half stays; constant: only copying "
        "(PBT); best-of: neither",
    )
    interval: int | Literal["once"] = Field(
        "once",
        description="optimiser steps of an island between two events of a stage; once: one event "
        "in the middle of each stage",
    )
    blind: bool = Field(
        False, description="choose at random, as a control: fitness is measured but not used"
    )
    final_rate: float | None = Field(
        0.02,
        ge=0,
        le=1,
        description="factor to which the learning rates fall linearly in the last stage; null: "
        "they do not fall",
    )

    @field_validator("interval")
    @classmethod
    def _positive(cls, interval: int | str) -> int | str:
        if isinstance(interval, int) and interval < 1:
            raise ValueError(f"at least 1 step is needed, not {interval}")
        return interval

    @property
    def halves(self) -> bool:
        """Whether half of the islands end with each stage."""
        return self.name in ("tournament", "halving")

    @property
    def copies(self) -> bool:
        """Whether islands copy each other."""
        return self.name in ("tournament", "constant")


class JudgeConfig(BaseModel, extra="forbid", frozen=True):
    """How fitness is measured: MMD between the averaged generator and held-out reals."""

    metric: Literal["mmd", "kid"] = Field(
        "mmd",
        description="mmd: Gaussian kernels of several widths; kid: the polynomial kernel of KID, "
        "for images",
    )

    samples: int = Field(
        1024, ge=2, le=100_000, description="number of samples generated for each judgement"
    )
    reals: int | None = Field(
        None,
        ge=2,
        le=100_000,
        description="number of held-out reals; null: 2,048, or at most a seventh of a finite data"
        " set",
    )
    space: str | None = Field(
        None, description="feature space of images; null: that of the base's evaluation"
    )


class InsuranceConfig(BaseModel, extra="forbid", frozen=True):
    """The best state so far is kept, in case the last island collapses."""

    enabled: bool = True
    checks: int = Field(
        8,
        ge=1,
        le=1000,
        description="number of times that the last island is judged in the last stage",
    )
    factor: float = Field(
        4.0,
        gt=1,
        description="the last island counts as collapsed when its fitness is this many times "
        "worse than the best",
    )


class TournamentConfig(BaseModel, extra="forbid", frozen=True):
    """A tournament; `base.seed` is its seed, `base.name` its name."""

    base: str | dict[str, Any] = Field(
        description="a preset's name, a config file's path, or a whole config"
    )
    count: int = Field(16, ge=2, le=1024, description="number of islands at the start")
    steps: int | None = Field(
        None,
        ge=1,
        description="optimiser steps of all islands (generators and discriminators) and of all "
        "judgements together; null: as many as one run of the base takes",
    )
    genes: dict[str, GeneConfig] = Field(
        {},
        description="the settings in which islands differ, by key; or the built-in priors near, "
        "which is the default, or wide",
    )
    schedule: ScheduleConfig = ScheduleConfig()
    judge: JudgeConfig = JudgeConfig()
    insurance: InsuranceConfig = InsuranceConfig()

    @field_validator("genes", mode="before")
    @classmethod
    def _short(cls, genes: Any) -> Any:
        if isinstance(genes, Mapping):  # a list is short for choices
            return {
                key: {"choices": gene} if isinstance(gene, list | tuple) else gene
                for key, gene in genes.items()
            }
        return genes

    @model_validator(mode="after")
    def _halves(self) -> "TournamentConfig":
        if self.schedule.halves and self.count & (self.count - 1):
            raise ValueError(
                f"count: {self.count} cannot be halved down to 1; take a power of two, such as 8 "
                "or 16, or schedule.name: constant or best-of"
            )
        return self


OWN = tuple(TournamentConfig.model_fields)


@dataclass(frozen=True)
class Tournament:
    """A checked tournament, with its base as a whole config."""

    config: TournamentConfig
    base: RunConfig

    @property
    def name(self) -> str:
        """The tournament's name."""
        return self.base.name

    @property
    def prior(self) -> Prior:
        """The genes' priors by key."""
        return self.config.genes

    @cached_property
    def given(self) -> Genes:
        """The values that the base has for the genes.

        Raises:
            ConfigError: see `genes_of`.
        """
        return genes_of(self.base, self.prior)

    def check(self) -> None:
        """Refuse genes that the base cannot take.

        Raises:
            ConfigError: names the gene.
        """
        check_keys(self.prior)
        for key, gene in self.prior.items():
            value = self.given[key]
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if gene.choices is None and not number:
                raise ConfigError(
                    f"genes.{key}: the base has {value!r}, which is no number that could be "
                    "changed; give choices"
                )

    def to_yaml(self) -> str:
        """Return the tournament with its whole base config."""
        values = self.config.model_dump(mode="json", exclude={"genes"})
        values["genes"] = {
            key: gene.model_dump(mode="json", by_alias=True, exclude_none=True)
            for key, gene in self.prior.items()
        }
        values["base"] = yaml.safe_load(self.base.to_yaml())
        return yaml.safe_dump(STAMP | values, sort_keys=False)


def load_tournament(
    source: str | Path, overrides: Iterable[str] = (), **settings: Any
) -> Tournament:
    """Return the tournament of a YAML file with a key `base`, or of a run's preset or config.

    Args:
        source: a tournament's YAML file; a preset's name or a config file's path, which becomes the
            base of a tournament.
        overrides: texts `key=value`; a key of the tournament, such as `schedule.interval`, or else
            of its base.
        settings: of the tournament, such as `count`; `seed` is the base's. None changes nothing.

    Raises:
        ConfigError: no such source, an unknown key, a value that is not allowed.
    """
    values, folder = _read(source)
    changes = changes_of(overrides)
    own = [(key, value) for key, value in changes if key.partition(".")[0] in OWN]
    seed = settings.pop("seed", None)
    own += [(key, value) for key, value in settings.items() if value is not None]
    values = with_changes(values, own, TournamentConfig)
    base = validate_base(values["base"], folder)
    changed = [(key, value) for key, value in changes if key.partition(".")[0] not in OWN]
    changed += [] if seed is None else [("seed", seed)]
    if changed:
        present = base.model_dump(mode="json")
        base = validate(with_changes(present, changed), str(source))
    return tournament_of(values, base, str(source))


def parse_tournament(text: str, source: str, folder: Path) -> Tournament:
    """Return the tournament of a YAML text; a base config's path is relative to `folder`.

    Raises:
        ConfigError: see `load_tournament`.
    """
    values = parse_yaml(text, source)
    values = without_head(upgraded("tournament", values, format_of(values, source)))
    if "base" not in values:
        raise ConfigError(f"the tournament {source} is not valid:\n  base: is required")
    return tournament_of(values, validate_base(values["base"], folder), source)


def tournament_of(values: Mapping[str, Any], base: RunConfig, source: str) -> Tournament:
    """Return the checked tournament of its values and its base.

    Raises:
        ConfigError: see `load_tournament`.
    """
    if isinstance(base.backbone, TranslationBackbone):
        raise ConfigError(
            f"the tournament {source}: backbone.name: {base.backbone.name} translates images, and "
            "islands are judged by samples that generators make from noise; take another base"
        )
    whole = {**values, "base": base.model_dump(mode="json")}
    genes = whole.get("genes", "near")
    if isinstance(genes, str):
        whole["genes"] = built_in(genes, base)
    elif isinstance(genes, Mapping):
        whole["genes"] = resolved(genes)
    check_comparable(base, f"the tournament {source}")
    config = checked(TournamentConfig, whole, f"the tournament {source}")
    tournament = Tournament(config, base)
    tournament.check()
    return tournament


def validate_base(base: Any, folder: Path) -> RunConfig:
    """Return the config that a base names or is; a file's path is relative to `folder`."""
    if isinstance(base, Mapping):
        return validate(base, "base")
    beside = folder / str(base)
    named = beside if beside.suffix in (".yaml", ".yml") and beside.is_file() else str(base)
    return load_config(named)


def _read(source: str | Path) -> tuple[dict[str, Any], Path]:
    """Return the values of a tournament, and the folder that its paths are relative to."""
    file = Path(source)
    if file.suffix in (".yaml", ".yml") and file.is_file():
        try:
            values = parse_yaml(read_text(file, LARGEST_CONFIG), str(file))
        except (OSError, ValueError) as error:
            raise ConfigError(f"cannot read the tournament {file}: {error}") from None
        if "base" in values:
            values = without_head(upgraded("tournament", values, format_of(values, str(file))))
            return values, file.parent
    if str(source) not in preset_names():
        refuse_another(file, "tournament")
    return {"base": str(source)}, Path()
