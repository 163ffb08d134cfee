"""Genes: settings of an island that its tournament draws, copies and changes.

The start is a low-discrepancy draw: scrambled points of Sobol's sequence, so that few islands cover
the prior evenly. At an event a copy's genes take a step, as in population based training (Jaderberg
et al., arXiv 1711.09846).
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from pydantic import BaseModel, Field, model_validator
from scipy.special import ndtri
from scipy.stats import qmc

from egan.config import SETTINGS
from runs.common.errors import ConfigError
from runs.config.schema import RunConfig

Genes = dict[str, Any]  # values by the config's key; a number behind a dot is a place in a list
EDGE = 1e-3  # of the unit interval, which the normal draws of a start leave out
START = 10 / 3  # spreads of a start that is not given, in spreads of a step
CHOSEN_ANEW = 0.15  # how often a step of a choice is a new draw
FIXED = ("seed", "data", "backbone", "name", "generations", "population.survivors",
         "population.first_parent", "execution", "evaluation", "checkpoint",
         "tracking")  # fmt: skip


class GeneConfig(BaseModel, extra="forbid", frozen=True, populate_by_name=True):
    """One gene's prior, and its steps: in the logarithm, linear, or among choices."""

    log: float | None = Field(
        None,
        ge=0,
        le=10,
        description="standard deviation of a step of the logarithm: value x exp(log N(0, 1))",
    )
    linear: float | None = Field(
        None, ge=0, le=1e6, description="standard deviation of a step: value + linear N(0, 1)"
    )
    choices: tuple[Any, ...] | None = Field(None, description="the list of values to choose from")
    start: float | None = Field(
        None,
        ge=0,
        le=1e6,
        description="standard deviation of the first values, in the unit of a step; null: 10/3 "
        "steps",
    )
    values: tuple[float, ...] | None = Field(
        None,
        alias="from",
        description="values around which the first values are drawn; null: the config's value",
    )
    low: float | None = Field(None, allow_inf_nan=False, description="the least value")
    high: float | None = Field(None, allow_inf_nan=False, description="the largest value")
    redraw: float | None = Field(
        None,
        ge=0,
        le=1,
        description="probability that a step is a new draw from the prior; null: 0, or 0.15 for "
        "choices",
    )

    @model_validator(mode="after")
    def _of_one_kind(self) -> "GeneConfig":
        kinds = [kind for kind in ("log", "linear", "choices") if getattr(self, kind) is not None]
        if len(kinds) != 1:
            raise ValueError(f"one of log, linear and choices is needed, not {kinds or 'none'}")
        if self.choices is not None and len(self.choices) < 2:
            raise ValueError("choices: at least two are needed")
        if self.values is not None and not self.values:
            raise ValueError("from: at least one value is needed")
        if None not in (self.low, self.high) and self.low > self.high:  # type: ignore[operator]
            raise ValueError(f"low is {self.low}, more than high, {self.high}")
        return self

    def first(self, place: float, given: Any) -> Any:
        """Return the value at a place of the unit interval; `given` is the config's."""
        if self.choices is not None:
            return self.choices[int(place * len(self.choices))]
        around, inside = given, place
        if self.values is not None:  # each gets a part of the interval, and spreads in it
            part = place * len(self.values)
            around, inside = self.values[int(part)], part % 1
        spread = START * self._spread if self.start is None else self.start
        return self._moved(around, spread * float(ndtri(np.clip(inside, EDGE, 1 - EDGE))))

    def step(self, value: Any, given: Any, stream: np.random.Generator) -> Any:
        """Return the value after a step; the number of random draws is always the same."""
        chance, place, normal = stream.random(), stream.random(), stream.standard_normal()
        usual = 0.0 if self.choices is None else CHOSEN_ANEW
        if chance < (usual if self.redraw is None else self.redraw):
            return self.first(place, given)
        return value if self.choices is not None else self._moved(value, self._spread * normal)

    @property
    def _spread(self) -> float:
        return float(self.log if self.log is not None else self.linear or 0.0)

    def _moved(self, value: float, distance: float) -> float:
        moved = value + distance if self.log is None else value * math.exp(distance)
        low = -math.inf if self.low is None else self.low
        high = math.inf if self.high is None else self.high
        return min(max(moved, low), high)


Prior = Mapping[str, GeneConfig]

# ------------------------------------------------------------------------------- genes of a config


def genes_of(base: RunConfig, keys: Mapping[str, Any]) -> Genes:
    """Return the values that a config has under the keys of genes.

    A discriminator without a rate of its own has the generators'.

    Raises:
        ConfigError: a key that the config has not, or that no gene may change.
    """
    values = base.model_dump(mode="json")
    optimizer = values["optimizer"]
    if optimizer["discriminator_learning_rate"] is None:
        optimizer["discriminator_learning_rate"] = optimizer["learning_rate"]
    return {key: _read(values, key) for key in keys}


def with_genes(values: Mapping[str, Any], genes: Genes) -> dict[str, Any]:
    """Return a config's values (not changed) with those of genes."""
    changed: Any = values
    for key, value in genes.items():
        changed = _put(changed, key.split("."), value)
    return dict(changed)


def check_keys(keys: Mapping[str, Any]) -> None:
    """Refuse genes that would change the form of a state, which islands copy.

    Raises:
        ConfigError: there are such, or none at all.
    """
    for key in keys:
        if any(key == fixed or key.startswith(f"{fixed}.") for fixed in FIXED):
            raise ConfigError(
                f"genes.{key}: cannot be a gene, because a copied state must fit the island that "
                f"takes it. Settings of optimizer, discriminator, fitness, selection and "
                f"population can, such as {SETTINGS[0]}"
            )


def _read(values: Any, key: str) -> Any:
    inside = values
    for part in key.split("."):
        try:
            inside = inside[int(part)] if isinstance(inside, list) else inside[part]
        except (KeyError, IndexError, TypeError, ValueError):
            raise ConfigError(
                f"genes.{key}: the config has no such key; examples: {', '.join(SETTINGS)}, "
                "optimizer.betas.0"
            ) from None
    return inside


def _put(values: Any, path: list[str], value: Any) -> Any:
    if not path:
        return value
    if isinstance(values, list | tuple):
        place = int(path[0])
        return [*values[:place], _put(values[place], path[1:], value), *values[place + 1 :]]
    return {**values, path[0]: _put(values[path[0]], path[1:], value)}


# -------------------------------------------------------------------------------------------- draws


def first_genes(prior: Prior, given: Genes, count: int, stream: np.random.Generator) -> list[Genes]:
    """Return the genes of `count` islands; the first one keeps those that are `given`."""
    if not prior:
        return [dict(given)] * count
    points = qmc.Sobol(len(prior), scramble=True, rng=stream).random_base2(
        math.ceil(math.log2(count))
    )
    drawn = [
        {
            key: gene.first(place, given[key])
            for (key, gene), place in zip(prior.items(), point, strict=True)
        }
        for point in points.tolist()
    ]
    return [dict(given), *drawn[1:count]]


def next_genes(prior: Prior, given: Genes, genes: Genes, stream: np.random.Generator) -> Genes:
    """Return genes after a step of each; `given` are the config's."""
    return {key: gene.step(genes[key], given[key], stream) for key, gene in prior.items()}
