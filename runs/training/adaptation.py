"""The adaptive choice of mutations: a bandit that is rewarded by the held-out metric.

Between two scorings all children are made by one mutation. Its reward is how much the fitness of
the averaged generator improved meanwhile. Which one is next follows from the scorings in the
journal, so a resumed run chooses as one that was never stopped.
"""

from collections.abc import Iterable

from egan.replica import ExportedState
from populations.bandit import choose, improvement
from runs.evaluation.held_out import RANKING, HeldOutJudge, protocol_of
from runs.sampling.states import sampler_of
from runs.store.journal import Scoring
from runs.training.info import RunInfo


class Adaptation:
    """Chooses a run's mutation from one scoring to the next.

    Attributes:
        mutation: the name of the present one; None: all are used.
    """

    def __init__(self, info: RunInfo, past: Iterable[Scoring] = ()) -> None:
        """Learn from the scorings so far.

        Raises:
            ConfigError: the run's samples cannot be judged.
        """
        config = self._config = info.config
        self._card = info.card
        self._uses: list[tuple[int, float]] = []
        self._fitness: float | None = None
        self._arm = 0
        self.mutation: str | None = None
        if config.selection.name == "bandit":
            self._judge = HeldOutJudge(protocol_of(config)[0], config, RANKING)
            self._choose()
            for scoring in past:
                self.learn(scoring.fitness)

    def fitness(self, exported: ExportedState) -> float | None:
        """Return the fitness of a state's averaged generator; None: nothing follows from it."""
        if self.mutation is None:
            return None
        sampler = sampler_of(self._config, self._card, exported)
        return self._judge.fitness(sampler.to(self._judge.device))

    def learn(self, fitness: float | None) -> None:
        """Take note of the fitness at a scoring, and choose the next mutation."""
        if self.mutation is None or fitness is None:
            return
        if self._fitness is not None:
            self._uses.append((self._arm, improvement(self._fitness, fitness)))
        self._fitness = fitness
        self._choose()

    def _choose(self) -> None:
        mutations = self._config.population.mutations
        self._arm = choose(len(mutations), self._uses)
        self.mutation = mutations[self._arm]
