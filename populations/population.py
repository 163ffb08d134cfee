"""The population as the loop sees it: choose the survivors, advance to them, evaluate children.

`choose` only notes the survivors. The replicas adopt them, and train on them, when they advance.
They do so in the same call as the next evaluation, so a generation costs each worker one round
trip; before a snapshot or at the end, `advance` does it alone.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from populations.executors.base import Executor, Exported, Outcome, Survivors
from populations.individual import Job, Score


class Population:
    """The evolving population, on whatever replicas the executor keeps."""

    def __init__(self, executor: Executor, generation: int = 0) -> None:
        self._executor = executor
        self._chosen: Survivors | None = None
        self.generation = generation
        self.outcome: Outcome | None = None

    def advance_and_evaluate(self, jobs: Sequence[Job], scored: bool = True) -> list[Score]:
        """Advance as `advance` does; then make the jobs' children and score them.

        The scores come in the order of the jobs.
        """
        self.outcome = self._step(jobs, scored)
        return [self.outcome.scores[job.index] for job in jobs]

    def evaluate(self, jobs: Sequence[Job]) -> list[Score]:
        """Make further children of the generation that was evaluated, and score them."""
        before, more = self.outcome, self._step(jobs)
        assert before is not None and before.generation == more.generation
        seconds = Counter(before.seconds)
        seconds.update(more.seconds)
        self.outcome = replace(
            more,
            training=before.training,
            seconds=dict(seconds),
            events=before.events + more.events,
        )
        return [more.scores[job.index] for job in jobs]

    def choose(self, survivors: Survivors) -> None:
        """Note the survivors, best first, as parents of the next generation, which begins here."""
        self._chosen = survivors
        self.generation += 1

    def advance(self) -> Outcome:
        """Let every replica adopt the chosen survivors and train on them, if it has not yet.

        The outcome has the checksum of the state, and the training's report.
        """
        return self._step(())

    def export(self) -> Exported:
        """Return the state of a replica that has advanced, as plain arrays."""
        return self._executor.export()

    def _step(self, jobs: Sequence[Job], scored: bool = True) -> Outcome:
        outcome = self._executor.step(self.generation, self._chosen, jobs, scored)
        self._chosen = None
        return outcome
