"""The `dissect` command: which units of a generator make what."""

from dataclasses import dataclass
from pathlib import Path

import torch

from fitness.dissection.tally import Tally
from fitness.features import Progress
from fitness.segmenters import PartSegmenter, Segmenter
from runs.common.errors import ConfigError
from runs.common.lock import RunLock
from runs.dissection.dissecting import Dissection
from runs.dissection.page import mark_images, shown_units, write_page
from runs.dissection.results import (
    ARRAYS,
    FOLDER,
    JSON,
    PAGE,
    Found,
    Statistics,
    layer_found,
    write_results,
)
from runs.dissection.segmenters import open_segmenter
from runs.dissection.subject import Subject
from runs.tracking.attachments import log_files

EXAMPLES = 64  # images that colours are taken of
USUAL = 1000  # images of each of the two sets


@dataclass(frozen=True)
class Outcome:
    """What a dissection has found, where it is, and what became of the MLflow record."""

    found: Found
    folder: Path
    resumed: int
    mlflow: str


def dissect(
    subject: Subject,
    layer: str,
    segmenter: str,
    count: int | None,
    rule: str,
    out: Path | None = None,
    data_at: Path | None = None,
    progress: Progress | None = None,
) -> Outcome:
    """Dissect layers, and write dissection.html, dissection.json and dissection.npz.

    Args:
        subject: the generator.
        layer: the name of one, or all.
        segmenter: see `runs.dissection.segmenters`.
        count: images of each of the two sets; None: `USUAL`, or as many as there are.
        rule: how thresholds are chosen: ratio or quantile.
        out: the folder for the files; None: `FOLDER` in the subject's.
        data_at: where the run's data lie now, if they have moved.
        progress: called as `progress(stage, done, total)`.

    Raises:
        ConfigError, DataError: what was asked for cannot be; nothing was written.
        RunBusy: another process dissects into the same folder.
    """
    most = subject.sampler.most
    if count is None:
        count = USUAL if most is None else min(USUAL, most)
    if most is not None and count > most:
        raise ConfigError(
            f"--count {count}: there are images for two sets of {most}, one to choose thresholds "
            f"and one to judge them: give --count {most} or fewer"
        )
    shapes = subject.chosen(layer)
    opened = opened_segmenter(subject, segmenter, data_at, progress)
    folder = out or subject.path / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    with RunLock(folder / "dissection.lock"):
        going = Dissection(subject, shapes, opened, count, rule, folder)
        layers = going.run(progress)
        results = {
            name: layer_found(own, shapes[name], opened.classes) for name, own in layers.items()
        }
        some = next(iter(layers.values())).scoring
        found = Found(
            subject=str(subject.path),
            generator=subject.name,
            weights=subject.weights,
            segmenter=segmenter,
            identity=opened.identity,
            classes=list(opened.classes),
            shares=_shares(opened, some),
            count=count,
            seed=subject.seed,
            rule=rule,
            held_out_iou=held_out(opened),
            layers={name: own for name, (own, _) in results.items()},
        )
        statistics: dict[str, Statistics] = {name: own for name, (_, own) in results.items()}
        units = shown_units(found)
        mark_images(subject, [one for own in units.values() for one in own], progress)
        write_results(folder, found, statistics)
        write_page(folder / PAGE, found, units)
        going.finished()
    files = [folder / name for name in (PAGE, JSON, ARRAYS)]
    logged = log_files(subject.run, files, FOLDER)
    return Outcome(found, folder, going.resumed, logged)


def opened_segmenter(
    subject: Subject, name: str, data_at: Path | None = None, progress: Progress | None = None
) -> Segmenter:
    """Return the segmenter of a name for a generator's images.

    Raises:
        ConfigError, DataError: as `open_segmenter`.
    """
    sampler = subject.sampler
    return open_segmenter(
        name,
        subject.run,
        sampler.shape,
        lambda: torch.cat(list(subject.images(0, EXAMPLES))),
        sampler.device,
        data_at,
        progress,
    )


def held_out(segmenter: Segmenter) -> dict[str, float | None] | None:
    """Return the IoU of a segmenter that was trained on exact masks; None: it was not."""
    if not isinstance(segmenter, PartSegmenter):
        return None
    return {
        name: None if value != value else value  # JSON has no NaN
        for name, value in zip(segmenter.classes, segmenter.iou, strict=True)
    }


def _shares(segmenter: Segmenter, tally: Tally) -> dict[str, float]:
    return dict(zip(segmenter.classes, tally.shares.tolist(), strict=True))
