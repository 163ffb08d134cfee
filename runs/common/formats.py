"""The format of what is written to disk, and the steps from an older format to the present one.

Every file that this project reads again names its `format` and the version that wrote it: the
journal in its first line, `config.yaml`, `data.json`, a snapshot's manifest, `generator.json` and a
study's files. A file that names none is of format 1, from before there was a number.

A step is a pure function of a file's parsed value. It changes what its format wrote otherwise and
leaves everything else as it is, so a value that is of the next format already passes unchanged (a
journal whose first line is damaged, a config that a user wrote). To change a format: raise
`FORMAT`, add a step for each kind of file that changes, and keep a folder of the old version as
test data (`tests/data/`). What is promised is in `docs/compatibility.md`.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, Literal

from runs.common.errors import ConfigError

FORMAT = 2
VERSION = "0.2.0"
STAMP = {"format": FORMAT, "version": VERSION}
# The keys at the head of a file: what is written of its format and of its run's identity.
HEAD = ("format", "version", "run", "parent", "decides")

Value = dict[str, Any]
Kind = Literal[
    "config", "data", "manifest", "arrays", "generator", "study", "outcome", "tournament"
]


def format_of(value: Mapping[str, Any], where: object) -> int:
    """Return the format of a file's value; `where` is the file's name for a message.

    Raises:
        ConfigError: a newer version wrote it, or its format is no number.
    """
    written = value.get("format", 1)
    if not re.fullmatch("[1-9][0-9]{0,8}", str(written)):  # YAML's values are texts until here
        raise ConfigError(f"{where}: format is {written!r:.40}; a whole number from 1 is needed")
    found = int(written)
    if found > FORMAT:
        version = value.get("version", "unknown")
        raise ConfigError(
            f"{where} was written by version {version!s:.40} (format {found}); this is version "
            f"{VERSION}, which reads formats up to {FORMAT}. Use version {version!s:.40} or a "
            "newer one"
        )
    return found


def upgraded(kind: Kind, value: Value, found: int) -> Value:
    """Return a file's value in the present format; `found` is the one that it is of."""
    for number in range(found, FORMAT):
        step = STEPS.get((kind, number))
        value = step(value) if step else value
    return value


def upgraded_line(line: Value, found: int) -> list[Value]:
    """Return the lines that a journal's line is in the present format."""
    lines = [line]
    for number in range(found, FORMAT):
        step = LINE_STEPS.get(number)
        lines = [new for old in lines for new in step(old)] if step else lines
    return lines


def without_head(values: Value) -> Value:
    """Return a file's values without those at its head."""
    return {key: value for key, value in values.items() if key not in HEAD}


# -------------------------------------------------------------------------------- from 1 to 2


def _line_1(line: Value) -> list[Value]:
    """Events become lines of their own; they were part of a generation's line, or an afterword."""
    at = {"generation": line.get("after", line.get("generation")), "time": line.get("time")}
    events = [{**event, **at} for event in line.get("events", ())]
    if "after" in line:
        return events
    return [*events, {key: value for key, value in line.items() if key != "events"}]


def _config_1(values: Value) -> Value:
    return _forked(_always_scored(values))


def _always_scored(values: Value) -> Value:
    """Children were always scored. Only a config that a run wrote names keys such as ship_code."""
    fitness, execution = values.get("fitness"), values.get("execution")
    if not (isinstance(fitness, dict) and isinstance(execution, dict) and "ship_code" in execution):
        return values
    return values | {"fitness": {"every": 1, **fitness}}


def _forked(values: Value) -> Value:
    """A run that has collapsed is forked; it was rolled back in place."""
    evaluation = values.get("evaluation")
    if not isinstance(evaluation, dict):
        return values
    collapse = evaluation.get("collapse")
    if not (isinstance(collapse, dict) and collapse.get("action") == "rollback"):
        return values
    return values | {"evaluation": {**evaluation, "collapse": {**collapse, "action": "fork"}}}


def _study_1(values: Value) -> Value:
    """A study that was begun holds its base as a whole config."""
    base = values.get("base")
    return values | {"base": _config_1(base)} if isinstance(base, dict) else values


def _manifest_1(manifest: Value) -> Value:
    """No settings had changed while a run went on."""
    return {"settings": {}, **manifest}


LINE_STEPS: Mapping[int, Callable[[Value], list[Value]]] = {1: _line_1}
STEPS: Mapping[tuple[Kind, int], Callable[[Value], Value]] = {
    ("config", 1): _config_1,
    ("study", 1): _study_1,
    ("manifest", 1): _manifest_1,
}
