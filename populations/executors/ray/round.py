"""One generation on Ray workers: idle workers get jobs; jobs of a lost worker are sent again."""

import time
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from populations.executors.base import Outcome, Survivors, WorkerLost
from populations.executors.ray.cluster import advice, get, reason_to_replace
from populations.executors.ray.crew import Crew
from populations.executors.ray.worker import Worker
from populations.executors.schedule import agreed, take
from populations.individual import Job, Score
from populations.messages import one_line


@dataclass
class Call:
    """A call that is not answered yet: its worker, its jobs, its start."""

    worker: Worker
    jobs: tuple[Job, ...]
    since: float = field(default_factory=time.monotonic)


class Round:
    """The calls of one generation; see above."""

    def __init__(
        self,
        crew: Crew,
        generation: int,
        survivors: Survivors | None,
        jobs: Sequence[Job],
        scored: bool,
    ) -> None:
        self._crew = crew
        self._generation = generation
        self._survivors = survivors
        self._jobs = jobs
        self._scored = scored
        self._events = crew.admit()
        self._queue = deque(crew.costs.longest_first(jobs))
        self._again: deque[Job] = deque()  # a lost call's, each alone: one of them may be its cause
        self._failures: Counter[Job] = Counter()
        self._called: set[tuple[int, int]] = set()  # actors: each takes part, if only to advance
        self._calls: dict[Any, Call] = {}
        self._outcomes: list[tuple[Worker, Outcome]] = []

    def run(self) -> Outcome:
        """Return the merged outcome of all replicas."""
        start = time.perf_counter()
        self._finish_calls()
        self._settle_disagreement()
        self._finish_calls()
        return self._merged(time.perf_counter() - start)

    def _finish_calls(self) -> None:
        self._hand_out()
        while self._calls:
            self._collect()
            self._hand_out()

    def _hand_out(self) -> None:
        """Give every idle worker its next jobs; if no worker is left, rebuild the population."""
        while not self._crew.joined():
            self._events += self._crew.rebuild()
            self._called.clear()  # the state may be that of the generation before
        busy = {call.worker.slot for call in self._calls.values()}
        workers = self._crew.joined()
        for worker in workers:
            if worker.slot in busy:
                continue
            if self._again:
                jobs: tuple[Job, ...] = (self._again.popleft(),)
            else:
                jobs = take(self._queue, len(workers), len(self._jobs))
            actor = (worker.slot, worker.restarts)
            first = actor not in self._called
            if jobs or first:
                self._called.add(actor)
                survivors = self._survivors if first else None  # it has adopted them
                call = worker.actor.step.remote(self._generation, survivors, jobs, self._scored)
                self._calls[call] = Call(worker, jobs)

    def _collect(self) -> None:
        """Wait for one answer; an error in the replica itself is raised, a lost worker replaced."""
        crew = self._crew
        oldest = min(self._calls, key=lambda reference: self._calls[reference].since)
        patience = self._calls[oldest].since + crew.deadline.seconds - time.monotonic()
        ready = crew.head.wait(list(self._calls), patience)
        reference = ready[0] if ready else oldest
        call = self._calls.pop(reference)
        worker, spent = call.worker, time.monotonic() - call.since
        if not ready:
            silence = TimeoutError(f"no answer in {crew.deadline.seconds:g} s")
            crew.deadline.missed()
            self._lose(call, silence)
            return
        try:
            outcome = get(reference)
        except Exception as error:
            self._lose(call, reason_to_replace(error))
            return
        worker.lost_on.clear()
        crew.deadline.answered(spent)
        made = outcome.seconds.get("variation", 0.0) + outcome.seconds.get("evaluation", 0.0)
        crew.costs.measured(call.jobs, made)
        self._outcomes.append((worker, outcome))

    def _lose(self, call: Call, error: BaseException) -> None:
        """Replace a lost worker, and queue its children again.

        Raises:
            WorkerLost: a child was lost with its worker too often: it may well be the cause.
        """
        events = self._crew.replace(call.worker, error)
        self._events += events
        self._again.extend(call.jobs)
        if events[0]["cause"] == "node":  # no child's fault
            return
        self._failures.update(call.jobs)
        for job in call.jobs:
            if len(call.jobs) == 1 and self._failures[job] > self._crew.restarts + 1:
                raise WorkerLost(
                    f"{self._failures[job]} workers in a row were lost with child {job.index} "
                    f"({job.operator}) of generation {self._generation}. The last reason: "
                    f"{one_line(error, 300)}{advice(error)}"
                )

    def _settle_disagreement(self) -> None:
        """Compare checksums; give the majority's state to the others, score their jobs again."""
        self._outcomes.sort(key=lambda pair: pair[0].slot)  # a draw must not go to the fastest
        checksums = {w.slot: (o.checksum, w.proven) for w, o in self._outcomes}
        right = agreed(checksums.values())
        strays = {w.slot: w for w, o in self._outcomes if o.checksum != right and w.joined}
        wrong = [o for _, o in self._outcomes if o.checksum != right]
        self._outcomes = [(w, o) for w, o in self._outcomes if o.checksum == right]
        for worker in strays.values():
            worker.state = "started"
        for worker, _ in self._outcomes:
            worker.proven = worker.proven or self._survivors is not None
        for worker in strays.values():
            if self._crew.joined():  # else those that agreed were lost since: all is made again
                self._events += self._crew.disagreed(worker, self._generation)
        scored = {index for outcome in wrong for index in outcome.scores}
        self._again.extend(job for job in self._jobs if job.index in scored)

    def _merged(self, wall: float) -> Outcome:
        scores: dict[int, Score] = {}
        spent: dict[int, dict[str, float]] = {}  # by worker: seconds by phase
        for worker, outcome in self._outcomes:
            scores |= outcome.scores
            own = spent.setdefault(worker.slot, {})
            for phase, value in outcome.seconds.items():
                own[phase] = own.get(phase, 0.0) + value
        phases = {phase for each in spent.values() for phase in each}
        seconds: dict[str, float] = {
            phase: max(each.get(phase, 0.0) for each in spent.values()) for phase in phases
        }
        slowest = max(sum(each.values()) for each in spent.values())
        seconds["messages"] = max(0.0, wall - slowest)
        # A replica that joined in this generation has no report of the last advance.
        outcomes = [outcome for _, outcome in self._outcomes]
        first = next((outcome for outcome in outcomes if outcome.training), outcomes[0])
        return replace(first, scores=scores, seconds=seconds, events=tuple(self._events))
