"""Units of a generator in a file: one channel of a layer each, and how far it is switched off.

`edit --optimise` and `repair` write such files; `edit --units` and `sample --repair` read them.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from runs.common.errors import ConfigError
from runs.common.files import read_json


class UnitsFile(BaseModel, frozen=True, extra="forbid"):
    """Units in a file; the most important first.

    Attributes:
        layer: their layer.
        units: their numbers.
        shares: how far each is switched off, in [0, 1].
        label: the class that they cause; null: not known.
        weights: a hash of the generator's weights; null: not known.
        generator: what that generator is called, such as the newest snapshot.
        about: how they were found.
    """

    layer: str
    units: list[int]
    shares: list[float]
    label: str | None = None
    weights: str | None = None
    generator: str | None = None
    about: dict[str, Any] = {}


def read_units(path: Path, option: str = "--units") -> UnitsFile:
    """Return the units in a file that an option names.

    Raises:
        ConfigError: it is not there, or holds none.
    """
    try:
        return UnitsFile.model_validate(read_json(path))
    except (OSError, ValueError, ValidationError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(
            f"{option} {path}: no file of units ({reason}); it holds "
            '{"layer": "NAME", "units": [3, 17], "shares": [1, 1]}'
        ) from None


def check_units(
    layer: str, shape: Sequence[int], units: Sequence[int], shares: Sequence[float]
) -> None:
    """Refuse units that a layer with maps of `shape` (U, h, w) has not, and shares of no sense.

    Raises:
        ConfigError: says which.
    """
    if not units:
        raise ConfigError(f"no units of {layer} are named; name some, as in --off 3,17")
    if wrong := [unit for unit in units if not 0 <= unit < shape[0]]:
        raise ConfigError(
            f"{layer} has units 0 to {shape[0] - 1}, and {', '.join(map(str, wrong))} is none of "
            "them"
        )
    if len(set(units)) < len(units) or len(shares) != len(units):
        raise ConfigError("each unit is named once, with one share")
    if not all(0 <= share <= 1 for share in shares):
        raise ConfigError("the shares of units are from 0 to 1")
