"""Samples in files: a picture, or an array that is written a part at a time."""

import shutil
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import ceil, prod
from pathlib import Path

import numpy as np
from torch import Tensor

from egan.files import atomic_file
from fitness.features import Progress
from runs.common.errors import ConfigError
from runs.sampling.conditions import Asked, usual
from runs.sampling.pictures import check_picture, save_images, save_points
from runs.sampling.sampler import BATCH, Sampler

USUAL = 64  # samples, where their number is not given
LEAST_IN_GRID, MOST_IN_GRID = 16, 100  # images of the grids that a run draws
POINTS_IN_GRID = 1000
# Images of a grid by condition, and of a row of it, where their number is not given.
IN_ROWS, LEAST_IN_ROW, MOST_IN_ROW = 100, 4, 16


def write_samples(
    sampler: Sampler,
    count: int,
    seed: int,
    path: Path,
    centres: np.ndarray | None = None,
    asked: Asked | None = None,
    progress: Progress | None = None,
) -> int:
    """Write samples as an .npz, of images as the array `images`, of points as `points`.

    What the samples were asked for stands beside them, as data sets have it: `labels` and
    `classes`, or `tags` and `tag_names`. A path that ends in .png gets a picture.

    Args:
        sampler: what makes them.
        count: how many.
        seed: of the noise that they are made from.
        path: the file; its suffix says which kind.
        centres: the true modes (K, 2), to be drawn beside points.
        asked: the conditions that they have in turn; None: those of the data.
        progress: called as `progress("samples", done, count)`.

    Returns:
        How many samples there are: `count`, or more to fill the rows of a grid.

    Raises:
        ConfigError: so many make too large a picture, or more than the disk has room for.
    """
    if path.suffix.lower() == ".png":
        return write_picture(sampler, count, seed, path, centres, asked, progress)
    channels, *sides = sampler.sample_shape
    shape = (count, *sides, channels)  # (N, H, W, C), or (N, D)
    dtype = np.dtype(np.uint8 if sampler.images else np.float32)
    _check_room(path, prod(shape) * dtype.itemsize)
    conditions = None if asked is None else asked.cycled(count)
    parts = _told(sampler.arrays(count, seed, conditions), count, progress)
    name = "images" if sampler.images else "points"
    write_arrays(
        path,
        Streamed(name, parts, shape, dtype),
        *_conditions(sampler, count, seed, conditions),
    )
    return count


def write_picture(
    sampler: Sampler,
    count: int,
    seed: int,
    path: Path,
    centres: np.ndarray | None = None,
    asked: Asked | None = None,
    progress: Progress | None = None,
) -> int:
    """Write a PNG, a grid of images or a scatter of points; return how many samples it shows.

    With several conditions, by default all classes of the data, the grid has a row for each, of as
    many images as make `count`. All rows are made from the same noise.
    """
    hint = "; or take --out FILE.npz, which holds any number"
    rows = None
    if sampler.conditions is not None and sampler.images:
        rows = asked or usual(sampler.conditions)
    if rows is not None and len(rows) > 1:
        columns = ceil(count / len(rows))
        check_picture(columns * len(rows), sampler.sample_shape, hint)
        if columns > BATCH:
            raise ConfigError(f"a row has {columns} images, and at most {BATCH} fit. Ask for fewer"
                              f"{hint}")  # fmt: skip
        save_images(sampler.table(rows.vectors, columns, seed), path, columns, rows.names)
        return columns * len(rows)
    check_picture(count, sampler.sample_shape, hint)
    conditions = None if asked is None else asked.cycled(count)
    samples = np.concatenate(list(_told(sampler.arrays(count, seed, conditions), count, progress)))
    if sampler.images:
        save_images(samples, path)
    else:
        save_points(samples, centres, path, _groups(sampler, count, seed, conditions))
    return count


def usual_count(sampler: Sampler, count: int, asked: Asked | None = None) -> int:
    """Return how many samples suit a picture: `count`, or whole rows of a grid by condition."""
    if sampler.conditions is None or not sampler.images:
        return count
    rows = len(asked or usual(sampler.conditions))
    in_row = min(MOST_IN_ROW, max(LEAST_IN_ROW, ceil(IN_ROWS / rows)))
    return count if rows == 1 else rows * in_row


def grid_count(sampler: Sampler) -> int:
    """Return how many samples a run draws: of large images as many as are made at a time."""
    if not sampler.images:
        return POINTS_IN_GRID
    return usual_count(sampler, min(MOST_IN_GRID, max(LEAST_IN_GRID, sampler.at_once)))


def _groups(
    sampler: Sampler, count: int, seed: int, conditions: Tensor | None
) -> np.ndarray | None:
    """Return the class (count,) that each sample was asked for; None: there are no classes."""
    arrays = list(_conditions(sampler, count, seed, conditions))
    if not arrays or arrays[0].name != "labels":
        return None
    return np.concatenate(list(arrays[0].parts))


def _conditions(
    sampler: Sampler, count: int, seed: int, conditions: Tensor | None
) -> Iterator["Streamed"]:
    """Yield the arrays that say what samples were asked for, if anything."""
    if sampler.conditions is None:
        return
    told = sampler.conditions.conditions
    starts = range(0, count, BATCH)
    vectors = (
        sampler.asked(conditions, start, min(BATCH, count - start), seed) for start in starts
    )
    rows = (part.cpu().numpy() for part in vectors if part is not None)
    names = np.array(told.names)
    if told.kind == "labels":
        labels = (part.argmax(1).astype(np.int64) for part in rows)
        yield Streamed("labels", labels, (count,), np.dtype(np.int64))
    else:
        yield Streamed("tags", rows, (count, told.size), np.dtype(np.float32))
    name = "classes" if told.kind == "labels" else "tag_names"
    yield Streamed(name, [names], names.shape, names.dtype)


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


@dataclass(frozen=True)
class Streamed:
    """An array that comes in parts along its first axis."""

    name: str
    parts: Iterable[np.ndarray]
    shape: tuple[int, ...]
    dtype: np.dtype


def write_arrays(path: Path, *arrays: Streamed) -> None:
    """Write arrays to an .npz, as `numpy.savez_compressed` does, with one part in memory."""
    with (
        atomic_file(path) as temporary,
        zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive,
    ):
        for array in arrays:
            header = {
                "descr": np.lib.format.dtype_to_descr(array.dtype),
                "fortran_order": False,
                "shape": array.shape,
            }
            with archive.open(f"{array.name}.npy", "w", force_zip64=True) as stream:
                np.lib.format.write_array_header_1_0(stream, header)
                for part in array.parts:
                    stream.write(np.ascontiguousarray(part, array.dtype).data)
