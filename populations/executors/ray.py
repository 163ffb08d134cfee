"""Replicas on Ray workers, one actor each: an accelerator's or a CPU share's.

Every worker holds the whole state. In a generation each gets one call, with the last survivors and
its share of the children, and answers with scores and a checksum: a few hundred bytes whatever the
model's size. Weights move only when a replica joins: from a healthy replica, through the object
store. A lost worker's children go to the others; its successor joins when it has started.
"""

import logging
import os
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # no telemetry leaves
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # keep CPU actors from a warning
# `ray start` protects a cluster by the token it finds. Ray decides once, when it is imported,
# whether to show it; a program that imports Ray before us decides for itself.
TOKEN = Path.home() / ".ray" / "auth_token"
if "ray" not in sys.modules and (
    {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & set(os.environ) or TOKEN.exists()
):
    os.environ.setdefault("RAY_AUTH_MODE", "token")

import ray
from ray import exceptions

from populations.executors.base import (
    ExecutionConfig,
    Exported,
    Origin,
    Outcome,
    Recover,
    Replica,
    Survivors,
    WorkerLost,
)
from populations.individual import Job, Score

HELD_TIMEOUT = 10.0  # seconds for a replica to give its state while a step runs
START_TIMEOUT = 300.0  # seconds for a worker process to start and open its data
LOST = (
    exceptions.RayActorError,
    exceptions.ObjectLostError,
    exceptions.WorkerCrashedError,
    exceptions.NodeDiedError,
    exceptions.OutOfMemoryError,
    exceptions.GetTimeoutError,
)
Event = dict[str, Any]


class RayExecutor:
    """Children on Ray actors, each a replica of the whole state."""

    def __init__(
        self,
        factory_for: Callable[[str], Callable[[], Replica]],
        config: ExecutionConfig,
        children: int,
        recover: Recover,
    ) -> None:
        """Start the workers; `factory_for(device)` gives what builds a replica there.

        Raises:
            ConnectionError: no cluster at the address.
            ValueError: the cluster has not what the config asks for, or a replica's own error.
            WorkerLost: a worker cannot start.
        """
        self._owns_ray = not ray.is_initialized()
        if self._owns_ray:
            connect(config)
        try:
            device = choose_device(config)
            count = worker_count(config, device, children)
            self._crew = Crew(factory_for(device), config, device, count, recover)
        except BaseException:
            self._disconnect()
            raise
        share = f"{config.gpus:g} GPU" if device == "cuda" else f"{config.threads} CPU thread(s)"
        self.description = f"on {count} Ray worker(s), {share} each"

    def step(self, generation: int, survivors: Survivors | None, jobs: Sequence[Job]) -> Outcome:
        """Bring every replica to `generation` and score `jobs`, each on one of them.

        Raises:
            WorkerLost: a worker died more often than `execution.restarts` allows.
        """
        return Round(self._crew, generation, survivors, jobs).run()

    def export(self) -> Exported:
        """Return the state of a replica; the next one answers where the first is lost."""
        while True:
            for worker in self._crew.joined():
                try:
                    return get(worker.actor.export.remote(), self._crew.deadline)
                except LOST as error:
                    self._crew.unreported.append(self._crew.replace(worker, error))
            self._crew.unreported += self._crew.rebuild()

    def held(self) -> Exported | None:
        """Return the state of the first replica that answers, though its step still runs."""
        # A concurrency group has a thread of its own, so it answers while a step runs.
        exports = [w.actor.export.options(concurrency_group="held") for w in self._crew.joined()]
        calls = [export.remote() for export in exports]
        give_up = time.monotonic() + HELD_TIMEOUT
        while calls:
            ready, calls = ray.wait(calls, timeout=max(0.0, give_up - time.monotonic()))
            if not ready:
                break
            try:
                return get(ready[0], None)
            except LOST:
                continue
        return None

    def restore(self, origin: Origin) -> str:
        """Bring every replica to the end of `origin`; return the state's checksum."""
        checksum, events = self._crew.restore(origin)
        self._crew.unreported += events
        return checksum

    def close(self) -> None:
        """Stop the workers, and Ray if this executor started it."""
        self._crew.dismiss()
        self._disconnect()

    def processes(self) -> list[int]:
        """Return the workers' process numbers."""
        return [get(worker.actor.process.remote(), 60) for worker in self._crew.joined()]

    def _disconnect(self) -> None:
        if self._owns_ray:
            ray.shutdown()


# ------------------------------------------------------------------------------------------ workers


class ReplicaActor:
    """What runs in a worker process; `start` builds the replica, so that its errors can be read."""

    def start(self, factory: Callable[[], Replica]) -> None:
        """Build the replica."""
        self._replica = factory()

    def step(self, generation: int, survivors: Survivors | None, jobs: Sequence[Job]) -> Outcome:
        """Call the replica's `step`."""
        return self._replica.step(generation, survivors, jobs)

    def export(self) -> Exported:
        """Call the replica's `export`."""
        return self._replica.export()

    def restore(self, exported: Exported | None, history: Sequence[Survivors]) -> str:
        """Call the replica's `restore`."""
        return self._replica.restore(exported, history)

    def process(self) -> int:
        """Return the process number."""
        return os.getpid()


@dataclass
class Worker:
    """One slot: its present actor, and how many in a row were lost."""

    slot: int
    actor: Any
    started: Any  # the reference of the call `start`
    joined: bool = False
    losses: int = 0


class Crew:
    """The workers: launched, joined with the state, replaced when lost."""

    def __init__(
        self,
        factory: Callable[[], Replica],
        config: ExecutionConfig,
        device: str,
        count: int,
        recover: Recover,
    ) -> None:
        self.deadline = config.deadline
        self.unreported: list[Event] = []  # what happened between rounds
        self._restarts = config.restarts
        self._recover = recover
        self._factory = ray.put(factory)
        self._actor_class = ray.remote(**_resources(config, device))(ReplicaActor)
        self._workers = [Worker(slot, *self._launch()) for slot in range(count)]
        try:
            for worker in self._workers:
                self._await_first_start(worker)
        except BaseException:
            self.dismiss()  # else a joined cluster's share stays taken
            raise

    def joined(self) -> list[Worker]:
        """Return the workers that hold the state."""
        return [worker for worker in self._workers if worker.joined]

    def replace(self, worker: Worker, error: BaseException) -> Event:
        """Put a new actor in a lost worker's slot; it joins when it has started.

        Raises:
            WorkerLost: that was once too often.
        """
        ray.kill(worker.actor)
        reason = " ".join(str(error).split())[:300]
        worker.losses += 1
        if worker.losses > self._restarts:
            raise WorkerLost(
                f"worker {worker.slot} was lost {worker.losses} times in a row; "
                f"execution.restarts allows {self._restarts}. The last reason: {reason}"
            )
        worker.joined = False
        worker.actor, worker.started = self._launch()
        return {"event": "worker-lost", "worker": worker.slot, "reason": reason}

    def admit(self) -> list[Event]:
        """Give the state to workers that have started since, so that they take part."""
        events, self.unreported = self.unreported, []
        starting = [worker for worker in self._workers if not worker.joined]
        if not starting:
            return events
        if not self.joined():
            return events + self.rebuild()
        references = [worker.started for worker in starting]
        ready, _ = ray.wait(references, num_returns=len(references), timeout=0)
        return events + [self.synchronise(w) for w in starting if w.started in ready]

    def synchronise(self, worker: Worker) -> Event:
        """Give one worker the state of a healthy replica, through the object store."""
        source = next(other for other in self.joined() if other is not worker)
        try:
            get(worker.started, START_TIMEOUT)
            get(worker.actor.restore.remote(source.actor.export.remote(), ()), self.deadline)
        except LOST as error:
            return self.replace(worker, error)
        worker.joined = True
        return {"event": "worker-joined", "worker": worker.slot}

    def rebuild(self) -> list[Event]:
        """Make the population again when every replica is lost: newest snapshot, then replay."""
        origin = self._recover()
        _, events = self.restore(origin)
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
            calls = [w.actor.restore.remote(exported, origin.history) for w in self._workers]
            for worker, call in zip(self._workers, calls, strict=True):
                try:
                    get(worker.started, START_TIMEOUT)
                    checksums.append(get(call, None))
                    worker.joined = True
                except LOST as error:
                    events.append(self.replace(worker, error))
        return checksums[0], events

    def dismiss(self) -> None:
        """Stop every worker."""
        for worker in self._workers:
            ray.kill(worker.actor)

    def _launch(self) -> tuple[Any, Any]:
        actor = self._actor_class.remote()
        return actor, actor.start.remote(self._factory)

    def _await_first_start(self, worker: Worker) -> None:
        """Wait for a worker; an error in building its replica is the user's to read."""
        while not worker.joined:
            try:
                get(worker.started, START_TIMEOUT)
                worker.joined = True
            except exceptions.GetTimeoutError:
                raise WorkerLost(
                    f"worker {worker.slot} did not start within {START_TIMEOUT:.0f} s; free in "
                    f"the cluster: {ray.available_resources()}. Ask for fewer workers "
                    "(--workers N) or smaller ones (execution.threads, execution.gpus)"
                ) from None
            except LOST as error:
                self.replace(worker, error)


# -------------------------------------------------------------------------------------- generations


class Round:
    """One generation's calls: hand out, collect, hand out again what a lost worker held."""

    def __init__(
        self, crew: Crew, generation: int, survivors: Survivors | None, jobs: Sequence[Job]
    ) -> None:
        self._crew = crew
        self._generation = generation
        self._survivors = survivors
        self._jobs = jobs
        self._events = crew.admit()
        self._shares: deque[tuple[Job, ...]] = deque()
        self._calls: dict[Any, tuple[Worker, tuple[Job, ...], float]] = {}
        self._outcomes: list[tuple[Worker, Outcome]] = []

    def run(self) -> Outcome:
        """Return the merged outcome of all replicas."""
        start = time.perf_counter()
        workers = self._crew.joined()
        for worker, share in zip(workers, shares(self._jobs, len(workers)), strict=True):
            self._call(worker, share)
        self._finish_calls()
        self._settle_disagreement()
        self._finish_calls()
        return self._merged(time.perf_counter() - start)

    def _call(self, worker: Worker, share: tuple[Job, ...]) -> None:
        reference = worker.actor.step.remote(self._generation, self._survivors, share)
        self._calls[reference] = (worker, share, time.monotonic())

    def _finish_calls(self) -> None:
        while self._calls or self._shares or not self._outcomes:
            self._hand_out()
            self._collect()

    def _hand_out(self) -> None:
        """Give shares of lost workers to idle ones; with none left, make the population again."""
        if not self._crew.joined():
            self._events += self._crew.rebuild()
            idle = len(self._crew.joined()) - len(self._shares)
            self._shares.extend([()] * idle)  # without jobs, yet they come to this generation
        busy = {worker.slot for worker, _, _ in self._calls.values()}
        for worker in self._crew.joined():
            if self._shares and worker.slot not in busy:
                self._call(worker, self._shares.popleft())

    def _collect(self) -> None:
        """Wait for one answer; an error in the replica itself is raised, a lost worker replaced."""
        oldest = min(self._calls, key=lambda reference: self._calls[reference][2])
        patience = self._calls[oldest][2] + self._crew.deadline - time.monotonic()
        ready, _ = ray.wait(list(self._calls), num_returns=1, timeout=max(0.0, patience))
        reference = ready[0] if ready else oldest
        worker, share, _ = self._calls.pop(reference)
        try:
            outcome = get(reference, 0 if not ready else None)
        except LOST as error:
            hung = isinstance(error, exceptions.GetTimeoutError)
            reason = TimeoutError(f"no answer in {self._crew.deadline:g} s") if hung else error
            self._events.append(self._crew.replace(worker, reason))
            if share:
                self._shares.append(share)
            return
        worker.losses = 0
        self._outcomes.append((worker, outcome))

    def _settle_disagreement(self) -> None:
        """Compare checksums; give the majority's state to the others, score their jobs again."""
        self._outcomes.sort(key=lambda pair: pair[0].slot)  # a draw must not go to the fastest
        counts = Counter(outcome.checksum for _, outcome in self._outcomes)
        agreed = counts.most_common(1)[0][0]
        strays = [(w, o) for w, o in self._outcomes if o.checksum != agreed]
        self._outcomes = [(w, o) for w, o in self._outcomes if o.checksum == agreed]
        for worker, _ in strays:
            worker.joined = False
        for worker, outcome in strays:
            if self._crew.joined():  # else those that agreed were lost since: all is made again
                event = self._crew.synchronise(worker)
                resynced = event | {"event": "replica-resynced"} if worker.joined else event
                self._events.append(resynced)
            self._shares.append(tuple(job for job in self._jobs if job.index in outcome.scores))

    def _merged(self, wall: float) -> Outcome:
        scores: dict[int, Score] = {}
        seconds: dict[str, float] = {}
        for _, outcome in self._outcomes:
            scores |= outcome.scores
            for phase, spent in outcome.seconds.items():
                seconds[phase] = max(spent, seconds.get(phase, 0.0))
        slowest = max(sum(outcome.seconds.values()) for _, outcome in self._outcomes)
        seconds["messages"] = max(0.0, wall - slowest)
        # A replica that joined in this generation did not train its discriminator itself.
        outcomes = [outcome for _, outcome in self._outcomes]
        first = next((outcome for outcome in outcomes if outcome.training), outcomes[0])
        return replace(first, scores=scores, seconds=seconds, events=tuple(self._events))


def shares(jobs: Sequence[Job], count: int) -> list[tuple[Job, ...]]:
    """Split jobs into `count` runs of nearly equal length, so that siblings stay together."""
    base, extra = divmod(len(jobs), count)
    ends = [place * base + min(place, extra) for place in range(count + 1)]
    return [tuple(jobs[ends[place] : ends[place + 1]]) for place in range(count)]


# ---------------------------------------------------------------------------------------------- Ray


def connect(config: ExecutionConfig) -> None:
    """Join the cluster of `execution.address` or RAY_ADDRESS; without either start Ray here.

    Raises:
        ConnectionError: there is no cluster at that address.
    """
    address = config.address or os.environ.get("RAY_ADDRESS")
    common = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address:
        try:
            ray.init(address=address, **common)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise ConnectionError(f"no Ray cluster answers at {address!r}: {error}") from None
        return
    wanted = 0 if config.workers == "auto" else config.workers * config.threads
    cpus = max(os.cpu_count() or 1, wanted)
    with on_loopback():
        ray.init(address="local", include_dashboard=False, num_cpus=cpus, **common)


@contextmanager
def on_loopback() -> Iterator[None]:
    """Let what Ray starts here listen on 127.0.0.1 alone, as it does by itself outside Linux.

    On Linux it takes the machine's address and has no setting for it: `_node_ip_address` is
    resolved away from loopback.
    """
    from ray._private import ray_constants

    former = ray_constants.ENABLE_RAY_CLUSTER
    ray_constants.ENABLE_RAY_CLUSTER = False
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = former


def choose_device(config: ExecutionConfig) -> str:
    """Return "cuda" where the config asks for it, or leaves it open and the cluster has GPUs."""
    if config.device == "auto":
        return "cuda" if ray.cluster_resources().get("GPU", 0) >= config.gpus else "cpu"
    return config.device


def worker_count(config: ExecutionConfig, device: str, children: int) -> int:
    """Return how many workers there will be.

    Raises:
        ValueError: the cluster cannot hold the number asked for.
    """
    have = ray.cluster_resources()
    if device == "cuda":
        room, unit = int(have.get("GPU", 0) / config.gpus), f"{config.gpus:g} GPU"
    else:
        room, unit = int(have.get("CPU", 0) / config.threads), f"{config.threads} CPU"
    count = min(children, room) if config.workers == "auto" else config.workers
    if not 1 <= count <= room:
        raise ValueError(
            f"execution.workers: {config.workers} worker(s) of {unit} each do not fit the cluster, "
            f"which has {have.get('CPU', 0):g} CPU and {have.get('GPU', 0):g} GPU. Ask for fewer "
            "workers (--workers N) or smaller ones (execution.threads, execution.gpus)"
        )
    return count


def _resources(config: ExecutionConfig, device: str) -> dict[str, Any]:
    gpus = {"num_gpus": config.gpus} if device == "cuda" else {}
    return {"num_cpus": config.threads, **gpus, "concurrency_groups": {"held": 1}}


def get(reference: Any, timeout: float | None) -> Any:
    """Return a call's result; an error that the replica raised is raised here as it was there."""
    try:
        return ray.get(reference, timeout=timeout)
    except exceptions.RayTaskError as error:
        if error.cause is None:
            raise
        raise error.cause from error  # which shows where, in the worker
