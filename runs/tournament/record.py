"""The record of a tournament's decisions: a line for each round, forced to the disk.

A line holds how the islands were judged and what was decided. When a tournament goes on, each
decision is made again from what the line says of the islands, and must be the same. So a file that
was changed by hand, or another version's rules, are noticed before anything trains on.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from egan.files import atomic_file
from runs.common.errors import ConfigError
from runs.store.lines import seal, unseal
from runs.tournament.decisions import Decision, Judged, Table, finite_or_none


@dataclass(frozen=True)
class Line:
    """The recorded line of a round.

    Attributes:
        round: its number.
        table: the judgements of the islands, by name.
        decided: the decision, as by `Decision.to_json`.
        metrics: of the first in the ranking, by the base's evaluation.
        spent: optimiser steps so far, with all judgements.
    """

    round: int
    table: Table
    decided: Mapping[str, Any]
    metrics: Mapping[str, float]
    spent: int

    @classmethod
    def of(
        cls, number: int, table: Table, decision: Decision, metrics: Mapping[str, float], spent: int
    ) -> "Line":
        """Return the line of a round."""
        return cls(number, table, decision.to_json(), metrics, spent)

    def to_json(self) -> dict[str, Any]:
        """Return the line as JSON's values."""
        return {
            "round": self.round,
            "spent": self.spent,
            "table": {name: judged.to_json() for name, judged in self.table.items()},
            "decided": dict(self.decided),
            "metrics": {name: finite_or_none(value) for name, value in self.metrics.items()},
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Line":
        """Return the line of `to_json`'s values."""
        table = {name: Judged.from_json(judged) for name, judged in values["table"].items()}
        metrics = {k: float("nan") if v is None else v for k, v in values["metrics"].items()}
        return cls(values["round"], table, values["decided"], metrics, values["spent"])


def read_lines(path: Path) -> list[Line]:
    """Return the sound lines at the beginning of a record; a torn last one does not count.

    Raises:
        ConfigError: a line in the middle is damaged.
    """
    if not path.is_file():
        return []
    texts = path.read_bytes().splitlines(keepends=True)
    lines: list[Line] = []
    for number, text in enumerate(texts):
        try:
            line = Line.from_json(unseal(text))
            if line.round != number:
                raise ValueError(f"it is of round {line.round}")
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            if number == len(texts) - 1:
                break
            raise ConfigError(
                f"{path}, line {number + 1}: {error}. Put it back; or delete the tournament's "
                "folder and begin anew"
            ) from None
        lines.append(line)
    return lines


def check(path: Path, line: Line, decision: Decision) -> None:
    """Refuse a line whose decision does not follow from its table.

    Raises:
        ConfigError: it is not.
    """
    if line.decided != decision.to_json():
        raise ConfigError(
            f"{path}: the decision after round {line.round} is not the one that follows from what "
            "the line says of the islands: the file was changed, or another version wrote it. Put "
            "it back, go on with that version, or begin anew in another --output"
        )


def append(path: Path, lines: list[Line], line: Line) -> None:
    """Write a line after `lines`; anything else that the file has is dropped."""
    if _is(path, lines):
        with path.open("a", encoding="utf-8") as file:
            file.write(seal(line.to_json()))
            file.flush()
            os.fsync(file.fileno())
        return
    with atomic_file(path) as temporary:
        text = "".join(seal(each.to_json()) for each in (*lines, line))
        temporary.write_text(text, encoding="utf-8")


def _is(path: Path, lines: list[Line]) -> bool:
    """Return whether a file consists of these lines, without a torn one behind them."""
    whole = "".join(seal(each.to_json()) for each in lines)
    return path.is_file() and path.stat().st_size == len(whole.encode())
