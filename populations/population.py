"""The population as the loop sees it: evaluate children, advance to the survivors.

`advance` only notes the survivors; they travel with the next evaluation, so a generation costs each
worker one round trip. `settle` sends them alone, before a snapshot or at the end.
"""

from collections.abc import Sequence

from populations.executors.base import Executor, Exported, Outcome, Survivors
from populations.individual import Job, Score


class Population:
    """The evolving population, on whatever replicas the executor keeps."""

    def __init__(self, executor: Executor, generation: int = 0) -> None:
        self._executor = executor
        self._pending: Survivors | None = None
        self.generation = generation
        self.outcome: Outcome | None = None

    def evaluate(self, jobs: Sequence[Job], scored: bool = True) -> list[Score]:
        """Make the jobs' children, and score them; the scores come in the order of the jobs."""
        self.outcome = self._step(jobs, scored)
        return [self.outcome.scores[job.index] for job in jobs]

    def advance(self, survivors: Survivors) -> None:
        """Adopt the survivors as the next generation's parents, best first."""
        self._pending = survivors
        self.generation += 1

    def settle(self) -> Outcome:
        """Bring every replica to this generation and return its checksum and training report."""
        return self._step(())

    def export(self) -> Exported:
        """Return the settled state of a replica, as plain arrays."""
        return self._executor.export()

    def _step(self, jobs: Sequence[Job], scored: bool = True) -> Outcome:
        outcome = self._executor.step(self.generation, self._pending, jobs, scored)
        self._pending = None
        return outcome
