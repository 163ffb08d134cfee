"""The lines of a journal: a generation, a scoring or an event, as values and as sealed texts.

Each line is a JSON object with a CRC-32 of itself, so that a torn or damaged line is recognised.
"""

import json
import math
import zlib
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from fitness.scores import OBJECTIVES, USUAL
from populations.executors.base import Survivors
from populations.individual import Job, Score
from runs.common.formats import upgraded_line
from runs.store.class_values import ClassValues, read_classes, written_classes

SEAL = ',"crc":"'
LONGEST = 2**24  # bytes of a line that is read at once; what is longer is damaged


@dataclass(frozen=True)
class Entry:
    """One generation: the state that its children were scored in, the children, who survived."""

    generation: int
    time: float  # seconds since 1970, when it was written
    checksum: str
    jobs: tuple[Job, ...]
    scores: tuple[Score, ...]
    survivors: Survivors
    training: dict[str, float] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return the entry as JSON's values; a score that is not finite is null."""
        places = {job: place for place, job in enumerate(self.jobs)}
        return {
            "generation": self.generation,
            "time": round(self.time, 3),
            "checksum": self.checksum,
            "jobs": [[job.index, *job.parents, job.operator] for job in self.jobs],
            "scores": [list(map(_number, score.values)) for score in self.scores],
            "failures": {str(i): s.failure for i, s in enumerate(self.scores) if s.failure},
            "survivors": [places[job] for job in self.survivors],
            "training": {key: _number(value) for key, value in self.training.items()},
            "seconds": {key: round(value, 6) for key, value in self.seconds.items()},
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Entry":
        """Return the entry of `to_json`'s value.

        Raises:
            KeyError, TypeError, ValueError, IndexError: it is none.
        """
        jobs = tuple(
            Job(_count(i), tuple(map(_count, parents)), str(operator))
            for i, *parents, operator in value["jobs"]
        )
        if not all(job.parents for job in jobs):
            raise ValueError("a job needs a parent")
        failures = value["failures"]
        scores = tuple(
            Score(tuple(map(_maybe, values)), _text(failures.get(str(place))))
            for place, values in enumerate(value["scores"])
        )
        lengths = {len(each.values) for each in scores if each.values or each.failure is None}
        known = {0, *range(USUAL, len(OBJECTIVES) + 1)}
        if len(scores) != len(jobs) or len(lengths) > 1 or not lengths <= known:
            raise ValueError(f"{USUAL} or {len(OBJECTIVES)} scores of each job are needed, or none")
        survivors = tuple(jobs[_count(place)] for place in value["survivors"])
        if not survivors:
            raise ValueError("survivors are needed")
        return cls(
            _count(value["generation"]),
            _finite(value["time"]),
            str(value["checksum"]),
            jobs,
            scores,
            survivors,
            {str(name): _maybe(number) for name, number in value["training"].items()},
            {str(name): _finite(number) for name, number in value["seconds"].items()},
        )


@dataclass(frozen=True)
class Scoring:
    """A scoring of the state that generation `generation` starts from.

    `values` are those of the averaged generator by full metric name, `survivors` those of each
    survivor where they were asked for; `action` is what followed, if anything did; `device` made
    the samples and computed their features; `classes` are the values by class; `fitness` is the
    held-out metric that the next mutation was chosen by, infinite where it is no number.
    """

    generation: int
    time: float
    values: dict[str, float]
    survivors: tuple[dict[str, float], ...] = ()
    best: bool = False
    action: str | None = None
    device: str | None = None
    classes: dict[str, ClassValues] = field(default_factory=dict)
    fitness: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the scoring as JSON's values."""
        return {
            "scoring": self.generation,
            "time": round(self.time, 3),
            "values": {name: _number(value) for name, value in self.values.items()},
            "survivors": [
                {name: _number(value) for name, value in values.items()}
                for values in self.survivors
            ],
            "best": self.best,
            "action": self.action,
            **({} if self.device is None else {"device": self.device}),
            **({"classes": written_classes(self.classes)} if self.classes else {}),
            **({} if self.fitness is None else {"fitness": _number(self.fitness)}),
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Scoring":
        """Return the scoring of `to_json`'s value.

        Raises:
            KeyError, TypeError, ValueError: it is none.
        """

        def numbers(values: dict[str, float | None]) -> dict[str, float]:
            return {str(name): _maybe(value) for name, value in values.items()}

        return cls(
            _count(value["scoring"]),
            _finite(value["time"]),
            numbers(value["values"]),
            tuple(numbers(values) for values in value["survivors"]),
            bool(value["best"]),
            _text(value["action"]),
            _text(value.get("device")),  # earlier versions did not say it
            read_classes(value.get("classes", {})),
            _worst_if_none(value["fitness"]) if "fitness" in value else None,
        )


@dataclass(frozen=True)
class Event:
    """An event of a run that is no generation: a worker was lost, a snapshot failed.

    `generation` is the one that the run was at, `details` are what else is known of it.
    """

    generation: int
    time: float
    kind: str
    details: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return the event as JSON's values."""
        return {
            "event": self.kind,
            "generation": self.generation,
            "time": round(self.time, 3),
            **self.details,
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Event":
        """Return the event of `to_json`'s value.

        Raises:
            KeyError, TypeError, ValueError: it is none.
        """
        own = ("event", "generation", "time")
        details = {key: detail for key, detail in value.items() if key not in own}
        return cls(
            _count(value["generation"]), _finite(value["time"]), str(value["event"]), details
        )


Line = Entry | Scoring | Event


def describe(event: dict[str, Any]) -> str:
    """Return an event in words, such as `worker lost (worker 1, cause memory)`."""
    details = ", ".join(f"{key} {value}" for key, value in event.items() if key != "event")
    return str(event["event"]).replace("-", " ") + (f" ({details})" if details else "")


def seal(value: dict[str, Any]) -> str:
    """Return the journal's line of a JSON object: its text with the text's CRC-32 at the end."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return f'{text[:-1]}{SEAL}{zlib.crc32(text.encode()):08x}"}}\n'


def unseal(line: bytes) -> dict[str, Any]:
    """Return the JSON object of a line; it may end in a carriage return, as on Windows.

    Raises:
        ValueError: torn, damaged, or none of the journal's.
    """
    text, seal, end = line.rpartition(SEAL.encode())
    crc = zlib.crc32(b"}", zlib.crc32(text))
    if not seal or end not in (f'{crc:08x}"}}\n'.encode(), f'{crc:08x}"}}\r\n'.encode()):
        raise ValueError("torn or damaged: its checksum does not match")
    value = json.loads(text.decode() + "}")
    if not isinstance(value, dict):
        raise ValueError("not an object")
    return value


@dataclass(frozen=True)
class Damage:
    """A line that could not be read."""

    line: int
    reason: str


def head_of(line: bytes) -> dict[str, Any]:
    """Return what a journal's first line says of its format and run; empty: it says nothing."""
    with suppress(ValueError, RecursionError):
        if "format" in (value := unseal(line)):
            return value
    return {}


def read_line(line: bytes, number: int, found: int) -> list[Line | Damage]:
    """Return what a line of format `found` holds; one of an older format may hold several."""
    try:
        return [_parse(value) for value in upgraded_line(unseal(line), found)]
    except Exception as error:  # a line of whatever JSON raises a dozen kinds
        return [Damage(number, str(error) or type(error).__name__)]


def _parse(value: dict[str, Any]) -> Line:
    if "event" in value:
        return Event.from_json(value)
    return Scoring.from_json(value) if "scoring" in value else Entry.from_json(value)


def _count(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 2**63:
        raise ValueError(f"a count is needed, not {value!r:.40}")
    return value


def _finite(value: Any) -> float:
    if not math.isfinite(value):
        raise ValueError("a finite number is needed")
    return float(value)


def _maybe(value: Any) -> float:
    return math.nan if value is None else float(value)


def _worst_if_none(value: Any) -> float:
    return math.inf if value is None else float(value)


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
