"""The pictures of a comparison, each to be read alone: labels, units, which way is better."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from egan.files import atomic_file
from fitness.metrics.names import MetricName
from runs.store.budgets import AXES
from runs.study.comparison import Comparison, MetricComparison
from runs.study.records import Record, pareto_front
from runs.study.selection_signal import GenerationSignal
from runs.study.statistics import bootstrap_interval

# Okabe and Ito's palette: told apart by colour-blind readers too, and in print.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#555555", "#F0E442")
# Paul Tol's muted palette for mutations, so that none looks like a strategy.
MUTED = ("#332288", "#DDCC77", "#44AA99", "#CC6677", "#88CCEE", "#882255", "#999933", "#AA4499")
MARKERS = "osD^vPX*"
BAND_RESAMPLES = 999  # for the bands of curves; the tables take more
STRIPES = 250  # generations of a line of ancestors that are drawn
TREE = 40  # generations of the family tree that are drawn one by one
PIXELS_PER_INCH = 110
Signals = Mapping[str, Mapping[int, Sequence[GenerationSignal]]]  # by strategy, then seed


def draw_all(comparison: Comparison, signals: Signals, folder: Path) -> dict[str, Path]:
    """Draw every picture that the records allow into a folder; return the paths by name."""
    records = comparison.records
    drawn: dict[str, Path] = {}

    def keep(name: str, figure: Figure | None) -> None:
        if figure is not None:
            drawn[name] = _save(figure, folder / f"{name}.png")

    keep("final", final_results(comparison))
    for metric in comparison.metrics:
        keep(f"curves-{MetricName.parse(metric.metric).metric}", curves(comparison, metric))
    keep("samples", sample_grids(comparison))
    keep("wins", wins(records))
    keep("pareto", quality_and_diversity(records))
    keep("lineage", lineages(comparison))
    keep("signal", signal_to_noise(signals, colours_of(comparison.strategies)))
    return drawn


def _save(figure: Figure, path: Path) -> Path:
    with atomic_file(path) as temporary:
        figure.savefig(temporary, format="png")
    return path


def _figure(width: float, height: float) -> Figure:
    return Figure(figsize=(width, height), dpi=PIXELS_PER_INCH, layout="constrained")


def colours_of(names: Sequence[str]) -> dict[str, str]:
    """Return a colour for each name, in order."""
    return {name: COLOURS[place % len(COLOURS)] for place, name in enumerate(names)}


def title_of(metric: MetricComparison) -> str:
    """Return a metric's name with the better direction."""
    return f"{metric.metric} ({'higher' if metric.higher_is_better else 'lower'} is better)"


# ------------------------------------------------------------------------------------------ results


def final_results(comparison: Comparison) -> Figure:
    """Draw each run's last scoring as a dot, with the median and its interval, per metric."""
    names, metrics = comparison.strategies, comparison.metrics
    colours = colours_of(names)
    figure = _figure(max(6.5, 4.2 * len(metrics)), 0.55 * len(names) + 1.9)
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
    figure = _figure(12, 6.6)
    axes = figure.subplots(2, 3, sharey=True).flat
    for axis, price in zip(axes, AXES, strict=False):
        for place, name in enumerate(names):
            x, y = _scorings(comparison.records, name, metric.metric, price)
            _curve(axis, x, y, colours[name], MARKERS[place % len(MARKERS)])
        label = price.replace("_", " ")
        axis.set(xlabel=f"{label} of evolving" if price == "seconds" else label)
        axis.set_xlim(left=0)
        axis.grid(alpha=0.3)
    axes = list(figure.axes)
    for axis in axes[::3]:
        axis.set_ylabel(metric.metric)
    axes[-1].axis("off")
    handles: list[Patch | Line2D] = [
        Line2D([], [], color=colours[name], marker=MARKERS[place % len(MARKERS)], ms=5, label=name)
        for place, name in enumerate(names)
    ]
    handles.append(Patch(color="0.5", alpha=0.25, label="95 % interval of the median"))
    axes[-1].legend(handles=handles, loc="center", fontsize=10, frameon=False)
    figure.suptitle(f"{title_of(metric)}: median over the seeds, against every price")
    return figure


def _scorings(
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


# ------------------------------------------------------------------------------------- the children


def _choosers(records: Sequence[Record]) -> list[str]:
    """Return the strategies that have more than one mutation to choose from."""
    return list(dict.fromkeys(r.strategy for r in records if len(r.mutations) > 1))


def _mutations(records: Sequence[Record]) -> dict[str, str]:
    """Return a colour for each mutation of any run."""
    names = list(dict.fromkeys(name for record in records for name in record.mutations))
    return {name: MUTED[place % len(MUTED)] for place, name in enumerate(names)}


def wins(records: Sequence[Record]) -> Figure | None:
    """Draw each mutation's share of the survivors over time, all seeds of a strategy together."""
    chosen = [name for name in _choosers(records) if any(_wins_of(records, name))]
    if not chosen:
        return None
    colours = _mutations(records)
    figure = _figure(max(6.5, 4.3 * len(chosen)), 3.6)
    axes = figure.subplots(1, len(chosen), sharey=True, squeeze=False)[0]
    for axis, name in zip(axes, chosen, strict=True):
        runs = _wins_of(records, name)
        mutations = next(r.mutations for r in records if r.strategy == name and r.mutations)
        edges, shares = _shares(runs)
        axis.stackplot(
            np.repeat(edges, 2)[1:-1],
            np.repeat(shares, 2, axis=0).T,
            colors=[colours[mutation] for mutation in mutations],
            alpha=0.85,
        )
        seeds = f"{len(runs)} seed{'' if len(runs) == 1 else 's'}"
        axis.set(title=f"{name}, {seeds}", xlabel="generation", ylim=(0, 1))
        axis.set_xlim(edges[0], edges[-1])
        for share in np.arange(1, len(mutations)) / len(mutations):
            axis.axhline(share, color="white", lw=0.9, ls=":")
    axes[0].set_ylabel("share of wins")
    handles: list[Patch | Line2D] = [
        Patch(color=colour, alpha=0.85, label=name) for name, colour in colours.items()
    ]
    handles.append(Line2D([], [], color="0.6", ls=":", label="equal shares"))
    figure.legend(
        handles=handles, loc="outside lower center", ncols=len(handles), fontsize=8, frameon=False
    )
    return figure


def _wins_of(records: Sequence[Record], strategy: str) -> list[tuple[np.ndarray, np.ndarray]]:
    found = [r.wins for r in records if r.strategy == strategy and r.wins is not None]
    return [wins for wins in found if len(wins[0]) > 1]


def _shares(
    runs: Sequence[tuple[np.ndarray, np.ndarray]], spans: int = 25
) -> tuple[np.ndarray, np.ndarray]:
    """Return the edges (K+1,) of spans of generations, and each mutation's share in them (K, M)."""
    end = max(generations[-1] for generations, _ in runs)
    count = min(spans, max(len(generations) for generations, _ in runs) - 1)
    edges = np.linspace(0, end, count + 1)
    total = np.zeros((count, runs[0][1].shape[1]))
    for generations, counts in runs:
        at = np.column_stack([np.interp(edges, generations, column) for column in counts.T])
        total += np.diff(at, axis=0)
    return edges, total / np.maximum(total.sum(axis=1, keepdims=True), 1e-12)


def quality_and_diversity(records: Sequence[Record]) -> Figure | None:
    """Draw all children's diversity against their quality, by mutation, the Pareto front marked."""
    names = list(dict.fromkeys(r.strategy for r in records if len(r.children)))
    if not names:
        return None
    colours = _mutations(records)
    columns = min(3, len(names))
    rows = -(-len(names) // columns)
    figure = _figure(max(6.5, 4.1 * columns), 3.5 * rows + 0.4)
    axes = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).flat
    for place, axis in enumerate(axes):
        if place >= len(names):
            axis.axis("off")
            continue
        _children_panel(axis, [r for r in records if r.strategy == names[place]], colours)
        axis.set(title=names[place], xlabel="quality Fq", ylabel="diversity Fd")
        axis.label_outer()
        if place + columns >= len(names):  # nothing is drawn below
            axis.set_xlabel("quality Fq")
            axis.tick_params(labelbottom=True)
    handles = [
        Line2D([], [], marker="o", ls="", color=colour, label=name)
        for name, colour in colours.items()
    ]
    handles.append(Line2D([], [], color="black", marker=".", lw=1, label="Pareto front"))
    figure.legend(
        handles=handles, loc="outside lower center", ncols=len(handles), fontsize=8, frameon=False
    )
    return figure


def _children_panel(axis: Axes, runs: Sequence[Record], colours: Mapping[str, str]) -> None:
    points, shades = [], []
    for run in runs:
        points.append(run.children[:, 1:])
        shades += [colours[run.mutations[int(place)]] for place in run.children[:, 0]]
    every = np.concatenate(points)
    order = np.random.default_rng(0).permutation(len(every))  # so that no mutation hides another
    axis.scatter(
        every[order, 0], every[order, 1], c=np.array(shades)[order],
        s=5, alpha=0.35, linewidths=0, rasterized=True,
    )  # fmt: skip
    front = every[pareto_front(every)]
    front = front[np.argsort(front[:, 0])]
    axis.plot(
        front[:, 0], front[:, 1], color="black", marker=".", ms=5, lw=1, drawstyle="steps-pre"
    )
    axis.grid(alpha=0.3)


# ---------------------------------------------------------------------------------------- samples


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


def sample_grids(comparison: Comparison) -> Figure | None:
    """Draw samples of every strategy's typical run, side by side."""
    runs = [typical_run(comparison, name) for name in comparison.strategies]
    shown = [run for run in runs if run is not None]
    if not shown:
        return None
    columns = min(5, len(shown))
    rows = -(-len(shown) // columns)
    figure = _figure(2.9 * columns, 3.2 * rows)
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


# ---------------------------------------------------------------------------------------- lineage


def lineages(comparison: Comparison) -> Figure | None:
    """Draw which mutation made each ancestor of the last best parent, and the newest generations.

    Left, a run per row: the ancestors of its last best parent, from the first generation on. Right,
    the family tree of the last generations of each strategy's typical run.
    """
    records = comparison.records
    names = [
        name
        for name in _choosers(records)
        if any(r.survivors for r in records if r.strategy == name)
    ]
    if not names:
        return None
    colours = _mutations(records)
    figure = _figure(13, 1.0 + 2.3 * len(names))
    grid = figure.subplots(len(names), 2, squeeze=False, width_ratios=(1.2, 1))
    for (left, right), name in zip(grid, names, strict=True):
        runs = [r for r in records if r.strategy == name and r.survivors]
        _ancestry_panel(left, runs, colours)
        left.set_title(f"{name}: ancestors of the last best parent", fontsize=10)
        typical = next((r for r in [typical_run(comparison, name)] if r and r.survivors), runs[0])
        _tree_panel(right, typical, colours)
        right.set_title(f"{name}, seed {typical.seed}: the last generations", fontsize=10)
    handles: list[Patch | Line2D] = [Patch(color=c, label=name) for name, c in colours.items()]
    handles.append(Line2D([], [], color="black", lw=2, label="line of the last best parent"))
    figure.legend(
        handles=handles, loc="outside lower center", ncols=len(handles), fontsize=8, frameon=False
    )
    return figure


def ancestry(survivors: Sequence[Sequence[tuple[int, int]]]) -> list[tuple[int, int]]:
    """Return the line of the last best parent: (its place, its mutation) in each generation."""
    line, place = [], 0
    for generation in reversed(survivors):
        parent, mutation = generation[place]
        line.append((place, mutation))
        place = parent
    return line[::-1]


def _ancestry_panel(axis: Axes, runs: Sequence[Record], colours: Mapping[str, str]) -> None:
    from matplotlib.colors import to_rgb

    longest = max(len(run.survivors) for run in runs)
    every = -(-longest // STRIPES)
    picture = np.ones((len(runs), -(-longest // every), 3))
    for row, run in enumerate(runs):
        shades = np.array([to_rgb(colours[name]) for name in run.mutations])
        line = np.array([mutation for _, mutation in ancestry(run.survivors)])[::every]
        picture[row, : len(line)] = shades[line]
    axis.imshow(picture, aspect="auto", interpolation="nearest", extent=(0, longest, len(runs), 0))
    which = "each" if every == 1 else f"one in {every}"
    axis.set(xlabel=f"generation ({which} drawn)", ylabel="seed")
    axis.set_yticks(np.arange(len(runs)) + 0.5, [str(run.seed) for run in runs])


def _tree_panel(axis: Axes, run: Record, colours: Mapping[str, str]) -> None:
    start = max(0, len(run.survivors) - TREE)
    shown = run.survivors[start:]
    line = ancestry(run.survivors)[start:]
    for column, generation in enumerate(shown):
        x = start + column
        for place, (parent, mutation) in enumerate(generation):
            on_line = place == line[column][0]
            if column:
                shade, thick = ("black", 2.0) if on_line else ("0.75", 0.8)
                axis.plot([x - 1, x], [parent, place], color=shade, lw=thick, zorder=1)
            shade = colours[run.mutations[mutation]]
            edge = "black" if on_line else "none"
            axis.scatter(x, place, s=46, color=shade, edgecolors=edge, linewidths=0.8, zorder=2)
    width = max(len(generation) for generation in shown)
    axis.set(xlabel="generation", yticks=range(width), ylim=(width - 0.5, -0.5))
    axis.set_yticklabels(["best", *(f"{place + 1}." for place in range(1, width))])


# ----------------------------------------------------------------------------------------- signal


def signal_to_noise(signals: Signals, colours: Mapping[str, str]) -> Figure | None:
    """Draw selection's signal over its noise, and how often another draw chooses the same child."""
    known = {name: runs for name, runs in signals.items() if any(runs.values())}
    if not known:
        return None
    figure = _figure(11, 3.9)
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
