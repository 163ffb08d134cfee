"""The Ray executor's decisions, without Ray: jobs of a call, deadlines, majority of checksums."""

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
    """Recent seconds per child of each operator."""

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}

    def measured(self, jobs: Sequence[Job], seconds: float) -> None:
        """Note the time of a call that made `jobs`."""
        for job in jobs:
            each = seconds / len(jobs)
            known = self._seconds.get(job.operator, each)
            self._seconds[job.operator] = known + SMOOTHING * (each - known)

    def longest_first(self, jobs: Sequence[Job]) -> list[Job]:
        """Return the jobs, those of the slowest parents first, and of each the slowest child first.

        Siblings stay together, for those of one call share their parent's forward pass.
        """
        cost = {job: self._seconds.get(job.operator, 0.0) for job in jobs}
        family: dict[tuple[int, ...], float] = {}
        for job in jobs:
            family[job.parents] = family.get(job.parents, 0.0) + cost[job]
        return sorted(jobs, key=lambda j: (-family[j.parents], j.parents, -cost[j], j.index))


def take(queue: "deque[Job]", workers: int, total: int) -> tuple[Job, ...]:
    """Take the next call's jobs off the queue, which began with `total`: guided self-scheduling.

    Polychronopoulos and Kuck (IEEE Transactions on Computers 36, 1987): many jobs at first, for few
    calls; few at the end, so that no worker waits long for the slowest. Here half as many, since
    workers may differ in speed, and never so few that a worker gets more than `CALLS` calls.
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
        """Note the time of a call that was answered."""
        self._measured.append(seconds)

    def missed(self) -> None:
        """Note a call without an answer. It may only be slow, so the next deadline is doubled."""
        self._measured.append(2 * self.seconds / SLACK)


def agreed(checksums: Iterable[tuple[str, bool]]) -> str:
    """Return the majority's checksum: of the proven replicas, or of all if none is proven.

    A tie goes to the first, so the order must not be that of arrival.

    Args:
        checksums: each replica's, and whether it is proven: it has agreed before on a generation
            that it advanced to itself. A new replica has no vote; otherwise nodes of other
            hardware could take over a run as soon as they are the majority.
    """
    answers = list(checksums)
    voters = [checksum for checksum, proven in answers if proven] or [c for c, _ in answers]
    return Counter(voters).most_common(1)[0][0]
