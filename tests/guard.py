"""A guard around unit tests: no process, no Ray, no MLflow and no store."""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

PROCESSES = {"subprocess.Popen", "os.posix_spawn", "os.fork", "os.forkpty", "os.exec", "os.system"}
STORES = {"sqlite3.connect"}
LIBRARIES = {"ray", "mlflow"}


class NotAUnitTest(BaseException):
    """A test without a mark did what needs one; no `except Exception` hides it."""


class Guard:
    """Raises at what a unit test must not do, in its main thread and in those that it starts.

    Threads that other tests left behind are free. A library that another test imported before is
    not noticed; where unit tests run alone, there is none.
    """

    def __init__(self) -> None:
        self.on = False
        self._free: set[threading.Thread] = set()
        self._hidden = ""  # what was raised, and has not arrived

    @contextmanager
    def around(self, unit: bool) -> Iterator[None]:
        """Watch a phase of a test; raise at its end what a thread or an `except` has hidden."""
        self._free = set(threading.enumerate()) - {threading.main_thread()}
        self._hidden, self.on = "", unit
        try:
            yield
        finally:
            self.on = False
        if self._hidden:
            raise NotAUnitTest(self._hidden)

    def audit(self, event: str, arguments: tuple[object, ...]) -> None:
        """Look at an event of Python's runtime, as an audit hook does."""
        if not self.on or threading.current_thread() in self._free:
            return
        heavy = event == "import" and str(arguments[0]).partition(".")[0] in LIBRARIES
        if heavy or event in PROCESSES | STORES:
            self._hidden = f"{event} {arguments!r:.200}: mark the test, or do without"
            raise NotAUnitTest(self._hidden)


GUARD = Guard()
sys.addaudithook(GUARD.audit)
