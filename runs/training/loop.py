"""The loop: algorithm 1 of Wang et al. (arXiv 1803.00657)."""

from dataclasses import dataclass

from populations.executors.base import Executor
from populations.population import Population
from populations.selection import Selection
from runs.common.signals import Stop
from runs.config.schema import RunConfig
from runs.training.record import Record
from runs.training.saving import SnapshotWriter
from runs.training.scoring import Scorer


@dataclass(frozen=True)
class Loop:
    """Evolves a population, and lets the others write down, score and save what comes of it."""

    config: RunConfig
    selection: Selection
    record: Record
    scorer: Scorer
    writer: SnapshotWriter
    executor: Executor  # which the population is on
    stop: Stop

    def evolve(self, population: Population) -> None:
        """Go on to the last generation, a signal, or a stop; a generation begins by training D.

        At the first one there is nobody to train it on, as the authors' code has it.
        """
        config, selection = self.config, self.selection
        self.scorer.score(population)
        while self._goes_on(population):
            operators, generation = config.population.operators, population.generation
            jobs = selection.propose(operators, config.seed, generation, self.scorer.mutation)
            scored = config.scored(generation)
            # On the replicas, in one round trip: adopt the survivors chosen before and train D on
            # them; then variation and evaluation.
            scores = population.advance_and_evaluate(jobs, scored)
            if crossings := selection.crossings(operators, generation, jobs, scores):
                scores += population.evaluate(crossings)
                jobs += crossings
            children = selection.individuals(population.generation, jobs, scores)
            survivors = selection.select(children)
            self.record.generation(population, children, survivors)
            population.choose(tuple(survivor.job for survivor in survivors))
            self.scorer.score(population)
            if population.generation % config.checkpoint.every == 0:
                self.writer.save(population)

    def _goes_on(self, population: Population) -> bool:
        watch = self.scorer.watch
        if watch.stopped:
            how = "ends as collapsed" if watch.forked else "stopped early"
            self.record.say(f"{how} at generation {population.generation}: {watch.stopped}")
            return False
        return population.generation < self.config.generations and self.stop.signal is None

    def run(self, population: Population) -> tuple[int, str]:
        """Evolve, and save the end; return the generation that the run ends at, and the checksum.

        A generation that takes longer than the grace after a signal is given up.
        """
        checkpoint = self.config.checkpoint
        try:
            if population.generation - max(self.writer.saved, 0) >= checkpoint.every:
                self.writer.save(population)  # one was lost: the next replay be shorter
            self.evolve(population)
            return population.generation, self.writer.save_last(population)
        except KeyboardInterrupt:
            if not self.stop.abandoned:
                raise
            self.record.say(
                f"gave up the generation after {checkpoint.grace:g} s; `resume` computes it again"
            )
            return self.writer.save_held(self.executor)
