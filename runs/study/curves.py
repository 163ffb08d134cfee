"""Learning curves: a metric against what was spent, as the median over a strategy's runs."""

from collections.abc import Iterator, Sequence

import numpy as np

from runs.store.budgets import AXES
from runs.study.comparison import Comparison
from runs.study.plot_style import colours_of
from runs.study.records import Record
from runs.tracking.study_logger import StrategyCurves


def scorings(
    records: Sequence[Record], strategy: str, metric: str, price: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return the price (K,) and the values (runs, K) of a strategy's scorings; NaN: none."""
    runs = [r.points for r in records if r.strategy == strategy and r.points]
    length = max(map(len, runs), default=0)
    x, y = np.full((len(runs), length), np.nan), np.full((len(runs), length), np.nan)
    for row, points in enumerate(runs):
        for column, point in enumerate(points):
            x[row, column] = point.spent[price]
            y[row, column] = point.values.get(metric, np.nan)
    y[~np.isfinite(y)] = np.nan
    kept = np.isfinite(y).any(axis=0)
    return np.nanmedian(x[:, kept], axis=0) if kept.any() else np.empty(0), y[:, kept]


def strategy_curves(comparison: Comparison, axis: str) -> list[StrategyCurves]:
    """Return every strategy's median curves and final medians, for MLflow.

    The deciding metric is given against every axis, the others against the budget's.

    Args:
        comparison: what was compared.
        axis: the budget's, one of `runs.store.budgets.AXES`.
    """
    return [_of_strategy(comparison, name, axis) for name in comparison.strategies]


def _of_strategy(comparison: Comparison, strategy: str, axis: str) -> StrategyCurves:
    records = comparison.records
    curves = {
        f"{metric} by {price}": curve
        for metric, price in _panels(comparison, axis)
        if (curve := _median(*scorings(records, strategy, metric, price)))
    }
    medians = {m.metric: m.summaries[strategy].median for m in comparison.metrics}
    seeds = sum(r.strategy == strategy and bool(r.points) for r in records)
    count = f"{seeds} seed{'s' if seeds != 1 else ''}"
    finals = {name: value for name, value in medians.items() if value is not None}
    colour = colours_of(comparison.strategies)[strategy]
    return StrategyCurves(strategy, colour, count, curves, finals)


def _panels(comparison: Comparison, axis: str) -> Iterator[tuple[str, str]]:
    deciding, *others = [compared.metric for compared in comparison.metrics]
    yield from ((deciding, price) for price in AXES)
    yield from ((metric, axis) for metric in others)


def _median(x: np.ndarray, y: np.ndarray) -> list[tuple[int, float]]:
    """Return the medians (K,) of values (runs, K) by whole units of what was spent (K,)."""
    if not x.size:
        return []
    medians = np.nanmedian(y, axis=0)
    return sorted({round(at): float(value) for at, value in zip(x, medians, strict=True)}.items())
