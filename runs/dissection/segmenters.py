"""A segmenter by its name, with the drawings, the labels or the images that it needs."""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from egan.data import ImageSource
from egan.data.config import AvatarsConfig, DataConfig
from fitness.features import Progress
from fitness.features.classifier import ClassifierSpace
from fitness.metrics.names import nearest_name
from fitness.segmenters import (
    SEGMENTERS,
    ColourSegmenter,
    EvidenceSegmenter,
    ModuleSegmenter,
    Segmenter,
)
from runs.common.errors import ConfigError
from runs.dissection.part_segmenter import part_segmenter
from runs.evaluation.spaces import open_space
from runs.store.data import moved, reopened
from runs.store.folder import RunFolder

OTHERS = "take colours, which fits all images, or package.module:Name, a segmenter of your own"


def open_segmenter(
    name: str,
    run: RunFolder | None,
    shape: tuple[int, ...],
    images: Callable[[], Tensor],
    device: torch.device,
    data_at: Path | None = None,
    progress: Progress | None = None,
) -> Segmenter:
    """Return a segmenter for a generator's images.

    Args:
        name: one of `SEGMENTERS`, or the import path `package.module:Name` of a network.
        run: that the generator is of; None: it has no run.
        shape: of an image, (C, H, W).
        images: gives some of the generator's images, float (N, C, H, W) in [-1, 1].
        device: where it segments.
        data_at: where the run's data lie now, if they have moved.
        progress: called while one is trained.

    Raises:
        ConfigError, DataError: there is no such segmenter, or it does not fit the images.
    """
    try:
        if name == "classes":
            segmenter = _of_classes(run, shape, device, data_at, progress)
        else:
            segmenter = _opened(name, run, shape, images, device, progress)
        segmenter.masks(torch.zeros(1, *shape, device=device))  # fits, or says why not
    except ConfigError:
        raise
    except ValueError as error:
        raise ConfigError(f"--segmenter: {error}") from error
    return segmenter


def _opened(
    name: str,
    run: RunFolder | None,
    shape: tuple[int, ...],
    images: Callable[[], Tensor],
    device: torch.device,
    progress: Progress | None,
) -> Segmenter:
    if ":" in name:
        return ModuleSegmenter(name, shape, device)
    if name == "colours":
        return ColourSegmenter.fitted(images())
    if name == "parts":
        data = _data(run, name, "avatars")
        if not isinstance(data, AvatarsConfig):
            raise ConfigError(
                f"--segmenter parts knows the parts of avatars, and this run's data are "
                f"{data.source}: {OTHERS}"
            )
        return part_segmenter(data.style, data.resolution, device, progress)
    raise nearest_name(name, (*SEGMENTERS, "package.module:Name"), "segmenter")


def _of_classes(
    run: RunFolder | None,
    shape: tuple[int, ...],
    device: torch.device,
    data_at: Path | None,
    progress: Progress | None,
) -> Segmenter:
    data = _data(run, "classes", "labelled images")
    assert run is not None
    data = data if data_at is None else moved(data, data_at)
    source, _ = reopened(run, data, "dissect")
    labelled = isinstance(source, ImageSource) and source.labels is not None
    if not labelled:
        raise ConfigError(
            f"--segmenter classes needs labels to learn from, and {source.name} has none: {OTHERS}"
        )
    assert isinstance(source, ImageSource)
    space = open_space("classifier", source, shape, device=device, progress=progress)
    if not isinstance(space, ClassifierSpace):
        raise ConfigError(f"--segmenter classes takes no images in layers: {OTHERS}")
    classes = source.classes or tuple(map(str, range(space.classes or 0)))
    return EvidenceSegmenter(space, classes)


def _data(run: RunFolder | None, name: str, need: str) -> DataConfig:
    if run is None:
        raise ConfigError(
            f"--segmenter {name} needs a run on {need}, and a generator's folder has no data: "
            f"{OTHERS}"
        )
    return run.load_config().data
