"""The `repair` command: units that make artefacts, in a file; scores without them, and a page."""

import html
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from egan.data import ImageSource
from egan.data.pixels import to_uint8
from egan.files import atomic_file
from fitness.features import Progress
from runs.common.errors import ConfigError
from runs.common.files import write_json
from runs.common.lock import RunLock
from runs.dissection.editing import Edit, before_and_after
from runs.dissection.page import STYLE, Shown, mark_images, strip
from runs.dissection.repairing import Repair, Search, Tried
from runs.dissection.results import UnitFound
from runs.dissection.subject import Subject
from runs.evaluation.evaluator import Evaluator
from runs.sampling.pictures import embedded, image_grid
from runs.sampling.translation_grid import visible
from runs.sampling.units import UnitsFile, check_units
from runs.store.data import moved, reopened
from runs.tracking.attachments import log_files, log_repaired

METRICS = ("fid", "kid")
FOLDER = "repair"  # in a run's folder
FILE, PAGE = "repair.json", "repair.html"
SHOWN = 8  # images before and after on the page


@dataclass(frozen=True)
class Asked:
    """How units are looked for.

    Attributes:
        layer: the name of one, or all.
        number: of units; None: the best of 1, 2, 4, ...
        metric: the one that they are chosen by.
        space: the feature space; None: that of the run's evaluation.
        weights: the space's weights file.
        count: images of each of the two sets.
        draws: of as many random units.
        data_at: where the run's data lie now, if they have moved.
        out: the folder for the files; None: `FOLDER` in the run's.
        model: whether the repaired generator is logged to the run's MLflow record.
    """

    layer: str = "all"
    number: int | None = None
    metric: str = "fid"
    space: str | None = None
    weights: Path | None = None
    count: int = 2000
    draws: int = 5
    data_at: Path | None = None
    out: Path | None = None
    model: bool = False


@dataclass(frozen=True)
class Outcome:
    """What was found, its files' folder, and what became of the MLflow record."""

    repair: Repair
    space: str
    folder: Path
    resumed: int
    mlflow: str


def repair(subject: Subject, asked: Asked, progress: Progress | None = None) -> Outcome:
    """Find the units that make artefacts; write repair.json, for `--repair`, and repair.html.

    Raises:
        ConfigError, DataError: what was asked for cannot be; nothing was written.
        RunBusy: another process repairs into the same folder.
    """
    shapes = subject.chosen(asked.layer)
    if asked.number is not None:
        for layer, shape in shapes.items():
            check_units(layer, shape, range(asked.number), [1.0] * asked.number)
    evaluator, data, space = _evaluator(subject, asked, progress)
    folder = asked.out or subject.path / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    with RunLock(folder / "repair.lock"):
        search = Search(
            subject, shapes, evaluator, data, asked.metric, asked.count, asked.number, asked.draws,
            folder, progress,
        )  # fmt: skip
        found = search.run()
        units = _file(subject, asked, found, space, evaluator)
        write_page(folder / PAGE, subject, found, units, progress)
        write_json(folder / FILE, units.model_dump())
        search.finished()
    logged = log_files(subject.run, [folder / PAGE, folder / FILE], FOLDER)
    if asked.model:
        logged = log_repaired(subject.run, units)
    return Outcome(found, space, folder, search.resumed, logged)


def _evaluator(
    subject: Subject, asked: Asked, progress: Progress | None
) -> tuple[Evaluator, str, str]:
    """Return what scores against the run's data, a hash of these, and the feature space's name."""
    run = subject.run
    if run is None:
        raise ConfigError(
            f"{subject.path} holds a generator alone: repair compares images with the data of a run"
        )
    config = run.load_config()
    data = config.data if asked.data_at is None else moved(config.data, asked.data_at)
    source, card = reopened(run, data, "repair")
    if not isinstance(source, ImageSource):
        raise ConfigError(
            f"{subject.path}: repair compares samples with one set of reals, and this run "
            "translates images"
        )
    space = asked.space or config.evaluation.space
    evaluator = Evaluator(
        source,
        subject.sampler.shape,
        METRICS,
        space,
        asked.count,
        weights=asked.weights,
        device=subject.sampler.device.type,
        progress=progress,
    )
    return evaluator, card.fingerprint, space


def _file(
    subject: Subject, asked: Asked, found: Repair, space: str, evaluator: Evaluator
) -> UnitsFile:
    about: dict[str, Any] = {
        "metric": asked.metric,
        "space": space,
        "space_identity": evaluator.identity,
        "count": asked.count,
        "seed": subject.seed,
        "before": found.before,
        "after": found.after,
        "random": list(found.randoms),
        "choosing": found.choosing,
        "tried": [
            {"layer": one.layer, "units": len(one.units), "values": one.values}
            for one in found.tried
        ],
        "orders": {
            layer: [{"unit": unit, "distance": distance} for unit, distance in order]
            for layer, order in found.orders.items()
        },
    }
    return UnitsFile(
        layer=found.chosen.layer,
        units=list(found.chosen.units),
        shares=[1.0] * len(found.chosen.units),
        weights=subject.weights,
        generator=subject.name,
        about=about,
    )


def table(found: Repair) -> list[tuple[str, float, float, float, float, float]]:
    """Return (metric, before, after, and of random units the mean, least and largest score)."""

    def of(metric: str) -> tuple[str, float, float, float, float, float]:
        others = [one[metric] for one in found.randoms]
        return (
            metric,
            found.before[metric],
            found.after[metric],
            float(np.mean(others)),
            min(others),
            max(others),
        )

    return [of(metric) for metric in found.before]


def write_page(
    path: Path, subject: Subject, found: Repair, units: UnitsFile, progress: Progress | None
) -> None:
    """Write the page: scores, images before and after, and the units with their images."""
    title = html.escape(f"Repair of {subject.path}, {subject.name}")
    about = units.about
    text = html.escape(
        f"Without units {', '.join(map(str, units.units))} of {units.layer}. They were chosen by "
        f"{about['metric']} in space "
        f"{about['space']} on {about['count']:,} images; the scores are of {about['count']:,} "
        f"others, seed {about['seed']}. Lower is better."
    )
    scores = (
        "<tr><th>metric<th>before<th>after<th>random units: mean<th>least<th>largest"
        + "".join(
            f"<tr><td>{name}" + "".join(f"<td>{value:.4g}" for value in values)
            for name, *values in table(found)
        )
    )
    tried = "<tr><th>layer<th>units" + "".join(f"<th>{name}" for name in found.before)
    for one in (Tried("", (), found.choosing), *found.tried):
        tried += f"<tr><td>{html.escape(one.layer)}<td>{len(one.units)}"
        tried += "".join(f"<td>{value:.4g}" for value in one.values.values())
    page = (
        f"<!doctype html><meta charset=utf-8><title>{title}</title><style>{STYLE}</style>"
        f"<h1>{title}</h1><p>{text}</p><table>{scores}</table>"
        f"<h2>Images before and after</h2>{_before_and_after(subject, found)}"
        f"<h2>The units, with their most active images</h2>{_units(subject, found, progress)}"
        f"<h2>What was tried, on the images that units were chosen by</h2><table>{tried}</table>"
    )
    with atomic_file(path) as temporary:
        temporary.write_text(page, encoding="utf-8")


def _before_and_after(subject: Subject, found: Repair) -> str:
    layer, units = found.chosen.layer, found.chosen.units
    edit = Edit(layer, subject.chosen(layer)[layer], units, (1.0,) * len(units))
    rows = np.concatenate([_pixels(part) for part in before_and_after(subject, edit, SHOWN)])
    return embedded(image_grid(rows, SHOWN))


def _pixels(images: Tensor) -> np.ndarray:
    return visible(to_uint8(images).cpu().numpy())


def _units(subject: Subject, found: Repair, progress: Progress | None) -> str:
    distances = dict(found.orders[found.chosen.layer])
    shown = [
        Shown(
            found.chosen.layer,
            UnitFound(
                unit=unit, label="", iou=0, ratio=0, threshold=peak / 2, detector=False, top=numbers
            ),
        )
        for unit, (peak, numbers) in found.tops.items()
    ]
    mark_images(subject, shown, progress)
    return "".join(
        f'<div class="unit"><b>unit {one.unit.unit}</b> <small>distance '
        f"{distances[one.unit.unit]:.4g}; bright above half of its peak</small>{strip(one)}</div>"
        for one in shown
    )
