"""The pictures of a comparison, each to be read alone: labels, units, which way is better."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from fitness.metrics.names import MetricName
from runs.common.figures import write_figure
from runs.store.budgets import AXES
from runs.study.class_tables import class_tables, draw_tables
from runs.study.comparison import Comparison, MetricComparison, typical_run
from runs.study.curves import scorings
from runs.study.mutation_plots import lineages, quality_and_diversity, wins
from runs.study.plot_style import MARKERS, colours_of, new_figure, title_of
from runs.study.records import Record
from runs.study.selection_signal import GenerationSignal
from runs.study.statistics import bootstrap_interval

BAND_RESAMPLES = 999  # for the bands of curves; the tables take more
Signals = Mapping[str, Mapping[int, Sequence[GenerationSignal]]]  # by strategy, then seed


def draw_all(comparison: Comparison, signals: Signals, folder: Path) -> dict[str, Path]:
    """Draw every picture that the records allow into a folder; return the paths by name."""
    records = comparison.records
    drawn: dict[str, Path] = {}

    def keep(name: str, figure: Figure | None) -> None:
        if figure is not None:
            drawn[name] = write_figure(figure, folder / f"{name}.png")

    keep("final", final_results(comparison))
    for metric in comparison.metrics:
        label = MetricName.parse(metric.metric).label.replace("/", "-")
        keep(f"curves-{label}", curves(comparison, metric))
    keep("classes", draw_tables(class_tables(comparison), comparison.strategies))
    keep("samples", sample_grids(comparison))
    keep("wins", wins(records))
    keep("pareto", quality_and_diversity(records))
    keep("lineage", lineages(comparison))
    keep("signal", signal_to_noise(signals, colours_of(comparison.strategies)))
    return drawn


def final_results(comparison: Comparison) -> Figure:
    """Draw each run's last scoring as a dot, with the median and its interval, per metric."""
    names, metrics = comparison.strategies, comparison.metrics
    colours = colours_of(names)
    figure = new_figure(max(6.5, 4.2 * len(metrics)), 0.55 * len(names) + 1.9)
    axes = np.atleast_1d(figure.subplots(1, len(metrics), sharey=True))
    for axis, metric in zip(axes, metrics, strict=True):
        for place, name in enumerate(names):
            _final_row(axis, place, metric, name, colours[name])
        axis.set(title=title_of(metric), yticks=range(len(names)))
        axis.set_yticklabels(names)
        axis.title.set_fontsize(10)
        axis.locator_params(axis="x", nbins=5)
        axis.grid(axis="x", alpha=0.3)
        axis.set_ylim(len(names) - 0.5, -0.5)
    handles = [
        Line2D([], [], marker="o", ls="", color="0.4", alpha=0.6, label="one seed"),
        Line2D([], [], marker="|", ms=14, mew=2.5, ls="", color="0.2", label="median"),
        Line2D([], [], color="0.2", lw=2, label="95 % bootstrap interval"),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, fontsize=8, frameon=False)
    return figure


def _final_row(axis: Axes, place: int, metric: MetricComparison, name: str, colour: str) -> None:
    values = np.array(list(metric.results[name].values()), float)
    finite = values[np.isfinite(values)]
    spread = np.linspace(-0.16, 0.16, finite.size) if finite.size > 1 else np.zeros(finite.size)
    axis.scatter(finite, place + spread, color=colour, alpha=0.6, s=28, linewidths=0, zorder=3)
    summary = metric.summaries[name]
    if summary.low is not None and summary.high is not None:
        axis.plot([summary.low, summary.high], [place, place], color=colour, lw=2, zorder=2)
    if summary.median is not None:
        axis.plot(summary.median, place, marker="|", ms=18, mew=2.5, color=colour, zorder=4)
    if summary.broken:
        note = axis.text(
            0.99, place, f"{summary.broken} broken", transform=axis.get_yaxis_transform(),
            ha="right", va="center", fontsize=8, color="crimson",
        )  # fmt: skip
        note.set_in_layout(False)  # its place is known only once the limits are


def curves(comparison: Comparison, metric: MetricComparison) -> Figure:
    """Draw a metric's course along every axis of price: median over the seeds, and its band."""
    names = comparison.strategies
    colours = colours_of(names)
    figure = new_figure(12, 6.6)
    axes = figure.subplots(2, 3, sharey=True).flat
    for axis, price in zip(axes, AXES, strict=False):
        for place, name in enumerate(names):
            x, y = scorings(comparison.records, name, metric.metric, price)
            _curve(axis, x, y, colours[name], MARKERS[place % len(MARKERS)])
        label = price.replace("_", " ")
        axis.set(xlabel=f"{label} of evolving" if price == "seconds" else label)
        axis.set_xlim(left=0)
        axis.grid(alpha=0.3)
    for axis in list(figure.axes)[::3]:
        axis.set_ylabel(metric.metric)
    handles: list[Patch | Line2D] = [
        Line2D([], [], color=colours[name], marker=MARKERS[place % len(MARKERS)], ms=5, label=name)
        for place, name in enumerate(names)
    ]
    handles.append(Patch(color="0.5", alpha=0.25, label="95 % interval of the median"))
    figure.legend(handles=handles, loc="outside lower center", ncols=6, fontsize=10, frameon=False)
    figure.suptitle(f"{title_of(metric)}: median over the seeds, against each budget axis")
    return figure


def _curve(axis: Axes, x: np.ndarray, y: np.ndarray, colour: str, marker: str) -> None:
    if not x.size:
        return
    columns = [column[np.isfinite(column)] for column in y.T]
    axis.plot(
        x, [np.median(column) for column in columns], color=colour, lw=1.6,
        marker=marker, ms=4, markevery=max(1, x.size // 6),
    )  # fmt: skip
    bands = [bootstrap_interval(c, resamples=BAND_RESAMPLES) or (c[0], c[0]) for c in columns]
    low, high = np.array(bands).T
    axis.fill_between(x, low, high, color=colour, alpha=0.13, linewidth=0)


def sample_grids(comparison: Comparison) -> Figure | None:
    """Draw samples of every strategy's typical run, side by side."""
    runs = [typical_run(comparison, name) for name in comparison.strategies]
    shown = [run for run in runs if run is not None]
    if not shown:
        return None
    columns = min(5, len(shown))
    rows = -(-len(shown) // columns)
    figure = new_figure(2.9 * columns, 3.2 * rows)
    axes = figure.subplots(rows, columns, squeeze=False).flat
    for place, axis in enumerate(axes):
        if place < len(shown):
            _samples_panel(axis, shown[place])
        else:
            axis.axis("off")
    return figure


def _samples_panel(axis: Axes, run: Record) -> None:
    """Draw points anew, on one scale for all; images from the picture that the run left."""
    from matplotlib.image import imread

    points = _points(run)
    axis.set_title(f"{run.strategy}, seed {run.seed}", fontsize=10)
    axis.set(xticks=[], yticks=[])
    if points is None:
        picture = imread(str(run.picture))
        axis.imshow(picture, cmap="gray", interpolation="nearest")
        return
    samples, centres = points
    axis.scatter(samples[:, 0], samples[:, 1], s=2.5, alpha=0.4, linewidths=0, color="#0072B2")
    axis.scatter(centres[:, 0], centres[:, 1], marker="+", s=26, lw=0.9, color="#D55E00")
    reach = float(np.abs(centres).max()) * 1.3
    axis.set(xlim=(-reach, reach), ylim=(-reach, reach))
    axis.set_aspect("equal")


def _points(run: Record) -> tuple[np.ndarray, np.ndarray] | None:
    """Return samples of a run on a mixture, and the mixture's centres."""
    from egan.data import open_source
    from egan.data.gaussians import GaussianMixture
    from runs.sampling.opening import sample
    from runs.store.folder import RunFolder

    if run.folder is None:
        return None
    source = open_source(RunFolder.open(run.folder).load_config().data)
    if not isinstance(source, GaussianMixture):
        return None
    return sample(run.folder, 2000, seed=0, which="newest"), source.centres


def signal_to_noise(signals: Signals, colours: Mapping[str, str]) -> Figure | None:
    """Draw selection's signal over its noise, and how often another draw chooses the same child."""
    known = {name: runs for name, runs in signals.items() if any(runs.values())}
    if not known:
        return None
    figure = new_figure(11, 3.9)
    left, right = figure.subplots(1, 2)
    for name, runs in known.items():
        for panel, kind in ((left, "ratio"), (right, "agreement")):
            x, y = _signal_curve(runs, kind)
            panel.plot(x, y, color=colours[name], marker="o", ms=4, label=name)
            for found in runs.values():
                panel.scatter(
                    [f.generation for f in found], [_signal_value(f, kind) for f in found],
                    color=colours[name], s=10, alpha=0.4, linewidths=0,
                )  # fmt: skip
    chance = {
        found.signal.chance for runs in known.values() for run in runs.values() for found in run
    }
    left.axhline(1, color="0.4", lw=1, ls="--", label="signal = noise")
    left.set(title="spread of the children against the noise of one draw", ylabel="signal to noise")
    left.set_ylim(bottom=0)
    for place, share in enumerate(sorted(chance)):
        right.axhline(share, color="0.4", lw=1, ls="--", label=None if place else "by chance")
    right.set(title="two evaluation draws choose the same child", ylabel="share of pairs of draws")
    right.set_ylim(0, 1.02)
    for panel in (left, right):
        panel.set_xlabel("generation (line: median over the seeds)")
        panel.grid(alpha=0.3)
        panel.legend(fontsize=8)
    return figure


def _signal_value(found: GenerationSignal, kind: str) -> float:
    return found.signal.ratio if kind == "ratio" else found.signal.agreement


def _signal_curve(
    runs: Mapping[int, Sequence[GenerationSignal]], kind: str
) -> tuple[list[int], list[float]]:
    values: dict[int, list[float]] = {}
    for run in runs.values():
        for found in run:
            values.setdefault(found.generation, []).append(_signal_value(found, kind))
    generations = sorted(values)
    return generations, [float(np.median(values[generation])) for generation in generations]
