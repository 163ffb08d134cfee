"""The `edit` command: images before and after a change of units; and the units to change."""

from dataclasses import dataclass, replace
from pathlib import Path

import torch

from fitness.features import Progress
from fitness.segmenters import Segmenter
from runs.common.errors import ConfigError
from runs.common.figures import write_figure
from runs.common.files import write_json
from runs.dissection.causal import Causes, Effect, causes_of
from runs.dissection.commands import opened_segmenter
from runs.dissection.editing import (
    Edit,
    Where,
    before_and_after,
    check_class,
    check_dissected,
    check_edit_picture,
    check_same,
    inserted,
    one_layer,
    units_of_class,
    write_edit,
)
from runs.dissection.results import FOLDER, Found, Statistics, read_results
from runs.dissection.subject import Subject
from runs.sampling.repair import check_fit
from runs.sampling.units import UnitsFile, read_units

PICTURE = "edit.png"


@dataclass(frozen=True)
class Request:
    """What is to be edited; one of the first three is given.

    Attributes:
        off: numbers of units.
        label: a class, whose detectors are taken.
        file: of units.
        layer: of the units; None: the file's, or the class's best, or the only one.
        scale: of their values.
        insert: whether they are set to a constant, the mean of what they are where the class is.
        where: the region; None: everywhere.
        count: how many images.
        dissection: its folder; None: the one in the run's folder.
        out: the picture's file; None: one beside the dissection.
        data_at: where the run's data lie now, if they have moved.
    """

    off: tuple[int, ...] | None = None
    label: str | None = None
    file: Path | None = None
    layer: str | None = None
    scale: float = 0.0
    insert: bool = False
    where: Where | None = None
    count: int = 8
    dissection: Path | None = None
    out: Path | None = None
    data_at: Path | None = None


@dataclass(frozen=True)
class Edited:
    """What was done: the edit, its picture, the largest change, and the class's shares of pixels.

    Attributes:
        edit: the change.
        picture: its file.
        most: the largest change of a pixel, in units of 1/255.
        label: the class that is looked for; None: no class was named.
        shares: of the pixels that show it, before and after.
    """

    edit: Edit
    picture: Path
    most: float
    label: str | None
    shares: tuple[float, float] | None


def edit_images(subject: Subject, asked: Request, progress: Progress | None = None) -> Edited:
    """Change units, and draw the images before and after, and the difference.

    Raises:
        ConfigError, DataError: what was asked for cannot be; nothing was written.
    """
    check_edit_picture(asked.count, subject.sampler.shape)
    _check_where(asked.where, subject.sampler.shape)
    chosen = None if asked.file is None else read_units(asked.file)
    label = asked.label or (None if chosen is None else chosen.label)
    found: Found | None = None
    statistics: dict[str, Statistics] = {}
    if label is not None or asked.insert:
        found, statistics = read_results(_folder(subject, asked), subject.path)
        check_same(found, subject)
    edit = _edit_of(subject, asked, chosen, found, statistics)
    segmenter = None
    if label is not None:
        assert found is not None
        check_class(found, label)
        segmenter = _segmenter(subject, found, asked.data_at, progress)
    before, after = before_and_after(subject, edit, asked.count)
    picture = asked.out or _folder(subject, asked) / PICTURE
    most = write_edit(picture, before, after)
    shares = None
    if segmenter is not None:
        place = segmenter.classes.index(str(label))
        first, second = (
            float(segmenter.masks(images)[:, place].double().mean()) for images in (before, after)
        )
        shares = first, second
    return Edited(edit, picture, most, label, shares)


def optimise_units(
    subject: Subject,
    label: str,
    layer: str | None,
    steps: int,
    asked: Request,
    progress: Progress | None = None,
) -> tuple[Causes, Path, Path]:
    """Find the units that cause a class; return them, and the files of the units and the curve.

    Raises:
        ConfigError, DataError: what was asked for cannot be; nothing was written.
    """
    folder = _folder(subject, asked)
    found, statistics = read_results(folder, subject.path)
    check_same(found, subject)
    check_class(found, label)
    if layer is None:
        layer = max(found.layers, key=lambda own: found.layers[own].detectors.get(label, 0))
    check_dissected(found, layer)
    segmenter = _segmenter(subject, found, asked.data_at, progress)
    effect = Effect(
        subject,
        layer,
        found.layers[layer].shape,
        segmenter,
        segmenter.classes.index(label),
        torch.tensor(statistics[layer].high),
    )
    causes = causes_of(effect, statistics[layer], steps, progress)
    enough = max(1, causes.enough)
    file = asked.out or folder / f"units-{_plain(label)}.json"
    units = UnitsFile(
        layer=layer,
        units=list(causes.order[:enough]),
        shares=[1.0] * enough,
        label=label,
        weights=subject.weights,
        generator=subject.name,
    )
    write_json(file, units.model_dump())
    picture = file.with_suffix(".png")
    draw_curve(causes, label, layer, picture)
    return causes, file, picture


def draw_curve(causes: Causes, label: str, layer: str, path: Path) -> None:
    """Draw the effect against the number of units."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 3.2), dpi=110, layout="constrained")
    axes = figure.add_subplot()
    counts, effects, others = zip(*causes.curve, strict=True)
    axes.plot(counts, effects, marker="o", label="the most causal units")
    axes.plot(counts, others, marker="o", label="random units")
    axes.set_xscale("symlog", base=2, linthresh=1)
    axes.set(xlabel=f"units of {layer}", ylabel=f"average causal effect on {label}")
    axes.legend(fontsize=8)
    write_figure(figure, path)


def _edit_of(
    subject: Subject,
    asked: Request,
    chosen: UnitsFile | None,
    found: Found | None,
    statistics: dict[str, Statistics],
) -> Edit:
    """Return the change that is asked for, with the units of a file or by the dissection."""
    if asked.label is not None:
        assert found is not None
        layer, units = units_of_class(found, asked.label, asked.layer)
        shares = (1.0,) * len(units)
    elif chosen is not None:
        layer, units, shares = chosen.layer, tuple(chosen.units), tuple(chosen.shares)
        if asked.layer not in (None, layer):
            raise ConfigError(f"--layer: the units in {asked.file} are of {layer}")
        check_fit(chosen, subject.sampler, subject.name, f"--units {asked.file}")
    else:
        layer, _ = one_layer(subject, asked.layer)
        units = asked.off or ()
        shares = (1.0,) * len(units)
    _, shape = one_layer(subject, layer)
    edit = Edit(layer, shape, units, shares, asked.scale, where=asked.where)
    if asked.insert:
        assert found is not None
        check_dissected(found, layer)
        place = -1 if asked.label is None else found.classes.index(asked.label)
        constants = inserted(statistics[layer], units, place)
        edit = replace(edit, scale=0.0, constants=constants)
    return edit


def _segmenter(
    subject: Subject, found: Found, data_at: Path | None, progress: Progress | None
) -> Segmenter:
    """Return the segmenter of a dissection.

    Raises:
        ConfigError: it cannot be had again.
    """
    of_then = replace(subject, seed=found.seed)  # colours are those of its images
    segmenter = opened_segmenter(of_then, found.segmenter, data_at, progress)
    if segmenter.identity != found.identity:
        raise ConfigError(
            f"the segmenter {found.segmenter} is another one now than in the dissection: dissect "
            "again"
        )
    return segmenter


def _folder(subject: Subject, asked: Request) -> Path:
    return asked.dissection or subject.path / FOLDER


def _check_where(where: Where | None, shape: tuple[int, ...]) -> None:
    if where is None:
        return
    left, top, right, bottom = where
    _, height, width = shape
    if not (0 <= left < right <= width and 0 <= top < bottom <= height):
        raise ConfigError(
            f"--where is x0,y0,x1,y1 in pixels of the image, with x0 < x1 <= {width} and y0 < y1 "
            f"<= {height}, not {','.join(map(str, where))}"
        )


def _plain(label: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in label)
