"""The consequences of a run's scorings: the best so far, early stopping, the collapse alarm."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from fitness.metrics.names import METRICS, MetricName
from runs.config.evaluation import Action, CollapseConfig, EvaluationConfig
from runs.store.journal import Scoring


@dataclass(frozen=True)
class Verdict:
    """Whether a scoring is the best so far, and what is to be done."""

    best: bool
    action: Action | None = None
    reason: str = ""


class Watch:
    """Judges scorings in their order; a pure function of their values, so resume repeats it.

    Attributes:
        best: the generation of the best scoring so far, if there is any.
        stopped: why the run is to stop, if it is.
        forked: whether it is to go on from its best snapshot as another run then.
    """

    def __init__(
        self, config: EvaluationConfig, past: Iterable[Scoring] = (), alarms: int = 0
    ) -> None:
        """Judge `past` first; `alarms` forks by an alarm lead to this run."""
        self._config = config
        self._alarms = alarms
        self._best: dict[str, float] = {}  # the best finite value of each metric, by short name
        self._spaces: set[str] = set()  # the feature spaces that these values are of
        self._since_best = 0
        self._seen: set[int] = set()
        self.best: int | None = None
        self.stopped: str | None = None
        self.forked = False
        for scoring in past:
            self.judge(scoring.generation, scoring.values)

    def due(self, generation: int) -> bool:
        """Return whether the state of a generation is to be scored, and was not yet."""
        return self._config.scores(generation) and generation not in self._seen

    def judge(self, generation: int, values: Mapping[str, float]) -> Verdict:
        """Return what follows from a scoring's values (by full name).

        One that ends the run as collapsed is never the best, whatever the
        deciding metric says of it: a few good images repeated can have a good FID.
        """
        self._seen.add(generation)
        spaces = {MetricName.parse(name).space for name in values}
        if spaces != self._spaces:  # values of two spaces are not compared
            self._spaces, self._best = spaces, {}
        short = short_values(values)
        alarm = self._alarm(short)
        action, alarm = self._answer(alarm) if alarm else (None, "")
        best = False
        if action in (None, "warn"):
            best = self._improves(self._config.deciding, short)
            self._best |= {name: v for name, v in short.items() if self._improves(name, short)}
        if best:
            self.best = generation
        self._since_best = 0 if best else self._since_best + 1
        patience = self._config.patience
        if patience is not None and self._since_best >= patience:
            action, alarm = (
                "stop",
                f"{self._config.deciding} has not improved in {patience} scorings",
            )
        if action in ("stop", "fork"):
            self.stopped, self.forked = alarm, action == "fork"
        return Verdict(best, action, alarm)

    def _answer(self, alarm: str) -> tuple[Action, str]:
        """Return what follows from an alarm, and why; what cannot be forked stops."""
        collapse = self._config.collapse
        assert collapse is not None
        if collapse.action == "fork" and self.best is None:
            return "stop", f"{alarm}; there is no best snapshot to fork"
        if collapse.action == "fork" and self._alarms >= collapse.forks:
            return "stop", f"{alarm}; evaluation.collapse.forks allows {collapse.forks} in a row"
        return collapse.action, alarm

    def _improves(self, metric: str, values: Mapping[str, float]) -> bool:
        return better(metric, values.get(metric, math.nan), self._best.get(metric, math.nan))

    def _alarm(self, values: Mapping[str, float]) -> str:
        """Return how the metric of the alarm collapsed, or nothing."""
        collapse = self._config.collapse
        if collapse is None or collapse.metric not in self._best:
            return ""
        value, best = values.get(collapse.metric, math.nan), self._best[collapse.metric]
        if not collapsed(collapse, value, best):
            return ""
        now = f"{value:.4g}" if math.isfinite(value) else "not finite"  # all that a journal says
        return f"{collapse.metric} is {now}, its best was {best:.4g}"


def short_values(values: Mapping[str, float]) -> dict[str, float]:
    """Return values by short metric name: `fid` for `fid-classifier-1k`.

    A translator in both directions has several values of a metric; their mean counts.
    """
    found: dict[str, list[float]] = {}
    for name, value in values.items():
        found.setdefault(MetricName.parse(name).metric, []).append(value)
    return {metric: sum(ways) / len(ways) for metric, ways in found.items()}


def better(metric: str, one: float, other: float) -> bool:
    """Return whether `one` is the better value of a metric; what is not finite is the worst."""
    if not (math.isfinite(one) and math.isfinite(other)):
        return math.isfinite(one)
    return one > other if METRICS[metric].higher_is_better else one < other


def collapsed(config: CollapseConfig, value: float, best: float) -> bool:
    """Return whether a value is worse than the best by the config's factor, or not finite."""
    if not math.isfinite(value):
        return True
    if METRICS[config.metric].higher_is_better:
        return value < best / config.factor
    return value > best * config.factor
