"""Steps that can be given up: what makes a long generation end when a signal's grace is over."""

from collections.abc import Sequence
from typing import Any

from populations.executors.base import Executor, Exported, Origin, Outcome, Survivors
from populations.individual import Job
from runs.common.signals import Stop


class InterruptibleExecutor:
    """An executor whose `step` a stop may give up, which loses nothing but the step's own work.

    A replica's state is one immutable value, so what `held` gives then is the whole state of some
    generation; the journal has what was selected since.
    """

    def __init__(self, executor: Executor, stop: Stop) -> None:
        self._executor = executor
        self._stop = stop
        self.description = executor.description

    def step(
        self,
        generation: int,
        survivors: Survivors | None,
        jobs: Sequence[Job],
        scored: bool = True,
    ) -> Outcome:
        """Bring every replica to `generation` and score `jobs`.

        Raises:
            KeyboardInterrupt: it was given up.
        """
        with self._stop.abandonable():
            return self._executor.step(generation, survivors, jobs, scored)

    def export(self) -> Exported:
        """Return the state of a replica."""
        return self._executor.export()

    def held(self) -> Exported | None:
        """Return the state that a replica holds at this moment."""
        return self._executor.held()

    def restore(self, origin: Origin) -> str:
        """Bring every replica to the end of `origin`; return the state's checksum."""
        return self._executor.restore(origin)

    def close(self) -> tuple[dict[str, Any], ...]:
        """Free what the executor holds; return the events that no step told of."""
        return self._executor.close()
