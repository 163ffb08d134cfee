"""Samples in files: a picture, or an array."""

from pathlib import Path

import numpy as np

from egan.files import atomic_file
from runs.sampling.pictures import save_samples


def write_samples(samples: np.ndarray, path: Path, centres: np.ndarray | None = None) -> None:
    """Write samples as a PNG, or as the array `images` (of points, `points`) of an .npz."""
    if path.suffix.lower() == ".png":
        save_samples(samples, path, centres)
        return
    with atomic_file(path) as temporary, temporary.open("wb") as file:
        if samples.ndim == 4:
            np.savez_compressed(file, images=samples)
        else:
            np.savez_compressed(file, points=samples)
