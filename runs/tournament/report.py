"""The report of a tournament: one self-contained page."""

import base64
import math
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib.figure import Figure

from runs.common.figures import write_figure
from runs.common.files import read_text, write_text
from runs.tournament.history import Course, History, read_history
from runs.tournament.islands import TournamentFolder

# Paul Tol's muted palette, then repeated: an island's colour is that of the one it goes back to.
COLOURS = ("#332288", "#88CCEE", "#44AA99", "#117733", "#999933", "#DDCC77", "#CC6677", "#882255",
           "#AA4499", "#661100", "#6699CC", "#888888")  # fmt: skip
CAPTIONS = {
    "fitness": "Fitness of every life against what all islands together had spent: lower is "
    "better. A colour is the island that a state goes back to; a cross is an end, a ring a copy.",
    "genes": "The genes of every life while it lived, in the same colours.",
    "metrics": "Metrics of the best island after each round, which no decision looks at.",
}


def write_report(path: Path) -> Path:
    """Write a tournament's page and pictures into its folder; return the page.

    Raises:
        ConfigError: there is no tournament, or its record is damaged.
    """
    folder = TournamentFolder(path)
    history = read_history(folder)
    pictures = {}
    for name, draw in (("fitness", _fitness), ("genes", _genes), ("metrics", _metrics)):
        figure = draw(history)
        if figure is not None:
            pictures[name] = folder.plots / f"{name}.png"
            write_figure(figure, pictures[name])
    environment = Environment(
        loader=PackageLoader("runs.tournament", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
    )
    environment.filters["figure"] = _figure
    page = environment.get_template("report.html").render(
        history=history,
        result=history.result,
        keys=list(history.tournament.prior),
        pictures=[(name, _inline(file), CAPTIONS[name]) for name, file in pictures.items()],
        charges=_charges(history),
        winner=read_text(folder.winner) if folder.winner.is_file() else None,
        settings=history.tournament.to_yaml(),
    )
    write_text(folder.report, page)
    return folder.report


def _inline(picture: Path) -> str:
    return f"data:image/png;base64,{base64.b64encode(picture.read_bytes()).decode()}"


def _figure(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}" if math.isfinite(value) else "not a number"
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _charges(history: History) -> list[tuple[int, int, int, int]]:
    """Return for each stage its islands, the steps of each, those of judging, and those in all."""
    plan, rows = history.plan, []
    for stage, islands in enumerate(plan.stages):
        rounds = [this for this in plan.rounds if this.stage == stage]
        each = sum(this.steps for this in rounds)
        judging = sum(this.islands for this in rounds) * plan.judgement
        judging += plan.verdict if stage == plan.last_stage else 0
        rows.append((islands, each, judging, islands * each + judging))
    return rows


# -------------------------------------------------------------------------------------- pictures


def _colour(course: Course) -> str:
    return COLOURS[course.root % len(COLOURS)]


def _spans(history: History, course: Course) -> list[int]:
    """Return what had been spent at a life's birth and at each of its judgements."""
    first = course.life.round
    born = history.lines[first - 1].spent if first else 0
    return [born, *(point.spent for point in course.points)]


def _fitness(history: History) -> Figure | None:
    if not history.lines:
        return None
    figure = Figure(figsize=(9, 4.5), dpi=110, layout="constrained")
    axis = figure.subplots()
    worst = max(p.fitness for c in history.courses for p in c.points if math.isfinite(p.fitness))
    by_key = {course.life.key: course for course in history.courses}
    for course in history.courses:
        x = [point.spent for point in course.points]
        y = [point.fitness if math.isfinite(point.fitness) else worst for point in course.points]
        parent = by_key.get(course.life.parent) if course.life.parent else None
        if parent is not None and not course.life.kept:
            at = next(p for p in parent.points if p.generation == course.life.generation)
            axis.plot(at.spent, at.fitness, "o", mfc="none", mec=_colour(course), ms=8)
            x, y = [at.spent, *x], [at.fitness, *y]
        axis.plot(x, y, ".-", color=_colour(course), lw=1.2)
        if course.state in ("dropped", "copied over", "failed") and x:
            axis.plot(x[-1], y[-1], "x", color=_colour(course), ms=6)
    axis.set(xlabel="optimiser steps of all islands", ylabel="fitness (MMD)", yscale="symlog")
    axis.set_yscale("symlog", linthresh=1e-3)
    axis.grid(alpha=0.3)
    return figure


def _genes(history: History) -> Figure | None:
    prior = {
        key: gene for key, gene in history.tournament.prior.items()
        if gene.choices is None
    }  # fmt: skip
    if not prior or not history.lines:
        return None
    columns = min(3, len(prior))
    rows = math.ceil(len(prior) / columns)
    figure = Figure(figsize=(3.6 * columns, 2.7 * rows), dpi=110, layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis, (key, gene) in zip(axes, prior.items(), strict=False):
        for course in history.courses:
            x = _spans(history, course)
            axis.plot(x, [course.life.genes[key]] * len(x), color=_colour(course), lw=1.6)
        axis.set_title(key, fontsize=9)
        if gene.log is not None:
            least = min((v for c in history.courses if (v := c.life.genes[key]) > 0), default=1.0)
            axis.set_yscale("symlog", linthresh=least)
        axis.tick_params(labelsize=7)
    for axis in axes[len(prior) :]:
        axis.set_axis_off()
    return figure


def _metrics(history: History) -> Figure | None:
    names = list(history.lines[0].metrics) if history.lines else []
    if not names:
        return None
    figure = Figure(figsize=(3.6 * len(names), 2.7), dpi=110, layout="constrained")
    for axis, name in zip(
        figure.subplots(1, len(names), squeeze=False).ravel(), names, strict=True
    ):
        rows = [(line.spent, line.metrics[name]) for line in history.lines if name in line.metrics]
        axis.plot(*zip(*rows, strict=True), ".-", color=COLOURS[0])
        axis.set_title(name, fontsize=9)
        axis.grid(alpha=0.3)
        axis.tick_params(labelsize=7)
    return figure
