"""A Ray executor's worker: its place, the actor there, and how it is launched."""

import os
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import ray

from populations.executors.base import Exported, Outcome, PlacementConfig, Replica, Survivors
from populations.executors.ray.cluster import LOOK, NODE, actor_options, bounded, places, unit
from populations.garbage import collect_seldom
from populations.individual import Job


@dataclass(frozen=True)
class Place:
    """Where a worker runs."""

    node_id: str
    host: str
    process: int

    @property
    def node(self) -> str:
        """The node's name: one host may hold several."""
        return f"{self.host} ({self.node_id[:8]})"


class ReplicaActor:
    """What runs in a worker process; `start` builds the replica, so that its errors can be read."""

    def __init__(self) -> None:
        collect_seldom()  # before torch is imported, with the replica

    def place(self) -> Place:
        """Return where this worker runs; an answer means that the worker has been placed."""
        return Place(ray.get_runtime_context().get_node_id(), platform.node(), os.getpid())

    def start(self, factory: Callable[[], Replica]) -> str:
        """Build the replica and return its hardware's name."""
        self._replica = factory()
        return self._replica.hardware

    def step(
        self,
        generation: int,
        survivors: Survivors | None,
        jobs: Sequence[Job],
        scored: bool = True,
    ) -> Outcome:
        """Call the replica's `step`."""
        return self._replica.step(generation, survivors, jobs, scored)

    def export(self) -> Exported:
        """Call the replica's `export`."""
        return self._replica.export()

    def restore(self, exported: Exported | None, history: Sequence[Survivors]) -> tuple[str, int]:
        """Call the replica's `restore`; return the checksum, and the bytes that came."""
        return self._replica.restore(exported, history), getattr(exported, "nbytes", 0)


@dataclass
class Worker:
    """One worker slot: its present actor and its history."""

    slot: int
    actor: Any
    placed: Any  # the reference of the call `place`
    started: Any  # the reference of the call `start`
    # waiting (for a place), starting, started (without the state), joined, lost, given up
    state: str = "waiting"
    place: Place | None = None
    hardware: str = ""
    had_room: bool = False  # when it was asked for, so that only its process is waited for
    since: float = 0.0  # when its successor was asked for, or got its place
    told: bool = False  # that it waits
    proven: bool = False  # it agreed on a generation that it advanced to itself
    lost_on: list[str] = field(default_factory=list)  # nodes, since it last answered
    restarts: int = 0
    resyncs: int = 0

    @property
    def joined(self) -> bool:
        """Return whether it holds the state."""
        return self.state == "joined"

    @property
    def node(self) -> str:
        """Return its node's name, as far as it has one."""
        return self.place.node if self.place else "no node yet"


class Launcher:
    """Requests workers of one size from Ray, on any node that is not avoided.

    Attributes:
        unit: the resources of a worker, in words.
        avoided: the ids of the nodes where none may start.
    """

    def __init__(
        self, factory: Callable[[], Replica], config: PlacementConfig, device: str
    ) -> None:
        self.unit = unit(config, device)
        self.avoided: set[str] = set()
        self._factory = factory  # not in the object store: where that is lost, Ray ends the program
        self._options = actor_options(config, device)

    def room(self) -> int:
        """Return how many workers fit on the nodes that are there now."""
        return places(ray.cluster_resources(), self._options)

    def launch(self, slot: int) -> Worker:
        """Return a new worker, which waits for a place."""
        room = self._free()
        return Worker(slot, *self._actor(), had_room=room)

    def relaunch(self, worker: Worker) -> None:
        """Give a worker whose actor is gone a new one, which waits for a place."""
        worker.state, worker.place, worker.hardware = "waiting", None, ""
        worker.proven, worker.since, worker.told = False, time.monotonic(), False
        worker.had_room = self._free()
        worker.actor, worker.placed, worker.started = self._actor()

    def _free(self) -> bool:
        """Return whether there surely is a place that nobody has taken."""
        if self.avoided or "label_selector" in self._options:  # which resources say nothing of
            return False
        free = bounded(ray.available_resources, LOOK) or {}
        return places(free, self._options) > 0

    def _actor(self) -> tuple[Any, Any, Any]:
        options = dict(self._options)
        if self.avoided:
            labels = options.get("label_selector", {})
            options["label_selector"] = labels | {NODE: f"!in({','.join(sorted(self.avoided))})"}
        actor = ray.remote(**options)(ReplicaActor).remote()
        return actor, actor.place.remote(), actor.start.remote(self._factory)
