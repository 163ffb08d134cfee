"""Samples in files: a picture, or an array that is written a part at a time."""

import shutil
import zipfile
from collections.abc import Iterable, Iterator
from math import prod
from pathlib import Path

import numpy as np

from egan.files import atomic_file
from fitness.features import Progress
from runs.common.errors import ConfigError
from runs.sampling.pictures import check_picture, save_samples
from runs.sampling.sampler import Sampler


def write_samples(
    sampler: Sampler,
    count: int,
    seed: int,
    path: Path,
    centres: np.ndarray | None = None,
    progress: Progress | None = None,
) -> None:
    """Write samples as a PNG, or as the array `images` (of points, `points`) of an .npz.

    Args:
        sampler: what makes them.
        count: how many.
        seed: of the noise that they are made from.
        path: the file; its suffix says which kind.
        centres: the true modes (K, 2), to be drawn beside points.
        progress: called as `progress("samples", done, count)`.

    Raises:
        ConfigError: so many make too large a picture, or more than the disk has room for.
    """
    parts = _told(sampler.arrays(count, seed), count, progress)
    if path.suffix.lower() == ".png":
        check_picture(
            count, sampler.sample_shape, "; or take --out FILE.npz, which holds any number"
        )
        save_samples(np.concatenate(list(parts)), path, centres)
        return
    channels, *sides = sampler.sample_shape
    shape = (count, *sides, channels)  # (N, H, W, C), or (N, D)
    dtype = np.dtype(np.uint8 if sampler.images else np.float32)
    _check_room(path, prod(shape) * dtype.itemsize)
    write_array(path, "images" if sampler.images else "points", parts, shape, dtype)


def _check_room(path: Path, size: int) -> None:
    """Refuse an array of `size` bytes that the disk has no room for."""
    folder = next(folder for folder in path.absolute().parents if folder.is_dir())
    free = shutil.disk_usage(folder).free
    if size > free:
        raise ConfigError(
            f"--out {path}: these samples take up to {size / 1e9:,.1f} GB, and the disk has "
            f"{free / 1e9:,.1f} GB left. Lower --count, or choose another disk"
        )


def _told(
    parts: Iterable[np.ndarray], count: int, progress: Progress | None
) -> Iterator[np.ndarray]:
    """Yield the parts, and say how far they are."""
    done = 0
    for part in parts:
        yield part
        done += len(part)
        if progress is not None:
            progress("samples", done, count)


def write_array(
    path: Path, name: str, parts: Iterable[np.ndarray], shape: tuple[int, ...], dtype: np.dtype
) -> None:
    """Write an array to an .npz, as `numpy.savez_compressed` does, from parts along its first axis.

    No more than one part is in memory.
    """
    header = {
        "descr": np.lib.format.dtype_to_descr(dtype),
        "fortran_order": False,
        "shape": shape,
    }
    with (
        atomic_file(path) as temporary,
        zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open(f"{name}.npy", "w", force_zip64=True) as stream,
    ):
        np.lib.format.write_array_header_1_0(stream, header)
        for part in parts:
            stream.write(np.ascontiguousarray(part, dtype).data)
