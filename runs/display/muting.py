"""Output that cannot be written ends nothing: it is muted, and what was being done goes on.

A reader that ends (`| head -1`, a `tee` that died), a terminal that is gone and a full disk behind
`>` fail a write; a run that takes hours must not end by it.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO


class MutedOnError:
    """A text stream whose first failing write turns it, and the file behind it, off."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write a text, if anything can be written."""
        try:
            return self._stream.write(text)
        except OSError:
            self._mute()
            return len(text)

    def flush(self) -> None:
        """Send what was written, if it can be sent."""
        try:
            self._stream.flush()
        except OSError:
            self._mute()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _mute(self) -> None:
        """Let the descriptor lead nowhere, so that what is buffered can be let go."""
        with suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)


@contextmanager
def muted_on_error() -> Iterator[None]:
    """Mute this process's output where it fails, instead of raising the error."""
    former = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (MutedOnError(stream) for stream in former)
    try:
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        sys.stdout, sys.stderr = former
