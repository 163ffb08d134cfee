"""Errors as text, and where it is written while standard error is muted."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

STDERR = 2
_seen = [STDERR]  # the last: what standard error was before it was muted


def one_line(error: object, longest: int | None = None) -> str:
    """Return an error's text as one line, of at most `longest` characters."""
    return " ".join(str(error).split())[:longest]


def tell(text: str) -> None:
    """Write a line to standard error, muted or not; Python's own streams may be busy or lost.

    Raises:
        OSError: it cannot be written.
    """
    os.write(_seen[-1], f"\n{text}\n".encode())


@contextmanager
def muted_stderr() -> Iterator[None]:
    """Suppress what a library's own code writes to standard error; `tell` is still seen."""
    _seen.append(os.dup(STDERR))
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, STDERR)
    os.close(nowhere)
    try:
        yield
    finally:
        seen = _seen.pop()
        os.dup2(seen, STDERR)
        os.close(seen)
