"""The course of a run as pictures, from its journal."""

from collections import Counter
from collections.abc import Iterator

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from egan.files import atomic_file
from fitness.scores import OBJECTIVES
from runs.store.folder import RunFolder
from runs.store.journal import Entry, read_journal

POINTS = 400  # points of a curve; longer runs are averaged in equal spans
PHASES = ("variation", "evaluation", "advance", "messages")


def draw_plots(folder: RunFolder) -> None:
    """Draw `plots/scores.png`, `wins.png` and `training.png`; nothing if there is no journal."""
    entries = [item for item in read_journal(folder.journal) if isinstance(item, Entry)]
    if not entries:
        return
    for name, draw in (("scores", _scores), ("wins", _wins), ("training", _training)):
        figure = Figure(figsize=(9, 4), dpi=110, layout="constrained")
        draw(figure, entries)
        with atomic_file(folder.plots / f"{name}.png") as temporary:
            figure.savefig(temporary, format="png")


def _spans(entries: list[Entry]) -> Iterator[list[Entry]]:
    for part in np.array_split(np.arange(len(entries)), min(POINTS, len(entries))):
        yield entries[part[0] : part[-1] + 1]


def _scores(figure: Figure, entries: list[Entry]) -> None:
    """Each mutation's quality and diversity."""
    mutations = sorted({job.operator for entry in entries for job in entry.jobs})
    axes = figure.subplots(1, len(OBJECTIVES))
    for place, (name, axis) in enumerate(zip(OBJECTIVES, axes, strict=True)):
        for mutation in mutations:
            points = [
                (span[0].generation, np.mean(values))
                for span in _spans(entries)
                if (
                    values := [
                        score.values[place]
                        for entry in span
                        for job, score in zip(entry.jobs, entry.scores, strict=True)
                        if job.operator == mutation and score.finite and score.values
                    ]
                )
            ]
            if points:
                axis.plot(*zip(*points, strict=True), label=mutation, lw=1.2)
        _label(axis, f"{name} of the children", name)


def _wins(figure: Figure, entries: list[Entry]) -> None:
    """Each mutation's share of the survivors over time."""
    axis = figure.subplots()
    mutations = sorted({job.operator for entry in entries for job in entry.jobs})
    spans = np.array_split(np.arange(len(entries)), min(50, len(entries)))
    shares: dict[str, list[float]] = {mutation: [] for mutation in mutations}
    for span in spans:
        wins = Counter(job.operator for i in span for job in entries[i].survivors)
        for mutation in mutations:
            shares[mutation].append(wins[mutation] / wins.total())
    starts = [entries[span[0]].generation for span in spans]
    if len(starts) == 1:  # a band needs two ends
        starts, shares = [*starts, starts[0] + 1], {m: s * 2 for m, s in shares.items()}
    axis.stackplot(starts, list(shares.values()), labels=mutations, alpha=0.85)
    axis.set(ylim=(0, 1), xlim=(starts[0], starts[-1]))
    _label(axis, "which mutation made the survivors", "share of wins")


def _training(figure: Figure, entries: list[Entry]) -> None:
    """The discriminator's loss, and where the time goes."""
    left, right = figure.subplots(1, 2)
    spans = list(_spans(entries))
    starts = [span[0].generation for span in spans]
    for name in sorted({key for entry in entries for key in entry.training}):
        points = [
            (start, np.mean([e.training[name] for e in span if name in e.training]))
            for start, span in zip(starts, spans, strict=True)
            if any(name in e.training for e in span)
        ]
        left.plot(*zip(*points, strict=True), lw=1.2, label=name.replace("_", " "))
    _label(left, "training of the discriminator", "loss")
    for phase in PHASES:
        values = [np.median([e.seconds.get(phase, 0.0) for e in span]) * 1000 for span in spans]
        right.plot(starts, values, lw=1.2, label=phase)
    right.set_ylim(bottom=0)
    _label(right, "time of a generation by phase", "milliseconds")


def _label(axis: Axes, title: str, ylabel: str) -> None:
    axis.set(title=title, xlabel="generation", ylabel=ylabel)
    axis.grid(alpha=0.3)
    if axis.get_legend_handles_labels()[0]:
        axis.legend(fontsize=8, loc="best")
