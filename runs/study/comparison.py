"""Which strategy is better, and how sure that is: tables, tests and plain sentences."""

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from fitness.metrics.names import METRICS, MetricName, nearest_name
from runs.common.errors import ConfigError
from runs.store.budgets import AXES, COUNTED
from runs.study.records import Record
from runs.study.statistics import ALPHA, POWER, Pair, Summary, compare_all, seeds_needed, summarise

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


# ---------------------------------------------------------------------------------------- sentences


def sentence(pair: Pair, metric: MetricComparison) -> str:
    """Return a pair's result as a person says it."""
    names = f"{pair.one} against {pair.other}"
    if pair.p is None or pair.effect is None or pair.holm is None:
        return f"{names}: nothing to compare, one of them has no result."
    seeds = f"{pair.n} seed{'' if pair.n == 1 else 's'}"
    found = f"A = {pair.effect:.2f}, p = {pair.holm:.2g}"
    if pair.differs():
        better, worse = (pair.one, pair.other) if pair.effect > 0.5 else (pair.other, pair.one)
        return f"{names}: {better} is better than {worse} with {seeds} ({found})."
    if pair.detectable is None:
        could = "with so few, no difference, however large, could have been found"
    else:
        could = f"a difference of A >= {math.ceil(pair.detectable * 100) / 100:.2f} would have been"
        could += f" seen ({POWER:.0%} of the time)"
    return f"{names}: no difference found with {seeds} ({found}); {could}."


def answer(comparison: Comparison) -> list[str]:
    """Return the answer to "which strategy is better, and does evolution help": a few sentences."""
    metric = comparison.metrics[0]
    sentences = []
    if metric.ranking:
        best = metric.ranking[0]
        listed = ", ".join(f"{name} {metric.summaries[name].median:.4g}" for name in metric.ranking)
        way = "higher" if metric.higher_is_better else "lower"
        sentences.append(f"By the median of {metric.metric} ({way} is better): {listed}.")
        if comparison.control is None:
            sentences.append(_about_the_best(best, metric))
        elif parts := _against_others(comparison.control, metric):
            sentences.append(f"{comparison.control} is {parts}.")
        if metric.pairs and all(pair.detectable is None for pair in metric.pairs):
            sentences.append(
                "With so few seeds no difference, however large, could have been found: this is a "
                "first look, not a result."
            )
    sentences += _about_evolution(comparison, metric)
    return sentences


def _about_the_best(best: str, metric: MetricComparison) -> str:
    pairs = [p for p in metric.pairs if best in (p.one, p.other) and p.p is not None]
    rivals = [pair.other if pair.one == best else pair.one for pair in pairs]
    beaten = [rival for pair, rival in zip(pairs, rivals, strict=True) if pair.differs()]
    if not pairs:
        return "No other strategy has results, so there is nothing to compare it with."
    if len(beaten) == len(pairs):
        return f"{best} is better than every other strategy, beyond chance."
    rest = [rival for rival in rivals if rival not in beaten]
    if not beaten:
        return f"No difference between {best} and {', '.join(rest)} was found beyond chance."
    return (
        f"{best} is better than {', '.join(beaten)} beyond chance; between {best} and "
        f"{', '.join(rest)} no difference was found."
    )


def _about_evolution(comparison: Comparison, metric: MetricComparison) -> list[str]:
    """Say whether evolution beats its controls, and what it cost."""
    if "evolution" not in metric.summaries:
        return []
    said = []
    if comparison.control != "evolution" and (parts := _against_others("evolution", metric)):
        said.append(f"Does evolution help? Evolution is {parts}.")
    price = _price(comparison)
    return said + ([price] if price else [])


def _against_others(name: str, metric: MetricComparison) -> str:
    """Return what a strategy is better and worse than; nothing if it was not compared."""
    found: dict[str, list[str]] = {
        "better than": [],
        "worse than": [],
        "not found to differ from": [],
    }
    for pair in metric.pairs:
        if name not in (pair.one, pair.other) or pair.effect is None or pair.p is None:
            continue
        better = (pair.effect > 0.5) == (pair.one == name)
        how = (
            ("better than" if better else "worse than")
            if pair.differs()
            else "not found to differ from"
        )
        found[how].append(pair.other if pair.one == name else pair.one)
    return "; ".join(f"{how} {', '.join(others)}" for how, others in found.items() if others)


def _price(comparison: Comparison) -> str | None:
    """Return what evolution spends in a generation, next to its cheapest control."""
    spent: dict[str, dict[str, float]] = {}
    for name in comparison.strategies:
        ends = [r.points[-1] for r in comparison.records if r.strategy == name and r.points]
        if ends:
            spent[name] = {
                axis: float(np.median([p.spent[axis] / p.generation for p in ends]))
                for axis in ("generator_steps", "seconds")
            }
    controls = [name for name in spent if name != "evolution"]
    if "evolution" not in spent or not controls:
        return None
    cheapest = min(controls, key=lambda name: spent[name]["seconds"])
    ratio = {
        axis: spent["evolution"][axis] / max(spent[cheapest][axis], 1e-12)
        for axis in ("generator_steps", "seconds")
    }
    return (
        f"A generation of evolution takes {ratio['generator_steps']:.3g} times the generator steps "
        f"and {ratio['seconds']:.2g} times the time of one of {cheapest}."
    )


# -------------------------------------------------------------------------------------------- files


def results_json(comparison: Comparison, study: Mapping[str, Any]) -> dict[str, Any]:
    """Return everything that a study's config and seeds decide, as JSON values; NaN is null.

    Times are not among it, so that two goes of one study give the same file.
    """
    return {
        "study": dict(study),
        "warnings": list(comparison.warnings),
        "metrics": [_metric_json(metric) for metric in comparison.metrics],
        "runs": [_record_json(record) for record in comparison.records],
    }


def _metric_json(metric: MetricComparison) -> dict[str, Any]:
    return {
        "metric": metric.metric,
        "better": "higher" if metric.higher_is_better else "lower",
        "strategies": {
            name: asdict(summary)
            | {"values": {str(seed): number(v) for seed, v in metric.results[name].items()}}
            for name, summary in metric.summaries.items()
        },
        "pairs": [asdict(pair) | {"sentence": sentence(pair, metric)} for pair in metric.pairs],
        "equal_budgets": [asdict(b) for b in metric.budgets if b.axis in COUNTED],
    }


def _record_json(record: Record) -> dict[str, Any]:
    return {
        "strategy": record.strategy,
        "seed": record.seed,
        "status": record.status,
        "error": record.error,
        "scorings": [
            {axis: number(point.spent[axis]) for axis in COUNTED}
            | {"values": {name: number(value) for name, value in point.values.items()}}
            for point in record.points
        ],
    }


def results_csv(comparison: Comparison) -> str:
    """Return a row per run: what it spent, and its last scoring."""
    names = list(dict.fromkeys(n for r in comparison.records for p in r.points for n in p.values))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["strategy", "seed", "status", *COUNTED, *names, "error"])
    for record in comparison.records:
        last = record.points[-1] if record.points else None
        spent = [f"{last.spent[axis]:.0f}" for axis in COUNTED] if last else [""] * len(COUNTED)
        values = [repr(last.values[n]) if last and n in last.values else "" for n in names]
        error = record.error or ""
        writer.writerow([record.strategy, record.seed, record.status, *spent, *values, error])
    return text.getvalue()


def number(value: float | None) -> float | None:
    """Return a number as JSON has it: null for what is not finite."""
    return value if value is not None and math.isfinite(value) else None
