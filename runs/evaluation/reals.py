"""The reals that samples are compared with: images, the digits, or statistics of a file."""

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from egan.data import ImageSource, detect_source, open_source
from egan.data.config import DigitsConfig, ImagesConfig
from egan.data.mapped import rows_of
from fitness.statistics import Statistics
from runs.common.errors import ConfigError
from runs.evaluation.mistakes import user_mistakes
from runs.evaluation.statistics_file import read_statistics

BATCH = 256
REALS_SEED = 0  # which reals are compared with is part of the protocol, not of a run


def open_reals(
    against: str, space: str | None = None, resolution: int | None = None, side: int | None = None
) -> ImageSource | Statistics:
    """Open real images, or the statistics of some.

    Args:
        against: the path of images or of statistics, or "digits".
        space: the statistics' feature space; required where their file does not say it.
        resolution: side that the images are brought to; None: as stored.
        side: that of the samples, for images that are stored in many sizes.

    Raises:
        ConfigError, DataError: they cannot be opened.
    """
    if _holds_statistics(Path(against)):
        return _open_statistics(Path(against), space)
    return open_images(against, resolution, folders=side)


def open_images(
    text: str, resolution: int | None = None, folders: int | None = None
) -> ImageSource:
    """Open images by path, or the digits by name.

    Args:
        text: the path, or "digits".
        resolution: side that they are brought to; None: as stored.
        folders: side for images that are stored in many sizes.
    """
    if text == "digits" and not Path(text).exists():
        config: Any = DigitsConfig(resolution=resolution or folders or 16)
    else:
        config = detect_source(Path(text))
        if isinstance(config, ImagesConfig):
            resolution = resolution or folders
            if resolution is None:
                raise ConfigError(
                    f"{text} holds image files: say to which side they are to be brought, with "
                    "--resolution R (metrics compare images of one size)"
                )
        if resolution is not None and hasattr(config, "resolution"):
            config = config.model_copy(update={"resolution": resolution})
    source = open_source(config)
    assert isinstance(source, ImageSource)
    return source


def _holds_statistics(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return {"mu.npy", "sigma.npy"} <= set(archive.namelist())
    except (OSError, zipfile.BadZipFile):
        return False


def _open_statistics(path: Path, space: str | None) -> Statistics:
    with user_mistakes():
        arrays = read_statistics(path)
        if space is None and "space" not in arrays:
            raise ConfigError(
                f"{path} does not say its feature space: name it with --space, such as "
                "--space inception for a file that pytorch-fid wrote"
            )
        return Statistics.from_arrays(arrays, str(path), space=space)


def reals_of(source: ImageSource, count: int) -> Iterator[Tensor]:
    """Yield `count` of a source's images in batches, always the same ones, in mixed order."""
    chosen = np.random.default_rng(REALS_SEED).permutation(len(source))[:count]
    return batches_of(source.images, chosen)


def batches_of(images: np.ndarray, chosen: np.ndarray) -> Iterator[Tensor]:
    """Yield the chosen ones of images (N, C, H, W) in batches."""
    for start in range(0, len(chosen), BATCH):
        yield torch.from_numpy(rows_of(images, chosen[start : start + BATCH]))
