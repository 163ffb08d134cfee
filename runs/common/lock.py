"""One driver at a time in a run's folder: a lock that a dead process does not hold.

`flock` ends with its process, however that ended. Where the file system has no locks, or keeps them
for each machine apart, nothing worse happens than double work: a generation that two drivers write
down is the same one, and the journal's reader takes each once.
"""

import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from egan.files import lock
from runs.common.errors import ConfigError

GLANCES = 3  # times that a taken lock is tried, since `is_held` takes one for a moment
MOMENT = 0.05  # seconds between them


class RunBusy(RuntimeError):
    """Another living process writes to this run."""


class RunLock:
    """Holds a run's folder until it is closed; the file says who does."""

    def __init__(self, path: Path) -> None:
        """Take the lock.

        Raises:
            RunBusy: another process has it.
            OSError: the file cannot be opened.
        """
        self._file = path.open("a+", encoding="utf-8")
        if _take(self._file.fileno()) is False:
            who = holder(path)
            self._file.close()
            raise RunBusy(f"another process{who} is writing to the run {path.parent}")
        with suppress(OSError):  # a full disk: who holds the lock is a courtesy
            self._file.truncate(0)
            since = time.strftime("%Y-%m-%d %H:%M:%S")
            json.dump(
                {"host": socket.gethostname(), "pid": os.getpid(), "since": since}, self._file
            )
            self._file.flush()

    def close(self) -> None:
        """Let go of the folder."""
        with suppress(OSError):
            self._file.truncate(0)
        with suppress(OSError):
            self._file.close()

    def __enter__(self) -> "RunLock":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


@contextmanager
def folder_lock(path: Path, name: str, what: str) -> Iterator[None]:
    """Make a folder and hold it against a second process, by the file `name` in it.

    `what` says what lies in the folder, such as a study.

    Raises:
        ConfigError: it cannot be made, or written to.
        RunBusy: another process holds it.
    """
    with ExitStack() as stack:
        try:
            path.mkdir(parents=True, exist_ok=True)
            file = stack.enter_context((path / name).open("w"))
        except OSError as error:
            raise ConfigError(f"cannot write to {path}: {error.strerror}") from None
        if lock(file.fileno()) is False:
            raise RunBusy(f"another process is working on the {what} {path}")
        yield


def holder(path: Path) -> str:
    """Return who a lock file names, as ` (process 42 on node-3, since ...)`; nothing if unknown."""
    who = _named(path)
    if not {"pid", "host", "since"} <= who.keys():
        return ""
    return f" (process {who['pid']} on {who['host']}, since {who['since']})"


def is_own(path: Path) -> bool:
    """Return whether a lock file names this process."""
    who = _named(path)
    return (who.get("host"), who.get("pid")) == (socket.gethostname(), os.getpid())


def is_held(path: Path) -> bool | None:
    """Return whether a living process holds a lock.

    None: it cannot be known, for the file system has no locks, or another machine's process took
    it last, which some file systems do not see from here.
    """
    try:
        with path.open("rb") as file:
            held = lock(file.fileno(), shared=True)
    except FileNotFoundError:
        return False
    except OSError:
        return None
    if held is False:
        return True
    elsewhere = _named(path).get("host", socket.gethostname()) != socket.gethostname()
    return None if held is None or elsewhere else False


def _take(descriptor: int) -> bool | None:
    """Lock an open file; one that is taken is tried again, for it may be a glance of `is_held`."""
    for _ in range(GLANCES - 1):
        taken = lock(descriptor)
        if taken is not False:
            return taken
        time.sleep(MOMENT)
    return lock(descriptor)


def _named(path: Path) -> dict[str, Any]:
    """Return what a lock file says of its holder; nothing if it is missing or damaged."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}
