"""Statistics of real images in files: NumPy's .npz, as pytorch-fid reads and writes it."""

from pathlib import Path

import numpy as np

from egan.data.npz import ArrayError, read_arrays
from egan.files import atomic_file
from fitness.statistics import Statistics


def save_statistics(statistics: Statistics, path: Path) -> None:
    """Write a file, whole or not at all; ours says its space, count and shape besides."""
    with atomic_file(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **statistics.arrays())  # type: ignore[arg-type]


def load_statistics(path: Path, space: str | None = None) -> Statistics:
    """Return the statistics in a file of ours or of pytorch-fid.

    Args:
        path: the file.
        space: the space that the caller expects; required where the file does not say.

    Raises:
        ValueError: the file is missing, damaged, lacks `mu` or `sigma`, or belongs to another space
            than stated.
    """
    return Statistics.from_arrays(read_statistics(path), str(path), space=space)


def read_statistics(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays of a file.

    Raises:
        ValueError: the file is missing, damaged, or holds anything but plain arrays.
    """
    try:
        return read_arrays(path)
    except ArrayError as error:
        raise ValueError(f"{path} cannot be read as .npz statistics: {error}") from error
