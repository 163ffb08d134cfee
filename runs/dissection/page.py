"""The page of a dissection: units by class, with their most active images; one HTML file."""

import html
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from torch import Tensor

from egan.data.pixels import to_uint8
from egan.files import atomic_file
from fitness.dissection.tally import upsampled
from fitness.features import Progress
from runs.dissection.results import Found, LayerFound, UnitFound
from runs.dissection.subject import Subject
from runs.sampling.pictures import embedded
from runs.sampling.sampler import BATCH
from runs.sampling.translation_grid import visible

SHOWN = 8  # units of a class that are shown
SMALLEST = 64  # pixels of an image's side
DIMMED = 0.25  # of an image's brightness, where a unit is not active
STYLE = (
    "body{font:15px sans-serif;margin:2em;max-width:80em}table{border-collapse:collapse}"
    "td,th{padding:.2em .8em;text-align:left}"
    "img{image-rendering:pixelated;display:block;max-width:100%}"
    ".unit{display:inline-block;margin:.4em 1em .4em 0;vertical-align:top}small{color:#666}"
)


@dataclass(frozen=True)
class Shown:
    """A unit that is shown: its layer, what is found of it, and its marked images by number."""

    layer: str
    unit: UnitFound
    images: dict[int, np.ndarray] = field(default_factory=dict)


def shown_units(found: Found) -> dict[str, list[Shown]]:
    """Return the best units of each class, of all layers, at most `SHOWN` for each."""
    units = [Shown(name, unit) for name, layer in found.layers.items() for unit in layer.units]
    best = sorted((one for one in units if one.unit.detector), key=lambda one: -one.unit.iou)
    return {
        label: own
        for label in found.classes
        if (own := [one for one in best if one.unit.label == label][:SHOWN])
    }


def mark_images(subject: Subject, units: list[Shown], progress: Progress | None) -> None:
    """Make the most active images of units again, each with the unit's region marked."""
    wanted = sorted({number for one in units for number in one.unit.top})
    layers = sorted({one.layer for one in units})
    for start in sorted({number // BATCH * BATCH for number in wanted}):
        number = start
        for images, maps in subject.seen(start, BATCH, layers):
            for one in units:
                for place in {n - number for n in one.unit.top} & {*range(len(images))}:
                    own = maps[one.layer][place : place + 1, one.unit.unit : one.unit.unit + 1]
                    one.images[number + place] = _marked(images[place], own, one.unit.threshold)
            number += len(images)
        if progress is not None:
            progress("images of units", sum(n < number for n in wanted), len(wanted))


def _marked(image: Tensor, maps: Tensor, threshold: float) -> np.ndarray:
    """Return an image (C, H, W) as uint8 (H, W, 3), dark where a map (1, 1, h, w) is not above."""
    height, width = image.shape[1:]
    ((_, large),) = upsampled(maps, height, width)
    active = (large.view(height, width) > threshold).cpu().numpy()[:, :, None]
    pixels = visible(to_uint8(image[None]).cpu().numpy())[0]
    marked: np.ndarray = np.where(active, pixels, pixels * DIMMED).astype(np.uint8)
    return marked


def write_page(path: Path, found: Found, units: dict[str, list[Shown]]) -> None:
    """Write the page."""
    title = html.escape(f"Dissection of {found.subject}, {found.generator}")
    about = (
        f"{found.count:,} images for thresholds and {found.count:,} others for scores, seed "
        f"{found.seed}; segmenter {found.segmenter}; thresholds by {found.rule}. A unit is a "
        "detector of its class if its IoU is above 0.05 and its information quality ratio above "
        "0.01. Images are bright where the unit is above its threshold."
    )
    bars = "".join(f"<h3>{html.escape(n)}</h3>{_bars(o)}" for n, o in found.layers.items())
    page = (
        f"<!doctype html><meta charset=utf-8><title>{title}</title><style>{STYLE}</style>"
        f"<h1>{title}</h1><p>{html.escape(about)}</p>{_classes(found)}"
        f"<h2>Detectors by layer and class</h2>{bars}"
        + "".join(_section(label, own) for label, own in units.items())
        + ("" if units else "<p>No unit is a detector of any class.</p>")
    )
    with atomic_file(path) as temporary:
        temporary.write_text(page, encoding="utf-8")


def _classes(found: Found) -> str:
    held = found.held_out_iou
    head = "<tr><th>class<th>share of pixels" + ("<th>segmenter's held-out IoU" if held else "")
    rows = ""
    for label in found.classes:
        rows += f"<tr><td>{html.escape(label)}<td>{found.shares[label]:.4f}"
        if held:
            value = held.get(label)
            rows += f"<td>{'none' if value is None else f'{value:.3f}'}"
    return f"<table>{head}{rows}</table>"


def _bars(layer: LayerFound) -> str:
    """Return a bar graph of a layer's detectors by class, as SVG."""
    units = len(layer.units)
    size = " x ".join(map(str, layer.shape))
    rows = [(label, count) for label, count in layer.detectors.items() if count]
    most = max((count for _, count in rows), default=1)
    text = "".join(
        f'<text x="150" y="{20 * n + 14}" text-anchor="end">{html.escape(label[:20])}</text>'
        f'<rect x="158" y="{20 * n + 2}" width="{320 * count / most:.1f}" height="15" '
        f'fill="#4477aa"/><text x="{164 + 320 * count / most:.1f}" y="{20 * n + 14}">{count}</text>'
        for n, (label, count) in enumerate(rows)
    )
    total = sum(count for _, count in rows)
    return (
        f"<p>{size}; {total} of {units} units are detectors</p>"
        f'<svg width="520" height="{20 * len(rows) + 4}" font-size="13">{text}</svg>'
    )


def _section(label: str, units: list[Shown]) -> str:
    text = f"<h2>{html.escape(label)}</h2>"
    for one in units:
        unit = one.unit
        text += (
            f'<div class="unit"><b>unit {unit.unit}</b> of {html.escape(one.layer)} '
            f"<small>IoU {unit.iou:.3f}, ratio {unit.ratio:.3f}, threshold {unit.threshold:.3g}"
            f"</small>{strip(one)}</div>"
        )
    return text


def strip(one: Shown) -> str:
    """Return a unit's marked images side by side, as HTML."""
    images = np.concatenate([one.images[number] for number in one.unit.top], 1)
    factor = max(1, -(-SMALLEST // images.shape[0]))
    return embedded(images.repeat(factor, 0).repeat(factor, 1))
