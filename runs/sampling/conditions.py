"""Conditions of samples: classes by name or number, tags, or drawn like those of the data."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from egan.data.condition import ConditionCard, Conditions
from egan.streams import Purpose
from fitness.suggestion import nearest
from populations.seeding import numpy_stream
from runs.common.errors import ConfigError

NO_TAGS = "none"  # what a condition without tags is called
TAG_ROWS = 8  # of a grid, where nothing is asked for: as many different rows of the data


@dataclass(frozen=True)
class Asked:
    """Conditions that a user asked for: vectors (K, size), and a name for each."""

    vectors: Tensor
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.names)

    def cycled(self, count: int) -> Tensor:
        """Return one of them for each of `count` samples, (count, size), in turn."""
        return self.vectors[torch.arange(count) % len(self)]

    def each(self, times: int) -> Tensor:
        """Return each of them `times` times, one after the other, (K times, size)."""
        return self.vectors.repeat_interleave(times, 0)


def asked_for(
    card: ConditionCard | None, classes: Sequence[str] = (), tags: Sequence[str] = ()
) -> Asked | None:
    """Return the conditions that a user asked for; None: none.

    Args:
        card: what the generator takes; None: it takes no conditions.
        classes: names or numbers of classes.
        tags: each a list `A,B` of the tags of one condition; `A=0.5` gives a tag that value, and
            `none`, where no tag is called so, is a condition without tags.

    Raises:
        ConfigError: the generator takes no such conditions, or knows no such class or tag.
    """
    if not classes and not tags:
        return None
    option = "--class" if classes else "--tags"
    if card is None:
        raise ConfigError(
            f"{option}: this generator takes no conditions, for its run had no data.condition; "
            f"leave {option} out"
        )
    conditions = card.conditions
    kind = conditions.kind
    if (kind == "labels") != bool(classes) or (classes and tags):
        other = "--class NAME" if kind == "labels" else "--tags A,B"
        raise ConfigError(
            f"{option}: this generator was conditioned on {kind} ({_some(conditions)}); "
            f"ask with {other} alone"
        )
    if classes:
        places = [_class(conditions, text) for text in classes]
        names = tuple(conditions.names[place] for place in places)
        return Asked(torch.eye(conditions.size)[places], names)
    names = tuple(text.strip() or NO_TAGS for text in tags)
    return Asked(torch.stack([_tags(conditions, name) for name in names]), names)


def usual(card: ConditionCard) -> Asked:
    """Return the rows of a grid where nothing is asked for.

    They are every class that the data have, or the first different tag vectors of the data.
    """
    conditions = card.conditions
    if card.counts is not None:
        present = [place for place, count in enumerate(card.counts) if count]
        names = tuple(conditions.names[place] for place in present)
        return Asked(torch.eye(conditions.size)[present], names)
    assert card.rows is not None
    rows = list(dict.fromkeys(card.rows))[:TAG_ROWS]
    return Asked(torch.tensor(rows), tuple(_named(conditions, row) for row in rows))


def drawn(card: ConditionCard, count: int, seed: int, start: int) -> Tensor:
    """Draw conditions (count, size) like those of the data's rows.

    `start` is the number of the first sample that they are for.
    """
    stream = numpy_stream(seed, 0, Purpose.CONDITION, start)
    if card.counts is not None:
        ends = np.cumsum(card.counts)
        chosen = np.searchsorted(ends, stream.integers(ends[-1], size=count), side="right")
        return torch.eye(card.conditions.size)[torch.from_numpy(chosen)]
    assert card.rows is not None
    return torch.tensor(card.rows)[torch.from_numpy(stream.integers(len(card.rows), size=count))]


def _class(conditions: Conditions, text: str) -> int:
    """Return the place of a class that is given by its name, or else by its number."""
    text = text.strip()
    if text in conditions.names:
        return conditions.names.index(text)
    if text.isdecimal() and len(text) < 10 and int(text) < conditions.size:
        return int(text)
    raise ConfigError(
        f"--class: no class {text!r}{nearest(text, conditions.names)} "
        f"There are {conditions.size}: {_some(conditions)}"
    )


def _tags(conditions: Conditions, text: str) -> Tensor:
    """Return the condition (size,) of a list of tags."""
    vector = torch.zeros(conditions.size)
    if text == NO_TAGS and NO_TAGS not in conditions.names:
        return vector
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, value = (part, "1") if part in conditions.names else _split(part)
        if name not in conditions.names:
            raise ConfigError(
                f"--tags: no tag {name!r}{nearest(name, conditions.names)} "
                f"There are {conditions.size}: {_some(conditions)}"
            )
        try:
            vector[conditions.names.index(name)] = float(value)
        except ValueError:
            raise ConfigError(f"--tags: {part!r}: a tag's value is a number, as in {name}=0.5"
                              ) from None  # fmt: skip
    if not torch.isfinite(vector).all():
        raise ConfigError(f"--tags {text}: a tag's value must be finite")
    return vector


def _split(part: str) -> tuple[str, str]:
    name, _, value = part.rpartition("=")
    return (name, value) if name else (part, "1")


def _named(conditions: Conditions, row: Sequence[float]) -> str:
    """Return a vector of tags as a text that the option --tags takes."""
    parts = [
        name if value == 1 else f"{name}={value:g}"
        for name, value in zip(conditions.names, row, strict=True)
        if value
    ]
    return ",".join(parts) or NO_TAGS


def _some(conditions: Conditions, most: int = 12) -> str:
    names = ", ".join(conditions.names[:most])
    return names if conditions.size <= most else f"{names}, ..."
