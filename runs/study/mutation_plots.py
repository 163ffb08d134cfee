"""Pictures of what selection did: wins, quality and diversity of children, lines of ancestors."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from runs.study.comparison import Comparison, typical_run
from runs.study.plot_style import MUTED, new_figure
from runs.study.records import Record, pareto_front

STRIPES = 250  # generations of a line of ancestors that are drawn
TREE = 40  # generations of the family tree that are drawn one by one


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
    figure = new_figure(max(6.5, 4.3 * len(chosen)), 3.6)
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
    figure = new_figure(max(6.5, 4.1 * columns), 3.5 * rows + 0.4)
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
    figure = new_figure(13, 1.0 + 2.3 * len(names))
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
