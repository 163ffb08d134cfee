"""Rows that are mapped from a file: the same values, and asked for where they are."""

import numpy as np

from egan.data.array import map_npy
from egan.data.mapped import rows_of, spans

ROWS = np.array([7, 0, 299, 7, 123])


def test_rows_of_a_mapped_file_are_those_of_the_file(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (300, 3, 16, 16), np.uint8)
    np.save(tmp_path / "images.npy", images)
    mapped = map_npy(tmp_path / "images.npy")
    content = (tmp_path / "images.npy").read_bytes()
    for stored, held in ((mapped, images), (mapped[:, ::2], images[:, ::2]), (images, images)):
        assert np.array_equal(rows_of(stored, ROWS), held[ROWS])
    for row, (start, length) in zip(ROWS, spans(mapped, ROWS), strict=True):
        assert content[start : start + length].endswith(images[row].tobytes())
        assert start % 4096 == 0 and length < 4096 + images[row].nbytes
    # Of a part of the rows, too; numbers that are not side by side are read as they come.
    assert spans(mapped[100:], ROWS - ROWS + 5) == spans(mapped, ROWS - ROWS + 105)
    assert spans(mapped[:, ::2], ROWS) == []
