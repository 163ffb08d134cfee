"""What all pictures of a report share: colours, size and titles."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from runs.study.comparison import MetricComparison

# Okabe and Ito's palette: told apart by colour-blind readers too, and in print.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#555555", "#F0E442")
# Paul Tol's muted palette for mutations, so that none looks like a strategy.
MUTED = ("#332288", "#DDCC77", "#44AA99", "#CC6677", "#88CCEE", "#882255", "#999933", "#AA4499")
MARKERS = "osD^vPX*"
PIXELS_PER_INCH = 110


def new_figure(width: float, height: float) -> Figure:
    """Return an empty picture; width and height in inches."""
    return Figure(figsize=(width, height), dpi=PIXELS_PER_INCH, layout="constrained")


def colours_of(names: Sequence[str]) -> dict[str, str]:
    """Return a colour for each name, in order."""
    return {name: COLOURS[place % len(COLOURS)] for place, name in enumerate(names)}


def title_of(metric: MetricComparison) -> str:
    """Return a metric's name with the better direction."""
    return f"{metric.metric} ({'higher' if metric.higher_is_better else 'lower'} is better)"
