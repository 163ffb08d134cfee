"""A picture of metrics by class: a dot for each class, the reals' beside it."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fitness.metrics.names import METRICS, MetricName
from runs.common.figures import write_figure
from runs.store.class_values import ClassValues

if TYPE_CHECKING:
    from matplotlib.figure import Figure

GENERATED, REALS = "#0072B2", "#999999"  # Okabe and Ito's blue; grey
MOST_NAMES = 40  # classes that are named on the axis

# By full metric name, then by what the dots of one colour are of, then by class.
Panels = Mapping[str, Mapping[str, Mapping[str, float]]]


def class_dots(panels: Panels, colours: Mapping[str, str]) -> "Figure":
    """Return a picture with a panel for each metric: classes down, values across.

    `colours` are those of what is not called reals.
    """
    from matplotlib.figure import Figure

    rows = max(len(values) for series in panels.values() for values in series.values())
    size = (1.4 + 2.8 * len(panels), min(14.0, 1.8 + 0.25 * rows))
    figure = Figure(figsize=size, dpi=110, layout="constrained")
    axes = np.atleast_1d(figure.subplots(1, len(panels), sharey=True))
    for axis, (metric, series) in zip(axes, panels.items(), strict=True):
        names = list(dict.fromkeys(name for values in series.values() for name in values))
        places = np.arange(len(names))
        for label, values in series.items():
            row = [values.get(name, np.nan) for name in names]
            colour = colours.get(label, REALS)
            axis.plot(row, places, "o", color=colour, ms=5, alpha=0.8, label=label)
        better = METRICS[MetricName.parse(metric).metric].higher_is_better
        axis.set_title(f"{metric}\n({'higher' if better else 'lower'} is better)", fontsize=8)
        step = -(-len(names) // MOST_NAMES)
        axis.set_yticks(places[::step], names[::step])
        axis.set_ylim(len(names) - 0.5, -0.5)
        axis.grid(axis="x", alpha=0.3)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=5, fontsize=8, frameon=False)
    return figure


def draw_classes(values: Mapping[str, ClassValues], path: Path) -> None:
    """Write the picture of one generator's metrics by class, as a PNG."""
    panels = {
        metric: {
            "reals": {name: reals for name, (_, reals) in of.classes.items()},
            "generated": {name: value for name, (value, _) in of.classes.items()},
        }
        for metric, of in values.items()
    }
    write_figure(class_dots(panels, {"generated": GENERATED}), path)
