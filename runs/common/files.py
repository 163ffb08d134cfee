"""Folders, texts and JSON that are either whole or not there; and reading what may be damaged."""

import json
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from egan.files import atomic_file, fsync

LARGEST_TEXT = 2**26  # bytes of a text or JSON file that is read whole


def nearest(path: Path) -> Path:
    """Return a path if it is there, else the nearest folder above it that is."""
    return next(place for place in (path, *path.absolute().parents) if place.exists())


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Give a temporary folder to fill; on success it takes the place of `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}-{os.getpid()}")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    try:
        yield temporary
        for file in temporary.iterdir():
            fsync(file)
        fsync(temporary)
        if path.exists():
            shutil.rmtree(path)
        temporary.replace(path)
        fsync(path.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """Write a whole text file, atomically."""
    with atomic_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file, atomically; NaN and infinity are refused, as JSON has none."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def read_text(path: Path, limit: int = LARGEST_TEXT) -> str:
    """Return the text of a regular file of at most `limit` bytes.

    Raises:
        OSError: it cannot be read; as FileNotFoundError, IsADirectoryError and so on.
        ValueError: no regular file (a pipe would be waited for), too large, or not UTF-8.
    """
    status = path.stat()
    if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
        raise ValueError("not a regular file")
    if status.st_size > limit:
        raise ValueError(f"{status.st_size} bytes, more than {limit}")
    return path.read_text(encoding="utf-8")


def read_json(path: Path, limit: int = LARGEST_TEXT) -> Any:
    """Return the value in a JSON file.

    Raises:
        OSError: it cannot be read.
        ValueError: not JSON, or what `read_text` refuses.
    """
    try:
        return json.loads(read_text(path, limit))
    except RecursionError:
        raise ValueError("nested too deeply") from None
