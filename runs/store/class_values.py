"""A metric's values by class, as they are kept: the samples', and the reals' beside them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class ClassValues:
    """One metric by class.

    Attributes:
        reals: what real samples come to in the generated ones' place.
        classes: by name, the value of the generated samples and that of the reals.
    """

    reals: float
    classes: Mapping[str, tuple[float, float]]

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON's values."""
        return {"reals": self.reals, "classes": {k: list(v) for k, v in self.classes.items()}}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "ClassValues":
        """Return the values of `to_json`.

        Raises:
            KeyError, TypeError, ValueError: there are none.
        """
        classes = {
            str(name): (float(fakes), float(reals))
            for name, (fakes, reals) in dict(value["classes"]).items()
        }
        return cls(float(value["reals"]), classes)


def read_classes(values: Mapping[str, Any]) -> dict[str, ClassValues]:
    """Return values by metric from JSON.

    Raises:
        KeyError, TypeError, ValueError: there are none.
    """
    return {str(metric): ClassValues.from_json(value) for metric, value in dict(values).items()}


def written_classes(values: Mapping[str, ClassValues]) -> dict[str, Any]:
    """Return values by metric as JSON's."""
    return {metric: value.to_json() for metric, value in values.items()}
