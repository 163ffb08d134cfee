"""The journal: one line per generation, append-only, the one source of truth about a run.

Its first line names the format, the version that wrote it and the run. Between the generations
stands a line for each scoring of the averaged generator, if the config asks for any, and one for
each event, written when it happens. Since a run is deterministic, a lost line costs its
generation's time, and what was recorded of it.
"""

import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import partial
from itertools import count
from pathlib import Path
from threading import Lock
from typing import Any

from egan.files import atomic_file
from runs.common.formats import STAMP, format_of
from runs.common.hints import hint
from runs.common.lock import RunLock
from runs.store.identity import Identity
from runs.store.index import Index
from runs.store.lines import (
    LONGEST,
    Damage,
    Entry,
    Event,
    Line,
    Scoring,
    head_of,
    read_line,
    seal,
)

__all__ = ["Damage", "Entry", "Event", "Journal", "Line", "Scoring", "read_journal", "seal"]


class Journal:
    """An open journal that one process appends to.

    Attributes:
        index: what its lines come to, if it was given: it is kept up to date, and saved.
    """

    index: Index | None = None

    def __init__(self, path: Path, identity: Identity) -> None:
        """Take the run's lock and open its journal; a new one gets its first line.

        Raises:
            RunBusy: another process writes to it.
            OSError: it cannot be written to.
        """
        self._path = path
        self._head = STAMP | identity.to_json()
        self._writing = Lock()
        self._lock = RunLock(path.with_suffix(".lock"))
        try:
            self._file = path.open("ab", buffering=0)
            if self._end() == 0:
                self._write(self._head)
        except BaseException:
            self._lock.close()
            raise

    def append(self, line: Line) -> None:
        """Write one line, or nothing of it; it outlives this process from here on.

        Any thread may call it.

        Raises:
            OSError: the disk is full, or the file is not where it was.
        """
        with self._writing:
            end = self._end()
            written = self._write(line.to_json())
            if self.index is not None:
                if self.index.size != end:  # another process wrote: the file system has no locks
                    self.index.follow()
                else:
                    self.index.add(written, [line])

    def _write(self, value: dict[str, Any]) -> bytes:
        end = self._end()
        written = seal(value).encode()
        rest = memoryview(written)
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            with suppress(OSError):
                self._file.truncate(end)
            raise self._lost(f"cannot be written to ({error.strerror})") from None
        return written

    def sync(self) -> None:
        """Force the lines to the disk, so that they outlive the machine."""
        os.fsync(self._file.fileno())
        if self.index is not None:
            with self._writing, suppress(OSError):  # of a full disk: it is only a help
                self.index.save()

    def rewrite(self, lines: Iterable[Line]) -> None:
        """Replace the journal by these lines after the first one, atomically."""
        index = None if self.index is None else self.index.anew()
        with atomic_file(self._path) as temporary, temporary.open("wb") as file:

            def write(value: dict[str, Any], items: list[Line]) -> None:
                written = seal(value).encode()
                file.write(written)
                if index is not None:
                    index.add(written, items)

            write(self._head, [])
            for line in lines:
                write(line.to_json(), [line])
        self._file.close()
        self._file = self._path.open("ab", buffering=0)
        self.index = index

    def keep(self) -> Path:
        """Copy the journal as it is to a file beside it, and return that."""
        numbers = (self._path.with_name(f"{self._path.stem}-damaged-{n}.jsonl") for n in count(1))
        kept = next(path for path in numbers if not path.exists())
        with atomic_file(kept) as temporary:
            shutil.copyfile(self._path, temporary)
        return kept

    def close(self) -> None:
        """Close the file and let go of the run."""
        self._file.close()
        self._lock.close()

    def _end(self) -> int:
        """Return the file's length; refuse to write to one that nobody would find."""
        status = os.fstat(self._file.fileno())
        try:
            there = os.path.samestat(status, self._path.stat())
        except FileNotFoundError:
            there = False
        if not there:
            raise self._lost("was removed or replaced while the run wrote to it")
        return status.st_size

    def _lost(self, what: str) -> OSError:
        return OSError(
            f"the journal {self._path} {what}, so the run stops here. What it wrote before is as "
            f"it was; put the cause right, then: {hint('resume', self._path.parent)}"
        )


def read_head(path: Path) -> dict[str, Any]:
    """Return what a journal's first line says of its format and its run.

    Empty where it says nothing: there is no journal, it is of format 1, or the line is damaged.
    """
    if not path.exists():
        return {}
    with path.open("rb") as file:
        return head_of(file.readline(LONGEST))


def read_journal(path: Path) -> Iterator[Line | Damage]:
    """Yield a journal's lines after the first in order, also those that are damaged.

    Raises:
        ConfigError: a newer version wrote it.
    """
    if not path.exists():
        return
    found = 1
    with path.open("rb") as file:
        for number, line in enumerate(iter(partial(file.readline, LONGEST), b""), 1):
            if number == 1 and (head := head_of(line)):
                found = format_of(head, path)
            else:
                yield from read_line(line, number, found)


def read_journal_from(path: Path, offset: int) -> Iterator[tuple[Line, int]]:
    """Yield a growing journal's sound lines from a byte on, each with the byte after it.

    A last line without its end is not read yet: it may still be in writing.

    Raises:
        ConfigError: a newer version wrote it.
    """
    with path.open("rb") as file:
        first = file.readline(LONGEST)
        head = head_of(first)
        found = format_of(head, path)
        offset = max(offset, len(first)) if head else offset
        file.seek(offset)
        for line in iter(partial(file.readline, LONGEST), b""):
            offset += len(line)
            if line.endswith(b"\n"):
                for item in read_line(line, 0, found):
                    if not isinstance(item, Damage):
                        yield item, offset
