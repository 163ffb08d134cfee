"""The Ray executor's workers: they are requested, get the state, and are replaced if lost."""

import time
from collections import deque
from collections.abc import Callable
from typing import Any

import ray
from ray import exceptions

from populations.executors.base import (
    Exported,
    Origin,
    PlacementConfig,
    Recover,
    Replica,
    WorkerLost,
)
from populations.executors.ray.cluster import (
    HELD,
    Head,
    advice,
    free_resources,
    get,
    is_loss,
    is_ready,
    raise_mistake,
    reason_to_replace,
    short_of_memory,
    tells_of_lost_node,
)
from populations.executors.ray.worker import Launcher, Worker
from populations.executors.schedule import Costs, Deadline
from populations.messages import one_line

START_TIMEOUT = 300.0  # seconds for a placed worker to open its data and build its replica
HELD_TIMEOUT = 10.0  # seconds for a replica to give its state while a step runs
NODE_PATIENCE = 30.0  # seconds in which the head finds out that a node went away
SETTLE = 10.0  # seconds without news after which the workers still missing have no place
DISAGREEMENTS = 3  # of a node's replicas within so many generations, then the node is avoided
DISAGREEMENT_WINDOW = 100
Event = dict[str, Any]
Say = Callable[[str], None]


class Crew:
    """All workers: they are requested, get the state, and are replaced if lost."""

    def __init__(
        self,
        factory: Callable[[], Replica],
        config: PlacementConfig,
        device: str,
        count: int,
        recover: Recover,
        say: Say,
    ) -> None:
        self.deadline = Deadline(config.deadline)
        self.costs = Costs()
        self.head = Head()
        self.unreported: list[Event] = []  # what happened between rounds
        self.restarts = config.restarts
        self._patience = config.patience
        self._recover = recover
        self._say = say
        self._launcher = Launcher(factory, config, device)
        self._disagreements: dict[str, deque[int]] = {}  # by node: the generations
        self._workers = [self._launcher.launch(slot) for slot in range(count)]
        try:
            self.unreported += self._assemble(min(count, self._launcher.room()), first=True)
        except BaseException:
            self.dismiss()  # else a joined cluster's share stays taken
            raise
        for worker in self._workers:
            worker.state = "joined" if worker.state == "started" else worker.state
        waiting = count - len(self.joined())
        more = f"; {waiting} more asked for" if waiting else ""
        self.description = f"on {count - waiting} Ray worker(s), {self._launcher.unit} each{more}"

    # ---------------------------------------------------------------------------- who is there

    def joined(self) -> list[Worker]:
        """Return the workers that hold the state."""
        return self._in("joined")

    def held(self) -> Exported | None:
        """Return the state of the first replica that answers, though its step still runs."""
        exports = [w.actor.export.options(concurrency_group=HELD) for w in self.joined()]
        calls = [export.remote() for export in exports]
        give_up = time.monotonic() + HELD_TIMEOUT
        while calls:
            ready = self.head.wait(calls, give_up - time.monotonic())
            if not ready:
                break
            calls.remove(ready[0])
            try:
                return get(ready[0])
            except Exception as error:
                reason_to_replace(error)
        return None

    def status(self) -> tuple[Event, ...]:
        """Return each replica's location, state and restarts."""
        return tuple(
            {
                "worker": worker.slot,
                "state": worker.state,
                "node": worker.place.node if worker.place else None,
                "process": worker.place.process if worker.place else None,
                "device": worker.hardware or None,
                "restarts": worker.restarts,
                "resyncs": worker.resyncs,
            }
            for worker in self._workers
        )

    def admit(self) -> list[Event]:
        """Give the state to workers that have started since, so that they take part."""
        events, self.unreported = self.unreported, []
        if len(self.joined()) == len(self._workers):
            return events
        events += self._look(first=False)
        if not self.joined():
            return events + self.rebuild()
        for worker in self._in("started"):
            if not self.joined():  # lost while they gave their state
                return events + self.rebuild()
            events += self.synchronise(worker, "worker-joined")
        return events + self._tell_waiting()

    def _in(self, *states: str) -> list[Worker]:
        return [worker for worker in self._workers if worker.state in states]

    def _look(self, first: bool) -> list[Event]:
        """Update the state of workers that were placed, have started, have failed, or hang.

        Raises:
            Exception: what a replica's building raised, if it is the `first` time.
        """
        events: list[Event] = []
        for worker in self._in("waiting"):
            if not is_ready(worker.placed):
                continue
            try:
                worker.place = ray.get(worker.placed)
            except exceptions.RayError as error:
                if first:
                    raise_mistake(error)
                events += self.replace(worker, error)
                continue
            worker.state, worker.since, worker.told = "starting", time.monotonic(), False
        for worker in self._in("starting"):
            if not is_ready(worker.started):
                if time.monotonic() - worker.since > START_TIMEOUT:
                    hung = TimeoutError(f"did not start within {START_TIMEOUT:.0f} s")
                    events += self.replace(worker, hung)
                continue
            try:
                worker.hardware = get(worker.started)
                worker.state = "started"
            except Exception as error:
                if first:
                    raise_mistake(error)
                if first and isinstance(error, ValueError):  # such as data that is not there
                    raise ValueError(f"on node {worker.node}: {error}") from error
                if first and not is_loss(error):
                    raise
                events += self.replace(worker, error)
        return events

    def _assemble(self, expected: int, first: bool = False) -> list[Event]:
        """Wait until workers have started: at least one, and all that are placed by then.

        Args:
            expected: the number of workers that there may be room for.
            first: a replica's own error is the user's to read.

        Raises:
            WorkerLost: no worker was placed in time.
        """
        events: list[Event] = []
        begin = news = time.monotonic()
        here, told = 0, False
        while True:
            events += self._look(first)
            started, starting = self._in("started"), self._in("starting")
            now = time.monotonic()
            if len(started) + len(starting) > here:
                news = now
            here = len(started) + len(starting)
            settled = here >= expected or now - news > SETTLE
            if started and not starting and settled:
                return events
            if not here and now - news > SETTLE and not told:
                self._say(self._waited_for())
                told = True
            if not here and now - begin > self._patience:
                raise WorkerLost(
                    f"no worker got a place within {self._patience:g} s: each needs "
                    f"{self._launcher.unit}, and {free_resources()}. Ask for smaller ones "
                    "(execution.cpus, execution.gpus), add nodes, or wait longer "
                    "(execution.patience)"
                )
            missing = [w.placed for w in self._in("waiting")] + [w.started for w in starting]
            self.head.wait(missing, 0.5)

    def _waited_for(self) -> str:
        """Say what is waited for where no worker has started: a process, or a place."""
        unit = self._launcher.unit
        if starting := sum(worker.had_room for worker in self._in("waiting")):
            return f"waiting for {starting} worker(s) to start: {unit} each"
        return f"waiting for a place for a worker: {unit}; {free_resources()}"

    def _tell_waiting(self) -> list[Event]:
        """Report waiting workers, each once."""
        now = time.monotonic()
        new = [w for w in self._in("waiting") if not w.told and now - w.since > SETTLE]
        for worker in new:
            worker.told = True
        if not new:
            return []
        slots = [worker.slot for worker in new]
        return [{"event": "workers-waiting", "workers": slots, "for": self._launcher.unit}]

    # ------------------------------------------------------------------------- joining and losing

    def replace(self, worker: Worker, error: BaseException) -> list[Event]:
        """Put a new actor in a lost worker's slot; it joins when it has started.

        If its node went away, the worker is not blamed. A node on which a worker is lost repeatedly
        is avoided from then on, as long as there are others.

        Raises:
            WorkerLost: it was lost too often, and no other worker is left; or all of Ray is lost.
        """
        self.head.look()
        ray.kill(worker.actor)
        reason = one_line(error, 300)
        worker.state = "lost"
        told = tells_of_lost_node(error)
        if not told:
            worker.lost_on.append(worker.place.node_id if worker.place else "")
        unsure = isinstance(error, (exceptions.ActorUnavailableError, TimeoutError))
        too_often = self._blamed(worker, NODE_PATIENCE if unsure else 0.0) > self.restarts
        gone = told or self.head.is_gone(worker.lost_on[-1])
        cause = "node" if gone else "memory" if short_of_memory(error) else "worker"
        event = {"event": "worker-lost", "worker": worker.slot, "node": worker.node}
        events = [event | {"cause": cause, "reason": reason}]
        if too_often:
            times = len(worker.lost_on)
            if not self._in("joined", "started", "starting"):
                raise WorkerLost(
                    f"worker {worker.slot} was lost {times} times in a row; "
                    f"execution.restarts allows {self.restarts}. The last reason: {reason}"
                    f"{advice(error)}"
                )
            events.append(self._avoid(worker, f"lost {times} times in a row there"))
            worker.lost_on.clear()
            if worker.place is None:  # nor would it get further anywhere else
                worker.state = "given up"
                return events
        worker.restarts += 1
        self._launcher.relaunch(worker)
        return events

    def _blamed(self, worker: Worker, patience: float) -> int:
        """Return how many of a worker's consecutive losses are not explained by a lost node.

        The head notices a lost node some seconds after its workers fall silent. This waits for
        it only where it makes a difference.
        """
        end = time.monotonic() + patience
        while True:
            blamed = sum(not self.head.is_gone(node) for node in worker.lost_on)
            if blamed <= self.restarts or time.monotonic() >= end:
                return blamed
            time.sleep(0.2)

    def synchronise(self, worker: Worker, kind: str) -> list[Event]:
        """Give one worker the state of a healthy replica, through the object store."""
        source = next(other for other in self.joined() if other is not worker)
        begin = time.monotonic()
        worker.state = "started"
        exported = source.actor.export.remote()
        try:
            _, size = self.result(worker.actor.restore.remote(exported, ()))
        except Exception as error:
            reason = reason_to_replace(error)
            try:  # whose fault was it?
                self.result(exported)
            except Exception as fault:  # the worker joins at another's hand
                return self.replace(source, reason_to_replace(fault))
            return self.replace(worker, reason)
        worker.state, worker.proven = "joined", False
        seconds = round(time.monotonic() - begin, 3)
        event = {"event": kind, "worker": worker.slot, "node": worker.node}
        return [event | {"seconds": seconds, "bytes": size}]

    def disagreed(self, worker: Worker, generation: int) -> list[Event]:
        """Give a replica that differs the majority's state; avoid its node if that recurs."""
        events = self.synchronise(worker, "replica-resynced")
        if not worker.joined:
            return events
        worker.resyncs += 1
        assert worker.place is not None
        seen = self._disagreements.setdefault(worker.place.node_id, deque(maxlen=DISAGREEMENTS))
        seen.append(generation)
        if len(seen) == DISAGREEMENTS and generation - seen[0] < DISAGREEMENT_WINDOW:
            seen.clear()
            reason = f"its bits differed {DISAGREEMENTS} times in {DISAGREEMENT_WINDOW} generations"
            events.append(self._avoid(worker, f"{reason} ({worker.hardware})"))
            ray.kill(worker.actor)
            self._launcher.relaunch(worker)
        return events

    def rebuild(self) -> list[Event]:
        """Rebuild the population when every replica is lost: newest snapshot, then replay."""
        events: list[Event] = []
        if self._launcher.avoided:  # nobody is left to disagree with
            self._launcher.avoided.clear()
            for worker in self._in("waiting", "given up"):
                ray.kill(worker.actor)
                self._launcher.relaunch(worker)
        while not self._in("started"):
            events += self._assemble(sum(not w.told for w in self._workers))
        origin = self._recover()
        _, lost = self.restore(origin)
        events += lost
        return [*events, {"event": "population-rebuilt", "replayed": len(origin.history)}]

    def restore(self, origin: Origin) -> tuple[str, list[Event]]:
        """Bring the workers to the end of `origin`; return the checksum, and which were lost.

        Raises:
            WorkerLost: none survives it.
        """
        exported = None if origin.exported is None else ray.put(origin.exported)
        checksums: list[str] = []
        events: list[Event] = []
        while not checksums:
            workers = self._in("started", "joined")
            if not workers:
                events += self._assemble(sum(not w.told for w in self._workers))
                continue
            calls = [w.actor.restore.remote(exported, origin.history) for w in workers]
            patience = self.deadline.seconds * (1 + len(origin.history))
            begin = time.monotonic()
            for worker, call in zip(workers, calls, strict=True):
                try:
                    checksum, _ = self.result(call, begin + patience - time.monotonic())
                except Exception as error:
                    events += self.replace(worker, reason_to_replace(error))
                    continue
                if not checksums:  # the others have as much to do, and began as early
                    patience = 2 * (time.monotonic() - begin) + self.deadline.seconds
                checksums.append(checksum)
                worker.state, worker.proven = "joined", False
        return checksums[0], events

    def dismiss(self) -> None:
        """Stop every worker."""
        self.head.close()
        for worker in () if self.head.lost_here else self._workers:
            ray.kill(worker.actor)

    def _avoid(self, worker: Worker, reason: str) -> Event:
        """Keep all new and waiting workers away from a worker's node."""
        if worker.place:
            self._launcher.avoided.add(worker.place.node_id)
            for other in self._in("waiting"):
                ray.kill(other.actor)
                told = other.told
                self._launcher.relaunch(other)
                other.told = told
        event = {"event": "node-avoided", "worker": worker.slot, "node": worker.node}
        return event | {"reason": reason}

    # ------------------------------------------------------------------------------------ waiting

    def result(self, reference: Any, patience: float | None = None) -> Any:
        """Return a call's result within `patience` seconds, by default the deadline.

        Raises:
            GetTimeoutError: it takes longer.
            Exception: what the call raised.
        """
        patience = self.deadline.seconds if patience is None else max(0.0, patience)
        if not self.head.wait([reference], patience):
            raise exceptions.GetTimeoutError(f"no answer in {patience:g} s")
        return get(reference)
