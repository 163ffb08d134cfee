"""Slow writes off the critical path: one at a time, in the order given."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor


class Background:
    """A single background thread whose failures to write are reported, not raised."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="background")
        self._running: Future[None] | None = None

    def submit(self, task: Callable[[], None]) -> OSError | None:
        """Begin a task after the one before it; return the error of that one, if it failed."""
        error = self.wait()
        self._running = self._pool.submit(task)
        return error

    def wait(self) -> OSError | None:
        """Wait for the running task; return its error, if it could not write."""
        running, self._running = self._running, None
        try:
            if running is not None:
                running.result()
        except OSError as error:
            return error
        return None

    def close(self) -> None:
        """End the thread, after the running task."""
        self._pool.shutdown(wait=True)
