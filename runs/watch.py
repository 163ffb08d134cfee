"""What follows from the scorings of a run: the best so far, early stopping, the collapse alarm."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from runs.evaluation import EvaluationConfig, better, collapsed, short_values
from runs.journal import Scoring

Action = Literal["warn", "stop", "rollback"]


@dataclass(frozen=True)
class Verdict:
    """Whether a scoring is the best so far, and what is to be done."""

    best: bool
    action: Action | None = None
    reason: str = ""


class Watch:
    """Judges scorings in their order; a pure function of their values, so resume repeats it."""

    def __init__(self, config: EvaluationConfig, past: Iterable[Scoring] = ()) -> None:
        self._config = config
        self._best: dict[str, float] = {}  # the best value of each metric, by short name
        self._since_best = 0
        self._seen: set[int] = set()
        self.stopped: str | None = None
        for scoring in past:
            self.judge(scoring.generation, scoring.values)

    def due(self, generation: int) -> bool:
        """Return whether the state of a generation is to be scored, and was not yet."""
        every = self._config.every
        return bool(every and generation and generation % every == 0) and (
            generation not in self._seen
        )

    def judge(self, generation: int, values: dict[str, float]) -> Verdict:
        """Return what follows from a scoring's values (by full name)."""
        self._seen.add(generation)
        short = short_values(values)
        alarm = self._alarm(short)
        deciding = self._config.deciding
        value, former = short[deciding], self._best.get(deciding)
        best = former is None or better(deciding, value, former)
        for metric, found in short.items():
            known = self._best.get(metric)
            if known is None or better(metric, found, known):
                self._best[metric] = found
        self._since_best = 0 if best else self._since_best + 1
        patience = self._config.patience
        if patience is not None and self._since_best >= patience:
            self.stopped = f"{deciding} has not improved in {patience} scorings"
            return Verdict(best, "stop", self.stopped)
        if alarm and self._config.collapse:
            if self._config.collapse.action == "stop":
                self.stopped = alarm
            return Verdict(best, self._config.collapse.action, alarm)
        return Verdict(best)

    def _alarm(self, values: dict[str, float]) -> str:
        collapse = self._config.collapse
        if collapse is None or collapse.metric not in self._best:
            return ""
        value, best = values[collapse.metric], self._best[collapse.metric]
        if not collapsed(collapse, value, best):
            return ""
        return f"{collapse.metric} is {value:.4g}, its best was {best:.4g}"
