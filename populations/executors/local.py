"""One replica in this process."""

import os
import platform
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from populations.executors.base import Exported, Origin, Outcome, Replica, Survivors
from populations.individual import Job


class LocalExecutor:
    """Runs every job on one replica, in process."""

    def __init__(self, factory: Callable[[], Replica]) -> None:
        self._replica = factory()
        self.description = "in this process"

    def step(
        self,
        generation: int,
        survivors: Survivors | None,
        jobs: Sequence[Job],
        scored: bool = True,
    ) -> Outcome:
        """Bring the replica to `generation` and score `jobs`."""
        outcome = self._replica.step(generation, survivors, jobs, scored)
        here = {"worker": 0, "state": "joined", "node": platform.node(), "process": os.getpid()}
        here |= {"device": self._replica.hardware, "restarts": 0, "resyncs": 0}
        return replace(outcome, replicas=(here,))

    def export(self) -> Exported:
        """Return the replica's state."""
        return self._replica.export()

    def held(self) -> Exported | None:
        """Return the replica's state: complete at any moment, as it is never changed in place."""
        return self._replica.export()

    def restore(self, origin: Origin) -> str:
        """Bring the replica to the end of `origin`; return the state's checksum."""
        return self._replica.restore(origin.exported, origin.history)

    def close(self) -> tuple[dict[str, Any], ...]:
        """Do nothing: the process holds no more than its memory, and nothing befalls it."""
        return ()
