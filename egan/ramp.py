"""Schedules: numbers of the config that change while a run goes on.

A scheduled number is computed from the images shown to D, and is not a part of the state: a
replica, a replay or a fork can compute it for any generation, and nothing needs to be saved. It
does not depend on the run's length, so `resume --generations` changes no earlier value. A linear
fall is the decay of Zhu et al., 1703.10593; the cosine is that of Loshchilov and Hutter,
1608.03983.
"""

from collections.abc import Callable, Mapping
from math import cos, pi
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag

Kimg = Annotated[float, Field(le=1e9, allow_inf_nan=False)]
AnyRamp = TypeVar("AnyRamp", bound="Ramp")


class Ramp(BaseModel):
    """A number that goes from one value to another: constant, then changing, then constant."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, populate_by_name=True, serialize_by_alias=True
    )

    start: float = Field(alias="from", allow_inf_nan=False, description="the value at the start")
    to: float = Field(allow_inf_nan=False, description="the value at the end")
    over: Kimg = Field(gt=0, description="thousands of images shown to D while the value changes")
    after: Kimg = Field(
        0.0, ge=0, description="thousands of images shown to D before the value changes"
    )
    shape: Literal["linear", "cosine"] = "linear"

    def at(self, images: int) -> float:
        """Return the value after `images` reals were shown to D."""
        share = min(1.0, max(0.0, (images - 1000 * self.after) / (1000 * self.over)))
        if self.shape == "cosine":
            share = (1 - cos(pi * share)) / 2
        return (1 - share) * self.start + share * self.to


class Decay(Ramp):
    """A factor of the learning rates, which falls from 1."""

    start: float = Field(1.0, alias="from", ge=0, allow_inf_nan=False)
    to: float = Field(0.0, ge=0, allow_inf_nan=False, description="the factor at the end")


def within(least: float, below: float) -> Callable[[AnyRamp], AnyRamp]:
    """Return a validator of ramps whose ends lie in [least, below)."""

    def check(ramp: AnyRamp) -> AnyRamp:
        for name, end in (("from", ramp.start), ("to", ramp.to)):
            if not least <= end < below:
                raise ValueError(
                    f"{name} is {end:g}; it must be at least {least:g}, below {below:g}"
                )
        return ramp

    return check


def value_at(number: float | Ramp, images: int) -> float:
    """Return a number, scheduled or not, after `images` reals were shown to D."""
    return number.at(images) if isinstance(number, Ramp) else number


def _kind(value: Any) -> str:
    return "Ramp" if isinstance(value, Ramp | Mapping) else "number"


# Annotates the union of a `NUMBER` and a `RAMP`: a mistake is told of the one that was meant.
NUMBER, RAMP, NUMBER_OR_RAMP = Tag("number"), Tag("Ramp"), Discriminator(_kind)
