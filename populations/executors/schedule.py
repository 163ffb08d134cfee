"""Who does what, for how long, and who is believed: the Ray executor's decisions, without Ray."""

from collections import Counter, deque
from collections.abc import Iterable, Sequence
from typing import Literal

from populations.individual import Job

FIRST_DEADLINE = 900.0  # seconds, before any call was measured: the first one may compile
FLOOR = 60.0  # seconds: a shorter call may stumble over its machine's other work
SLACK = 10.0  # times the longest measured call
WINDOW = 100  # calls that the longest is sought in
CALLS = 4  # of a worker in a generation, on average at most; a call takes some 2 kB on the wire
SMOOTHING = 0.5  # weight of a new measurement of an operator's cost


class Costs:
    """Seconds that a child of each operator took lately."""

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}

    def measured(self, jobs: Sequence[Job], seconds: float) -> None:
        """Take note of the time of a call that made `jobs`."""
        for job in jobs:
            each = seconds / len(jobs)
            known = self._seconds.get(job.operator, each)
            self._seconds[job.operator] = known + SMOOTHING * (each - known)

    def longest_first(self, jobs: Sequence[Job]) -> list[Job]:
        """Return the jobs, the costliest parents' first, and of each the costliest child first.

        Siblings stay together, for those of one call share their parent's forward pass.
        """
        cost = {job: self._seconds.get(job.operator, 0.0) for job in jobs}
        family: dict[tuple[int, ...], float] = {}
        for job in jobs:
            family[job.parents] = family.get(job.parents, 0.0) + cost[job]
        return sorted(jobs, key=lambda j: (-family[j.parents], j.parents, -cost[j], j.index))


def take(queue: "deque[Job]", workers: int, total: int) -> tuple[Job, ...]:
    """Take the next call's jobs off the queue, which began with `total`: guided self-scheduling.

    Polychronopoulos and Kuck (IEEE Transactions on Computers 36, 1987): large pieces first, for the
    few calls; small ones at the end, so that nobody waits long for the slowest. Half their size,
    since workers may differ in speed; and never so small that calls outnumber `CALLS` a worker.
    """
    if workers == 1:
        count = len(queue)
    else:
        count = max(len(queue) // (2 * workers), -(-total // (CALLS * workers)))
    return tuple(queue.popleft() for _ in range(min(count, len(queue))))


class Deadline:
    """The seconds after which a silent call counts as hung."""

    def __init__(self, setting: float | Literal["auto"]) -> None:
        self._fixed = None if setting == "auto" else setting
        self._measured: deque[float] = deque(maxlen=WINDOW)

    @property
    def seconds(self) -> float:
        """The present deadline."""
        if self._fixed is not None:
            return self._fixed
        return max(FLOOR, SLACK * max(self._measured)) if self._measured else FIRST_DEADLINE

    def answered(self, seconds: float) -> None:
        """Take note of a call that came back."""
        self._measured.append(seconds)

    def missed(self) -> None:
        """Take note of a call that did not. It may only be long: the next has twice as much."""
        self._measured.append(2 * self.seconds / SLACK)


def agreed(checksums: Iterable[tuple[str, bool]]) -> str:
    """Return the checksum that most have: of those that proved themselves, else of all.

    A draw goes to the one that comes first, so it must not be the fastest that does.

    Args:
        checksums: each replica's, and whether it agreed before on a generation that it advanced to
            itself. A newcomer has no vote: else nodes of other hardware, once they are the
            majority, would take over a run that others began.
    """
    answers = list(checksums)
    voters = [checksum for checksum, proven in answers if proven] or [c for c, _ in answers]
    return Counter(voters).most_common(1)[0][0]
