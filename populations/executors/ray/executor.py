"""Replicas on Ray workers, one actor each, on a GPU or on CPU cores.

Every worker holds the whole state. In a generation each gets the last survivors with its first
call, and children as it asks for them; it answers with scores and a checksum: a few hundred bytes
whatever the model's size. Weights move only when a replica joins: from a healthy replica, through
the object store.

A run starts with the workers that there is room for; the others stay requested, which is what an
autoscaler sees, and join between generations. A lost worker's children go to the others.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from populations.executors.base import (
    Exported,
    Origin,
    Outcome,
    PlacementConfig,
    Recover,
    Replica,
    Survivors,
)
from populations.executors.ray.cluster import (  # first: it sets how Ray is imported
    CLOSE_TIMEOUT,
    bounded,
    choose_device,
    cluster_address,
    is_joined,
    leave,
    reason_to_replace,
    worker_count,
)
from populations.executors.ray.crew import Crew, Say
from populations.executors.ray.joining import connect
from populations.executors.ray.round import Round
from populations.individual import Job

__all__ = ["RayExecutor", "choose_device", "connect", "worker_count"]


class RayExecutor:
    """Children on Ray actors, each a replica of the whole state."""

    def __init__(
        self,
        factory_for: Callable[[str], Callable[[], Replica]],
        config: PlacementConfig,
        children: int,
        recover: Recover,
        say: Say = lambda text: None,
        code: Sequence[Path] = (),
    ) -> None:
        """Start the workers; `factory_for(device)` gives what builds a replica there.

        Args:
            factory_for: see above.
            config: where and how many.
            children: of a generation: more workers than that help nothing.
            recover: gives what a lost population is rebuilt from.
            say: called with the reason of a wait.
            code: packages and modules to send where `execution.ship_code` is set.

        Raises:
            ConnectionError: no cluster at the address.
            ValueError: the cluster has not what the config asks for, or a replica's own error.
            WorkerLost: a worker cannot start.
        """
        self._owns_ray = not is_joined()
        if self._owns_ray:
            connect(config, code, say)
        elif config.ship_code:
            raise ValueError(
                "execution.ship_code: this program has joined Ray already; give the packages to "
                "its own ray.init, as runtime_env={'py_modules': [...]}"
            )
        try:
            device = choose_device(config)
            if self._owns_ray and not cluster_address(config):
                count = worker_count(config, device, children)  # no more will ever be here
            else:
                count = children if config.workers == "auto" else config.workers
            self._crew = Crew(factory_for(device), config, device, count, recover, say)
        except BaseException:
            self._disconnect()
            raise
        self.description = self._crew.description

    def step(
        self,
        generation: int,
        survivors: Survivors | None,
        jobs: Sequence[Job],
        scored: bool = True,
    ) -> Outcome:
        """Bring every replica to `generation` and score `jobs`, each on one of them.

        Raises:
            WorkerLost: the workers, or the cluster's head, are lost for good.
        """
        outcome = Round(self._crew, generation, survivors, jobs, scored).run()
        return replace(outcome, replicas=self._crew.status())

    def export(self) -> Exported:
        """Return the state of a replica; the next one answers where the first is lost."""
        crew = self._crew
        while True:
            for worker in crew.joined():
                try:
                    return crew.result(worker.actor.export.remote())
                except Exception as error:
                    crew.unreported += crew.replace(worker, reason_to_replace(error))
            crew.unreported += crew.rebuild()

    def held(self) -> Exported | None:
        """Return the state of the first replica that answers, though its step still runs."""
        return self._crew.held()

    def restore(self, origin: Origin) -> str:
        """Bring every replica to the end of `origin`; return the state's checksum."""
        checksum, events = self._crew.restore(origin)
        self._crew.unreported += events
        return checksum

    def close(self) -> tuple[dict[str, Any], ...]:
        """Stop the workers, and leave Ray if this executor joined it; return untold events."""
        bounded(self._crew.dismiss, CLOSE_TIMEOUT)
        if not self._crew.head.lost_here:
            self._disconnect()
        return tuple(self._crew.unreported)

    def processes(self) -> list[int]:
        """Return the process ids of the workers that hold the state."""
        return [worker.place.process for worker in self._crew.joined() if worker.place]

    def _disconnect(self) -> None:
        if self._owns_ray:
            leave()
