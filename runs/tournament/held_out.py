"""What islands are judged with: see `runs.evaluation.held_out`.

All islands are judged with the same noise and the same reals. Those of a finite source are held out
from training (`data.held_out`). The first draw ranks islands. The second one decides between the
last state and the kept one.
"""

from typing import Any

from runs.config.schema import RunConfig
from runs.evaluation.held_out import (
    ENDLESS,
    RANKING,
    SECOND,
    VERDICT,
    HeldOutJudge,
    Protocol,
    source_of,
)
from runs.sampling.opening import Choice, open_run
from runs.store.folder import RunFolder
from runs.tournament.config import Tournament

__all__ = ["RANKING", "VERDICT", "Judge", "kept_from_training", "reals_for_ranking"]

SHARE = 7  # of a finite source, a seventh at most


def reals_for_ranking(tournament: Tournament) -> int:
    """Return how many reals the first draw has.

    Raises:
        ConfigError: the data are pairs.
    """
    length, wanted = source_of(tournament.base).length, tournament.config.judge.reals
    return wanted or (ENDLESS if length is None else min(ENDLESS, length // SHARE))


def kept_from_training(tournament: Tournament) -> dict[str, Any]:
    """Return the keys of `data` that hold the judge's reals out; none if that is not needed."""
    if source_of(tournament.base).length is None:
        return {}
    count = reals_for_ranking(tournament)
    return {"held_out": count + count // SECOND}


class Judge(HeldOutJudge):
    """Judges states of a tournament's islands on one of the draws."""

    def __init__(self, tournament: Tournament, config: RunConfig, draw: int) -> None:
        """Prepare the reals; `config` is that of any island.

        Raises:
            ConfigError: the feature space does not fit the data.
        """
        judge = tournament.config.judge
        reals = reals_for_ranking(tournament)
        seed = tournament.base.seed
        super().__init__(
            Protocol(seed, judge.samples, reals, judge.space, judge.metric), config, draw
        )

    def of_island(self, folder: RunFolder, generation: int) -> float:
        """Return the fitness of a run's snapshot."""
        return self.fitness(open_run(folder, Choice(generation)).sampler)
