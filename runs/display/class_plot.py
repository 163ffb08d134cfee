"""A picture of metrics by class: a dot for each class, the reals' beside it."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from egan.files import atomic_file
from fitness.metrics.names import METRICS, MetricName
from runs.store.class_values import ClassValues

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FAKES, REALS = "#0072B2", "#999999"  # Okabe and Ito's blue; grey
MOST_NAMES = 40  # classes that are named on the axis


def draw_classes(values: Mapping[str, ClassValues], path: Path) -> None:
    """Write a picture of metrics by full name: classes down, values across, a panel for each."""
    from matplotlib.figure import Figure

    rows = max(len(of.classes) for of in values.values())
    height = min(14.0, 1.4 + 0.24 * rows)
    figure = Figure(figsize=(1.2 + 2.6 * len(values), height), dpi=110, layout="constrained")
    panels = np.atleast_1d(figure.subplots(1, len(values), sharey=True))
    for axes, (metric, of) in zip(panels, values.items(), strict=True):
        _panel(axes, metric, of)
    panels[0].legend(loc="best", fontsize=7)
    with atomic_file(path) as temporary:
        figure.savefig(temporary, format="png")


def _panel(axes: "Axes", metric: str, of: ClassValues) -> None:
    names = list(of.classes)
    fakes, reals = np.array(list(of.classes.values())).T
    places = np.arange(len(names))
    axes.hlines(places, fakes, reals, REALS, linewidth=0.8)
    axes.plot(reals, places, "o", color=REALS, markersize=5, label="reals")
    axes.plot(fakes, places, "o", color=FAKES, markersize=5, label="generated")
    short = MetricName.parse(metric).metric
    better = "higher" if METRICS[short].higher_is_better else "lower"
    axes.set_title(f"{metric}\n({better} is better)", fontsize=8)
    step = -(-len(names) // MOST_NAMES)
    axes.set_yticks(places[::step], names[::step])
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.grid(axis="x", alpha=0.3)
