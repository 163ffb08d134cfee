"""Rows of a set that is mapped from a file, asked for before they are read."""

import mmap

import numpy as np

PAGE = mmap.PAGESIZE


def rows_of(images: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return a copy of the rows (N,) of images, (N, C, H, W), which may be mapped from a file.

    The system begins to read all of them at once. Otherwise each is waited for in turn, and with
    each the system reads megabytes ahead that nobody wants.
    """
    file = getattr(images, "_mmap", None)  # numpy's name for what a memory map is of
    if file is not None and hasattr(file, "madvise"):
        for start, length in spans(images, rows):
            file.madvise(mmap.MADV_WILLNEED, start, length)
    chosen: np.ndarray = images[rows]
    return chosen


def spans(images: np.ndarray, rows: np.ndarray) -> list[tuple[int, int]]:
    """Return where rows of a mapped array are: (start, length) in its map, start on a page."""
    step = images.strides[0]
    if step != images[0].nbytes:  # a row's numbers are not side by side
        return []
    whole = np.frombuffer(images._mmap, np.uint8)  # type: ignore[attr-defined]
    first = images.ctypes.data - whole.ctypes.data
    starts = [first + int(row) * step for row in rows]
    return [(start // PAGE * PAGE, start % PAGE + step) for start in starts]
