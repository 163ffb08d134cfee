"""Labels and tags of images, and where they came from.

Labels come from StyleGAN's dataset.json ({"labels": [["path", 3], ...]} or null; NVlabs stylegan3,
dataset_tool.py), else from the names of the subfolders where every image lies in one. Tags come
from vectors in dataset.json ([["path", [0, 1, 0.5]], ...]), or from tags.csv. Its lines are a file
and its tags, `a.png,red,round`; or, after a first line `file,red,round`, a number for each column.
Both files lie beside the images, and their paths are relative to that folder.
"""

import csv
import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Any, TypeVar

import numpy as np

from egan.data.source import DataError

JSON, CSV = "dataset.json", "tags.csv"
_LARGEST = 2**31  # above any class number
_SHOWN = 3  # names in a message

Value = TypeVar("Value")
Read = Callable[[str], bytes]


@dataclass(frozen=True, eq=False)
class Annotations:
    """Labels and tags of N images.

    Attributes:
        labels: (N,) int64, or None.
        classes: the classes' names, indexed by label, or None.
        labels_from: where the labels came from, or why there are none.
        tags: (N, T) float32, or None.
        tag_names: what each of the T numbers is, or None.
        tags_from: where the tags came from.
    """

    labels: np.ndarray | None = None
    classes: tuple[str, ...] | None = None
    labels_from: str = ""
    tags: np.ndarray | None = None
    tag_names: tuple[str, ...] | None = None
    tags_from: str = ""

    def __getitem__(self, kept: list[int]) -> "Annotations":
        """Return the labels and tags of some of the images."""
        labels = None if self.labels is None else self.labels[kept]
        tags = None if self.tags is None else self.tags[kept]
        return replace(self, labels=labels, tags=tags)


def json_annotations(content: bytes, names: list[str], known: set[str], where: str) -> Annotations:
    """Return the labels or tags that a dataset.json gives `names`.

    Args:
        content: of the file.
        names: the images' paths, from the file's folder.
        known: all files that are there.
        where: the file, for messages.

    Raises:
        DataError: not of that form, or it does not fit the images.
    """
    try:
        pairs: Any = json.loads(content)["labels"]
        if pairs is None:
            return Annotations(labels_from=f"{JSON} says that there are none")
        listed: list[tuple[str, Any]] = [(_plain(file), value) for file, value in pairs]
    except Exception as error:  # any JSON may stand there
        raise DataError(
            f'{where}: must be {{"labels": [["file", class], ...]}} or {{"labels": null}}'
            f"; {error!r}"
        ) from error
    given = _matched(listed, names, known, where, "label")
    first = given[names[0]]
    if isinstance(first, list):
        tags = _vectors(given, names, where)
        numbers = tuple(map(str, range(tags.shape[1])))
        return Annotations(tags=tags, tag_names=numbers, tags_from=JSON)
    for name in names:
        label = given[name]
        if type(label) is not int or not 0 <= label < _LARGEST:
            raise DataError(f"{where}: the label of {name} must be a class number, not {label!r}")
    labels = np.array([given[name] for name in names], np.int64)
    return Annotations(labels=labels, labels_from=JSON)


def csv_tags(
    content: bytes, names: list[str], known: set[str], where: str
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return the tags (N, T) that a tags.csv gives `names`, and their names; see the module.

    Raises:
        DataError: not of that form, or it does not fit the images.
    """
    try:
        text = content.decode("utf-8-sig")
        lines = [line for line in csv.reader(io.StringIO(text, newline=""), strict=True) if line]
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{where}: not a .csv file of UTF-8 text: {error}") from error
    columns = [cell.strip() for cell in lines[0]] if lines else []
    if columns[:1] == ["file"]:
        return _numbers(lines[1:], tuple(columns[1:]), names, known, where)
    listed = [
        (_plain(file), sorted({cell.strip() for cell in cells} - {""})) for file, *cells in lines
    ]
    given = _matched(listed, names, known, where, "tags")
    words = tuple(sorted({word for name in names for word in given[name]}))
    if not words:
        raise DataError(f"{where}: names no tag; a line is a file and its tags: a.png,red,round")
    place = {word: column for column, word in enumerate(words)}
    tags = np.zeros((len(names), len(words)), np.float32)
    for row, name in enumerate(names):
        tags[row, [place[word] for word in given[name]]] = 1
    return tags, words


def _numbers(
    lines: list[list[str]],
    columns: tuple[str, ...],
    names: list[str],
    known: set[str],
    where: str,
) -> tuple[np.ndarray, tuple[str, ...]]:
    if not columns or "" in columns or len(set(columns)) < len(columns):
        raise DataError(
            f"{where}: the first line begins with 'file', so that the tags' names must follow, "
            f"each once; they are: {', '.join(columns) or 'none'}"
        )
    listed = []
    for file, *cells in lines:
        try:
            listed.append((_plain(file), [float(cell) for cell in cells]))
        except ValueError:
            raise DataError(
                f"{where}: {file}: {', '.join(cells)} are not numbers; below a line 'file,...' "
                "each line has a number for each tag. To list tags by name, leave that line out"
            ) from None
    given = _matched(listed, names, known, where, "tags")
    wrong = next((name for name in names if len(given[name]) != len(columns)), None)
    if wrong is not None:
        raise DataError(
            f"{where}: {wrong} has {len(given[wrong])} numbers, and there are {len(columns)} tags"
        )
    return _vectors(given, names, where), columns


def _vectors(given: Mapping[str, Any], names: list[str], where: str) -> np.ndarray:
    """Return the vectors of `names` as float32 (N, T)."""
    width = len(given[names[0]])
    for name in names:
        value = given[name]
        numbers = isinstance(value, list) and all(type(each) in (int, float) for each in value)
        if not numbers or len(value) != width or not width:
            raise DataError(
                f"{where}: {names[0]} has {width} numbers, and so must {name}, not {_short(value)}"
            )
    with np.errstate(over="ignore"):
        try:
            vectors = np.array([given[name] for name in names], np.float32)
        except OverflowError:  # a whole number beyond any float
            vectors = np.full((len(names), width), np.inf, np.float32)
    if not np.isfinite(vectors).all():
        row = int(np.argmin(np.isfinite(vectors).all(1)))
        raise DataError(f"{where}: {names[row]} has a number that is not finite")
    return vectors


def _matched(
    listed: list[tuple[str, Value]], names: list[str], known: set[str], where: str, what: str
) -> dict[str, Value]:
    """Return what is listed by file.

    Raises:
        DataError: a file is listed twice with different values, is not there, or is missing.
    """
    given: dict[str, Value] = {}
    for file, value in listed:
        if file in given and (given[file] != value or type(given[file]) is not type(value)):
            raise DataError(
                f"{where}: {file} is listed twice, with {_short(given[file])} and {_short(value)}"
            )
        given[file] = value
    absent = [file for file in given if file not in known]
    if absent:
        raise DataError(
            f"{where}: lists {len(given)} files, and {len(absent)} of them are not there: "
            f"{some(absent)}"
        )
    missing = [name for name in names if name not in given]
    if missing:
        raise DataError(
            f"{where}: no {what} of {some(missing)}: {len(missing)} of {len(names)} images are not "
            "listed"
        )
    return given


def some(names: list[str]) -> str:
    """Return the first of some names, and how many there are more."""
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _plain(file: Any) -> str:
    """Return a path as the tree names it: without `./`, parted by `/`."""
    if not isinstance(file, str):
        raise TypeError(f"{file!r} is no file's name")
    return PurePosixPath(file.strip().replace("\\", "/")).as_posix()


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
