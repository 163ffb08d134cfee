"""The course of a run as pictures, from its journal, of which one span is held at a time."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fitness.scores import OBJECTIVES, USUAL
from runs.common.figures import write_figure
from runs.store.folder import RunFolder
from runs.store.journal import Entry

POINTS = 400  # points of a curve; longer runs are averaged in equal spans
ENOUGH = 250  # generations of a span that are averaged; of longer ones every second, third, ...
BANDS = 50  # spans of the shares of wins
PLOTS = ("scores", "wins", "training")
PHASES = ("variation", "evaluation", "advance", "messages")


@dataclass(frozen=True)
class Span:
    """Some generations in a row: means of scores and losses, medians of seconds, sums of wins."""

    start: int
    scores: dict[tuple[str, int], float]  # by mutation and place of the objective
    wins: Counter[str]
    training: dict[str, float]
    seconds: dict[str, float]

    @classmethod
    def of(cls, entries: list[Entry]) -> "Span":
        """Return the span of some generations, at least one."""
        scores: dict[tuple[str, int], list[float]] = {}
        training: dict[str, list[float]] = {}
        for entry in entries:
            for job, score in zip(entry.jobs, entry.scores, strict=True):
                for place, value in enumerate(score.values if score.finite else ()):
                    scores.setdefault((job.operator, place), []).append(value)
            for name, value in entry.training.items():
                training.setdefault(name, []).append(value)
        return cls(
            entries[0].generation,
            {key: float(np.mean(values)) for key, values in scores.items()},
            Counter(job.operator for entry in entries for job in entry.survivors),
            {name: float(np.mean(values)) for name, values in training.items()},
            {
                phase: float(np.median([entry.seconds.get(phase, 0.0) for entry in entries]))
                for phase in PHASES
            },
        )


def spans_of(entries: Iterable[Entry], first: int, end: int) -> list[Span]:
    """Return equal spans of the generations from `first` to before `end`, in their order."""
    count = min(POINTS, end - first)
    groups = groupby(entries, lambda entry: (entry.generation - first) * count // (end - first))
    return [Span.of(list(group)) for _, group in groups]


def draw_plots(folder: RunFolder) -> None:
    """Draw `plots/scores.png`, `wins.png` and `training.png`; nothing if there is no journal."""
    index = folder.read_index()
    if index.first is None:
        return
    every = -(-(index.end - index.first) // (POINTS * ENOUGH))
    lines = index.lines_from(index.first, every)
    entries = (line for line in lines if isinstance(line, Entry))
    spans = spans_of(entries, index.first, index.end)
    for name, draw in zip(PLOTS, (_scores, _wins, _training), strict=True):
        figure = Figure(figsize=(9, 4), dpi=110, layout="constrained")
        draw(figure, spans)
        write_figure(figure, folder.plots / f"{name}.png")


def _scores(figure: Figure, spans: list[Span]) -> None:
    """Each mutation's quality and diversity."""
    places = {place for span in spans for _, place in span.scores}
    names = OBJECTIVES[: max(places, default=USUAL - 1) + 1]
    axes = figure.subplots(1, len(names))
    for place, (name, axis) in enumerate(zip(names, axes, strict=True)):
        for mutation in sorted({key[0] for span in spans for key in span.scores}):
            _curve(axis, mutation, [(s.start, s.scores.get((mutation, place))) for s in spans])
        _label(axis, f"{name} of the children", name)


def _wins(figure: Figure, spans: list[Span]) -> None:
    """Each mutation's share of the survivors over time."""
    axis = figure.subplots()
    mutations = sorted({mutation for span in spans for mutation in span.wins})
    bands = np.array_split(np.arange(len(spans)), min(BANDS, len(spans)))
    starts = [spans[band[0]].start for band in bands]
    none: Counter[str] = Counter()
    wins = [sum((spans[i].wins for i in band), none) for band in bands]
    shares = {m: [each[m] / each.total() for each in wins] for m in mutations}
    if len(starts) == 1:  # a band needs two ends
        starts, shares = [*starts, starts[0] + 1], {m: s * 2 for m, s in shares.items()}
    axis.stackplot(starts, list(shares.values()), labels=mutations, alpha=0.85)
    axis.set(ylim=(0, 1), xlim=(starts[0], starts[-1]))
    _label(axis, "which mutation made the survivors", "share of wins")


def _training(figure: Figure, spans: list[Span]) -> None:
    """The discriminator's loss, and where the time goes."""
    left, right = figure.subplots(1, 2)
    for name in sorted({key for span in spans for key in span.training}):
        label = name.replace("_", " ")
        _curve(left, label, [(span.start, span.training.get(name)) for span in spans])
    _label(left, "training of the discriminator", "loss")
    for phase in PHASES:
        _curve(right, phase, [(span.start, span.seconds[phase] * 1000) for span in spans])
    right.set_ylim(bottom=0)
    _label(right, "time of a generation by phase", "milliseconds")


def _curve(axis: Axes, label: str, points: list[tuple[int, float | None]]) -> None:
    """Draw a curve of the points that have a value."""
    known = [(start, value) for start, value in points if value is not None]
    if known:
        axis.plot(*zip(*known, strict=True), lw=1.2, label=label)


def _label(axis: Axes, title: str, ylabel: str) -> None:
    axis.set(title=title, xlabel="generation", ylabel=ylabel)
    axis.grid(alpha=0.3)
    if axis.get_legend_handles_labels()[0]:
        axis.legend(fontsize=8, loc="best")
