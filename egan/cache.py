"""Results that are slow to compute, kept between runs in the user's cache folder.

A run does not need the cache. If a file cannot be read or written there, its content is computed
again, and one warning says so.
"""

import logging
from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

from platformdirs import user_cache_path

from egan.files import fsync

NAME = "evolutionary-gan"
VARIABLE = "XDG_CACHE_HOME"

T = TypeVar("T")


def cache_folder() -> Path | None:
    """Return the project's folder in the user's cache; None: this user has no home folder."""
    try:
        folder = user_cache_path(NAME, appauthor=False)
    except RuntimeError:
        return None
    return folder if folder.is_absolute() else None  # older versions return ~ as it is


def recall(name: str, read: Callable[[Path], T]) -> T | None:
    """Return what `read` makes of a cached file; None: there is none, or it cannot be read.

    Args:
        name: the file's path within the cache.
        read: may raise OSError or ValueError where the file is damaged.
    """
    folder = cache_folder()
    if folder is None:
        return None
    path = folder / name
    try:
        return read(path) if path.is_file() else None
    except (OSError, ValueError) as error:
        reason = str(error).removeprefix(f"{path}: ")
        _warn(f"the cached file {path} cannot be used ({reason}); its content is made again")
        return None


def keep(name: str, write: Callable[[Path], object]) -> None:
    """Let `write` fill a file, and put it into the cache: whole, or not at all.

    Args:
        name: the file's path within the cache.
        write: is given a temporary path; other processes may keep the same file at once.
    """
    folder = cache_folder()
    if folder is None:
        _warn(f"this user has no home folder, so nothing is cached. {_remedy()}")
        return
    path = folder / name
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as work:
            temporary = Path(work) / path.name
            write(temporary)
            fsync(temporary)
            temporary.replace(path)
    except OSError as error:
        _warn(f"the cache {folder} cannot be written ({error}), so nothing is cached. {_remedy()}")


def _remedy() -> str:
    return f"What is costly will be made again next time; set {VARIABLE} to a writable folder"


@cache
def _warn(text: str) -> None:
    """Log a warning, once in a process."""
    logging.getLogger(__name__).warning("warning: %s", text)
