"""The page of a report: scores, and rows of input, output, target; one self-contained HTML file."""

import html
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from egan.files import atomic_file
from runs.evaluation.records import direction_of
from runs.sampling.pictures import embedded
from runs.sampling.translation_grid import visible
from runs.store.journal import Scoring
from runs.translation.comparing import METRICS, Compared
from runs.translation.report import Report

SHOWN = 20  # images at each end
CURVE = (240, 40)  # width and height, pixels
STYLE = (
    "body{font:15px sans-serif;margin:2em;max-width:70em}table{border-collapse:collapse}"
    "td,th{padding:.3em .8em;text-align:left}img{min-width:96px;image-rendering:pixelated}"
)


def write_page(report: Report, path: Path) -> None:
    """Write the page of a report."""
    title = html.escape(report.title)
    values = "".join(
        f"<tr><td>{html.escape(name)}</td><td>{value:.5g}</td><td>{direction_of(name)}</td></tr>"
        for name, value in report.values.items()
    )
    page = (
        f"<!doctype html><meta charset=utf-8><title>{title}</title><style>{STYLE}</style>"
        f"<h1>{title}</h1><p>{html.escape(report.state)}</p>{_course(report.scorings)}"
        f"<h2>{html.escape(report.subject)}</h2>"
        f"<table><tr><th>metric<th>value<th>better is</tr>{values}</table>"
        + "".join(map(_way, report.ways))
    )
    with atomic_file(path) as temporary:
        temporary.write_text(page, encoding="utf-8")


def _course(scorings: Sequence[Scoring]) -> str:
    """Return a table of the scorings while the run trained: a curve of each metric, and ends."""
    if not scorings:
        return "<p>The run is not scored while it trains (evaluation.every).</p>"
    best = [scoring.generation for scoring in scorings if scoring.best]
    rows = ""
    for name in scorings[-1].values:
        found = [(line.generation, line.values.get(name, math.nan)) for line in scorings]
        points = [(at, value) for at, value in found if math.isfinite(value)]
        first, last = (f"{ends[0][1]:.4g}" if ends else "-" for ends in (points, points[::-1]))
        rows += (
            f"<tr><td>{html.escape(name)}<td>{first}<td>{_curve(points)}<td>{last}"
            f"<td>{direction_of(name)}</tr>"
        )
    ends = f"generations {scorings[0].generation} to {scorings[-1].generation}"
    mark = f", the best at {best[-1]}" if best else ""
    return (
        f"<h2>while it trained, on what is held out: {ends}{mark}</h2>"
        f"<table><tr><th>metric<th>first<th><th>last<th>better is</tr>{rows}</table>"
    )


def _curve(points: Sequence[tuple[int, float]]) -> str:
    """Return the curve of values over generations, as SVG."""
    if len(points) < 2:
        return ""
    (left, right), low, high = (
        (points[0][0], points[-1][0]),
        min(value for _, value in points),
        max(value for _, value in points),
    )
    placed = " ".join(
        f"{(at - left) / (right - left) * CURVE[0]:.1f},"
        f"{(1 - (value - low) / ((high - low) or 1)) * CURVE[1]:.1f}"
        for at, value in points
    )
    size = f"{-1} {-1} {CURVE[0] + 2} {CURVE[1] + 2}"
    return (
        f'<svg width="{CURVE[0]}" height="{CURVE[1]}" viewBox="{size}">'
        f'<polyline points="{placed}" fill="none" stroke="#246" stroke-width="1.5"/></svg>'
    )


def _way(way: Compared) -> str:
    """Return the section of one way of translation: the worst images first, then the best."""
    scores = way.scores(METRICS)
    order = np.argsort(-scores["l1"], kind="stable") if scores else np.arange(len(way.made))
    parts = {"": order} if len(order) <= 2 * SHOWN else {
        f"the worst {SHOWN}": order[:SHOWN], f"the best {SHOWN}": order[::-1][:SHOWN]
    }  # fmt: skip
    columns = [visible(images) for images in (way.given, way.made)]
    names = ["image", "input", "output"]
    if way.wanted is not None:
        columns.append(visible(way.wanted))
        names.append("target")
    head = "".join(f"<th>{name}" for name in (*names, *scores))
    text = f"<h2>{html.escape(way.name)}</h2>" if way.name else ""
    for part, chosen in parts.items():
        text += f"<h3>{part}</h3><table><tr>{head}</tr>"
        for n in chosen.tolist():
            cells = "".join(f"<td>{embedded(images[n])}" for images in columns)
            cells += "".join(f"<td>{values[n]:.4g}" for values in scores.values())
            text += f"<tr><td>{n}{cells}</tr>"
        text += "</table>"
    return text
