"""A page of a translator's test images: input, output, target, scores; one HTML file."""

import base64
import html
import io
from pathlib import Path
from typing import Any

import numpy as np

from egan.files import atomic_file
from runs.evaluation.records import direction_of
from runs.sampling.translation_grid import visible
from runs.translation.comparing import METRICS, Compared

SHOWN = 20  # images at each end
STYLE = (
    "body{font:15px sans-serif;margin:2em;max-width:70em}table{border-collapse:collapse}"
    "td,th{padding:.3em .8em;text-align:left}img{min-width:96px;image-rendering:pixelated}"
)


def write_page(path: Path, found: dict[str, Any], ways: list[Compared]) -> None:
    """Write the page of `score_run`'s values and images."""
    values = "".join(
        f"<tr><td>{html.escape(name)}</td><td>{value:.5g}</td><td>{direction_of(name)}</td></tr>"
        for name, value in found["values"].items()
    )
    title = html.escape(f"{found['subject']}, {found['snapshot']}, on {found['against']}")
    page = (
        f"<!doctype html><meta charset=utf-8><title>{title}</title><style>{STYLE}</style>"
        f"<h1>{title}</h1><table><tr><th>metric<th>value<th>better is</tr>{values}</table>"
        + "".join(map(_way, ways))
    )
    with atomic_file(path) as temporary:
        temporary.write_text(page, encoding="utf-8")


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
            cells = "".join(f"<td>{_image(images[n])}" for images in columns)
            cells += "".join(f"<td>{values[n]:.4g}" for values in scores.values())
            text += f"<tr><td>{n}{cells}</tr>"
        text += "</table>"
    return text


def _image(pixels: np.ndarray) -> str:
    from PIL import Image

    content = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(content, "PNG")
    return f'<img src="data:image/png;base64,{base64.b64encode(content.getvalue()).decode()}">'
