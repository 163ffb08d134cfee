"""The population as the loop sees it, and the executor of one replica in process."""

from dataclasses import dataclass, field

import pytest

from populations.executors.base import Origin, Outcome
from populations.executors.local import LocalExecutor
from populations.individual import Job, Score
from populations.population import Population

JOBS = [Job(index, (0,), name) for index, name in enumerate("abc")]


@dataclass
class Notebook:
    """A replica that writes down what it is asked; its state is the survivors so far."""

    asked: list[object] = field(default_factory=list)
    lineage: tuple[object, ...] = ()
    hardware: str = "paper"

    def step(self, generation, survivors, jobs, scored=True):
        self.asked.append((generation, survivors, tuple(jobs)))
        if survivors is not None:
            self.lineage += (survivors,)
        scores = {job.index: Score((float(job.index), 0.0)) for job in reversed(jobs)}
        return Outcome(generation, f"sum{generation}", scores)

    def export(self):
        return self.lineage

    def restore(self, exported, history):
        self.asked.append((exported, tuple(history)))
        self.lineage = (*(exported or ()), *history)
        return str(self.lineage)


def test_survivors_travel_with_the_next_evaluation_and_only_once():
    replica = Notebook()
    population = Population(LocalExecutor(lambda: replica))
    population.advance_and_evaluate(JOBS)
    population.choose((JOBS[1],))
    assert population.generation == 1
    assert replica.asked == [(0, None, tuple(JOBS))]  # nothing was sent yet
    population.advance_and_evaluate(JOBS[:1])
    population.advance_and_evaluate(JOBS[:1])
    assert replica.asked[1:] == [(1, (JOBS[1],), (JOBS[0],)), (1, None, (JOBS[0],))]


def test_advancing_sends_the_survivors_alone():
    replica = Notebook()
    population = Population(LocalExecutor(lambda: replica), generation=6)
    population.choose((JOBS[2],))
    assert population.advance().checksum == "sum7"
    assert replica.asked == [(7, (JOBS[2],), ())]
    assert population.export() == ((JOBS[2],),)


def test_scores_come_in_the_order_of_the_jobs_whatever_the_order_they_were_made_in():
    population = Population(LocalExecutor(Notebook))
    scores = population.advance_and_evaluate([JOBS[2], JOBS[0], JOBS[1]])
    assert [score.values[0] for score in scores] == [2.0, 0.0, 1.0]
    assert population.outcome.generation == 0


@pytest.mark.parametrize("exported", [0, 1, 3])
def test_a_restored_replica_has_the_state_of_the_one_that_was_there_all_along(exported):
    population = Population(LocalExecutor(Notebook))
    history = [(job,) for job in JOBS]
    states = [population.export()]
    for survivors in history:
        population.choose(survivors)
        population.advance()
        states.append(population.export())
    executor = LocalExecutor(Notebook)
    executor.step(0, (JOBS[2],), ())  # another past, which is forgotten
    checksum = executor.restore(Origin(states[exported], history[exported:]))
    assert executor.export() == executor.held() == states[-1]
    assert checksum == str(states[-1])
