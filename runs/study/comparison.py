"""Which strategy is better, and how sure that is: medians, tests and warnings."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from fitness.metrics.names import METRICS, MetricName, nearest_name
from runs.common.errors import ConfigError
from runs.store.budgets import AXES
from runs.study.records import Record
from runs.study.statistics import ALPHA, Pair, Summary, compare_all, seeds_needed, summarise

Results = dict[str, dict[int, float]]  # by strategy, then seed


@dataclass(frozen=True)
class EqualBudget:
    """Results at the largest budget on one axis that every run has spent.

    Attributes:
        axis: one of `runs.store.budgets.AXES`.
        amount: the budget.
        medians: by strategy; None where no run has a finite result.
    """

    axis: str
    amount: float
    medians: dict[str, float | None]


@dataclass(frozen=True)
class MetricComparison:
    """All strategies on one metric.

    Attributes:
        metric: its full name, which states the protocol.
        higher_is_better: which way is up.
        results: the values, by strategy and seed; NaN: broken.
        summaries: by strategy.
        pairs: every two strategies, or the control with each other one.
        budgets: medians at equal budgets, one for each axis.
    """

    metric: str
    higher_is_better: bool
    results: Results
    summaries: dict[str, Summary]
    pairs: tuple[Pair, ...]
    budgets: tuple[EqualBudget, ...]

    @property
    def ranking(self) -> list[str]:
        """The strategies, best median first."""
        sign = -1 if self.higher_is_better else 1
        known = [name for name, s in self.summaries.items() if s.median is not None]
        return sorted(known, key=lambda name: sign * (self.summaries[name].median or 0.0))


@dataclass(frozen=True)
class Comparison:
    """Strategies compared on every metric; the first metric answers the question.

    With a `control` each of the others is compared with it, and they are not with each other.
    """

    metrics: tuple[MetricComparison, ...]
    records: tuple[Record, ...]
    warnings: tuple[str, ...]
    control: str | None = None

    @property
    def strategies(self) -> list[str]:
        """The strategies' names in the order of the study."""
        return list(dict.fromkeys(record.strategy for record in self.records))


def compare(
    records: Sequence[Record], metrics: Sequence[str] = (), control: str | None = None
) -> Comparison:
    """Compare the strategies of some runs.

    Args:
        records: the runs.
        metrics: short or full names; by default all that the runs were scored by.
        control: the strategy that each other one is compared with; None: every two are compared.

    Raises:
        ConfigError: there is nothing to compare, or no run has such a metric or strategy.
    """
    if not records:
        raise ConfigError("there are no runs to compare")
    strategies = dict.fromkeys(record.strategy for record in records)
    if control is not None and control not in strategies:
        raise ConfigError(f"control: {nearest_name(control, strategies, 'strategy')}")
    known = list(dict.fromkeys(n for r in records for p in r.points for n in p.values))
    if not known:
        failed = sum(record.status == "failed" for record in records)
        raise ConfigError(
            f"none of the {len(records)} runs has been scored yet ({failed} failed); a comparison "
            "needs `evaluation.every`, and runs that came that far"
        )
    compared = tuple(_compare_metric(records, name, control) for name in _chosen(metrics, known))
    return Comparison(compared, tuple(records), tuple(_warnings(records, compared)), control)


def _chosen(wanted: Sequence[str], known: Sequence[str]) -> list[str]:
    """Return the full names that are wanted by a short or a full name, in that order."""
    if not wanted:
        return list(known)
    chosen: dict[str, None] = {}
    for name in wanted:
        found = [full for full in known if name in (full, MetricName.parse(full).metric)]
        if not found:
            error = nearest_name(name, {MetricName.parse(full).metric for full in known}, "metric")
            raise ConfigError(f"{error} These the runs were scored by.")
        chosen.update(dict.fromkeys(found))
    return list(chosen)


def _compare_metric(
    records: Sequence[Record], metric: str, control: str | None
) -> MetricComparison:
    up = METRICS[MetricName.parse(metric).metric].higher_is_better
    results = results_of(records, metric)
    sign = 1 if up else -1  # the statistics take larger values for better ones
    oriented = {
        strategy: {seed: sign * value for seed, value in values.items()}
        for strategy, values in results.items()
    }
    summaries = {name: _turned(summarise(list(v.values())), up) for name, v in oriented.items()}
    budgets = tuple(filter(None, (_equal_budget(records, metric, axis) for axis in AXES)))
    pairs = compare_all(oriented, control)
    return MetricComparison(metric, up, results, summaries, pairs, budgets)


def results_of(
    records: Iterable[Record], metric: str, amount: float = math.inf, axis: str = "generations"
) -> Results:
    """Return the known values of a metric within a budget, by strategy and seed."""
    results: Results = {}
    for record in records:
        values = results.setdefault(record.strategy, {})
        value = record.result(metric, amount, axis)
        if value is not None:
            values[record.seed] = value
    return results


def _turned(summary: Summary, up: bool) -> Summary:
    """Return a summary of negated values in the metric's own direction."""
    if up or summary.median is None:
        return summary
    low, high = summary.low, summary.high
    return Summary(
        summary.n,
        summary.broken,
        -summary.median,
        None if summary.mean is None else -summary.mean,
        None if high is None else -high,
        None if low is None else -low,
        None if summary.best is None else -summary.best,
    )


def _equal_budget(records: Sequence[Record], metric: str, axis: str) -> EqualBudget | None:
    """Return the medians at what the thriftiest finished run has spent at its last scoring."""
    ends = [r.points[-1].spent[axis] for r in records if r.status == "finished" and r.points]
    if not ends:
        return None
    results = results_of(records, metric, min(ends), axis)
    medians = {name: _median(values.values()) for name, values in results.items()}
    return EqualBudget(axis, min(ends), medians)


def typical_run(comparison: Comparison, strategy: str) -> Record | None:
    """Return the run of a strategy whose result is nearest to the median, among those with samples.

    The first metric decides.
    """
    metric = comparison.metrics[0]
    runs = [r for r in comparison.records if r.strategy == strategy and r.picture is not None]
    median = metric.summaries[strategy].median
    if not runs or median is None:
        return runs[0] if runs else None

    def distance(run: Record) -> float:
        value = metric.results[strategy].get(run.seed, np.nan)
        return abs(value - median) if np.isfinite(value) else np.inf

    return min(runs, key=distance)


def _median(values: Iterable[float]) -> float | None:
    finite = [value for value in values if math.isfinite(value)]
    return float(np.median(finite)) if finite else None


def _warnings(records: Sequence[Record], compared: Sequence[MetricComparison]) -> Iterable[str]:
    for record in records:
        who = f"{record.strategy}, seed {record.seed}"
        if record.broke:
            yield f"{who}: failed ({record.error}); counted as worse than every number."
        elif record.status == "failed":
            yield f"{who}: failed ({record.error}); left out, as the strategy is not to blame."
        elif record.status == "unfinished":
            yield f"{who}: not finished; left out."
        elif not record.points:
            yield f"{who}: finished without a scoring; left out."
    for metric in compared:
        for name, summary in metric.summaries.items():
            if summary.broken:
                yield (
                    f"{metric.metric}: {summary.broken} of {summary.n} results of {name} are not "
                    "numbers; they rank below every number, and are not in its median."
                )
    if compared and (needed := _too_few(compared[0])):
        yield needed


def _too_few(metric: MetricComparison) -> str | None:
    """Return the warning that no difference could have been found, whatever the data."""
    pairs = [pair for pair in metric.pairs if pair.p is not None]
    if not pairs or any(pair.detectable is not None for pair in pairs):
        return None
    fewest, most = min(p.n for p in pairs), max(p.n for p in pairs)
    have = f"{fewest} to {most}" if fewest < most else str(most)
    return (
        f"Too few seeds to conclude anything: with {have} per strategy and {len(pairs)} pair(s), "
        "no difference, however large, reaches "
        f"p <= {ALPHA:g} after Holm's correction. At least {seeds_needed(len(pairs))} seeds are "
        "needed."
    )
