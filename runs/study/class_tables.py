"""Metrics by class in a comparison: a table for each metric, and a picture of all."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from runs.display.class_plot import class_dots
from runs.study.comparison import Comparison
from runs.study.plot_style import colours_of
from runs.study.records import Record


@dataclass(frozen=True)
class ClassTable:
    """One metric by class.

    Attributes:
        metric: its full name.
        medians: by class and strategy, the median of the last scoring over the seeds.
        reals: by class, what real samples come to.
    """

    metric: str
    medians: Mapping[str, Mapping[str, float]]
    reals: Mapping[str, float]


def class_tables(comparison: Comparison) -> list[ClassTable]:
    """Return a table for each compared metric that is known by class."""
    tables = (_table(metric.metric, comparison.records) for metric in comparison.metrics)
    return [table for table in tables if table.medians]


def _table(metric: str, records: Sequence[Record]) -> ClassTable:
    found: dict[str, dict[str, list[float]]] = {}
    reals: dict[str, float] = {}
    for record in records:
        last = record.points[-1] if record.points and record.status == "finished" else None
        if last is None or metric not in last.classes:
            continue
        for name, (value, real) in last.classes[metric].classes.items():
            found.setdefault(name, {}).setdefault(record.strategy, []).append(value)
            reals[name] = real  # the same in every run: they are the data's
    medians = {
        name: {strategy: float(np.median(values)) for strategy, values in by.items()}
        for name, by in found.items()
    }
    return ClassTable(metric, medians, reals)


def draw_tables(tables: Sequence[ClassTable], strategies: Sequence[str]) -> Figure | None:
    """Draw each class's values as dots, a panel for each metric; None: there are none."""
    if not tables:
        return None
    panels = {
        table.metric: {
            "reals": table.reals,
            **{
                strategy: {
                    name: medians[strategy]
                    for name, medians in table.medians.items()
                    if strategy in medians
                }
                for strategy in strategies
            },
        }
        for table in tables
    }
    return class_dots(panels, colours_of(strategies))
