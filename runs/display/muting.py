"""Output that cannot be written: muted where a command does its work all the same, else told.

A reader that ends (`| head -1`, a `tee` that died), a terminal that is gone and a full disk behind
`>` fail a write; a run that takes hours must not end by it. Of a command such as `inspect` the
output is all that there is: it ends, and its status says so.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO


class OutputLost(Exception):
    """Output that a command was called for cannot be written.

    No `OSError`, so that nobody takes it for one of the files that the command reads.
    """

    def __init__(self, cause: OSError) -> None:
        super().__init__(f"the output cannot be written: {cause.strerror or cause}")
        self.unread = isinstance(cause, BrokenPipeError)  # its reader has ended


class MutedOnError:
    """A text stream whose first failing write turns it, and the file behind it, off."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write a text, if anything can be written."""
        try:
            return self._stream.write(text)
        except OSError as error:
            self._fail(error)
            return len(text)

    def flush(self) -> None:
        """Send what was written, if it can be sent."""
        try:
            self._stream.flush()
        except OSError as error:
            self._fail(error)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _fail(self, error: OSError) -> None:
        self._mute()

    def _mute(self) -> None:
        """Let the descriptor lead nowhere, so that what is buffered can be let go."""
        with suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)


class Essential(MutedOnError):
    """A stream that is turned off in the same way, and raises `OutputLost` from then on."""

    _lost: OSError | None = None

    def flush(self) -> None:
        """Send what was written."""
        super().flush()
        if self._lost is not None:  # whoever wrote may have passed over the error, as click does
            raise OutputLost(self._lost)

    def _fail(self, error: OSError) -> None:
        self._mute()
        self._lost = error
        raise OutputLost(error)


@contextmanager
def muted_on_error(output: type[MutedOnError] = MutedOnError) -> Iterator[None]:
    """Mute this process's output where it fails; `output` says what becomes of standard output.

    Raises:
        OutputLost: it cannot be written, and is `Essential`.
    """
    former = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = output(former[0]), MutedOnError(former[1])
    try:
        yield
        sys.stdout.flush()
    finally:
        for stream in former:
            MutedOnError(stream).flush()
        sys.stdout, sys.stderr = former
