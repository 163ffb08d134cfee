"""Held-out samples of a finite set: the same rows each time the set is opened."""

import hashlib
from dataclasses import fields, replace
from typing import Any

import numpy as np

from egan.data.source import DataError, ImageSource

SEED = 0  # which rows are held out follows from the set's size and their number alone


def divide(source: ImageSource, count: int) -> tuple[ImageSource, ImageSource]:
    """Return what is left for training, and the `count` samples that are held out.

    Both are copies in memory.

    Raises:
        DataError: fewer than two samples would be left.
    """
    if count > len(source) - 2:
        raise DataError(
            f"{source.name}: {count} of {len(source)} samples cannot be held out, since at least 2 "
            "must be left for training; lower data.held_out"
        )
    mixed = np.random.default_rng(SEED).permutation(len(source))
    chosen, rest = np.sort(mixed[:count]), np.sort(mixed[count:])
    return _rows(source, rest, f"without-{count}"), _rows(source, chosen, f"held-out-{count}")


def _rows(source: ImageSource, rows: np.ndarray, part: str) -> ImageSource:
    """Return the rows of a source, under a fingerprint of their own."""
    digest = hashlib.sha256(f"{source.fingerprint}-{part}".encode()).hexdigest()
    changed: dict[str, Any] = {
        field.name: value[rows]
        for field in fields(source)
        if isinstance(value := getattr(source, field.name), np.ndarray)
    }
    return replace(source, digest=digest, **changed)
