"""Whether a generator has learnt training images by heart, and a picture of the nearest pairs."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from egan.data import ImageSource
from fitness.metrics.memorisation import memorisation
from runs.evaluation.evaluator import Evaluator
from runs.evaluation.mistakes import user_mistakes
from runs.evaluation.reals import batches_of
from runs.sampling.pictures import save_images

FEWER = 5_000  # training images from which on nobody looks for copies unasked
SAMPLES = 1_000  # at most, in which copies are looked for
PAIRS, COLUMNS = 32, 8  # of the picture


def search(
    evaluator: Evaluator,
    samples: Iterable[Tensor],
    real: ImageSource,
    held_out: ImageSource | None,
    picture: Path | None = None,
) -> dict[str, Any]:
    """Compare samples with their nearest training images; return JSON values.

    Args:
        evaluator: gives the features.
        samples: batches of uint8 images (N, C, H, W).
        real: the training images.
        held_out: reals that nobody trained on, if there are any.
        picture: the PNG to write, with samples above their nearest training images.

    Raises:
        ConfigError: too few training images.
    """
    fake = torch.cat(list(samples)).cpu()
    compared = None if held_out is None else _features(evaluator, held_out)
    with user_mistakes():
        embedded = evaluator.features([fake], len(fake), "samples")
        found = memorisation(_features(evaluator, real), embedded, compared)
    if picture is not None:
        closest = found.order[:PAIRS].cpu()
        nearest = real.images[found.nearest.cpu()[closest].numpy()]
        _draw(fake[closest].numpy(), nearest, picture)
    return {
        "copies": found.copies,
        "distance": found.distance,
        "samples": len(fake),
        "of": "each other" if held_out is None else f"{len(held_out)} held-out images",
    }


def told(found: dict[str, Any]) -> str:
    """Return what was found as a line."""
    other = "another" if found["of"] == "each other" else "one"
    return (
        f"copies: {found['copies']:.1%} of {found['samples']:,} samples are as near to a training "
        f"image as the nearest 5 % of reals are to {other}; the median distance is "
        f"{found['distance']:.2f} of theirs (compared with {found['of']})"
    )


def _features(evaluator: Evaluator, source: ImageSource) -> Tensor:
    every = batches_of(source.images, np.arange(len(source)))
    return evaluator.features(every, len(source), "training images")


def _draw(fake: np.ndarray, real: np.ndarray, path: Path) -> None:
    """Write rows of samples, each above the row of its nearest training images."""
    rows = [
        part[start : start + COLUMNS]
        for start in range(0, len(fake) - len(fake) % COLUMNS or len(fake), COLUMNS)
        for part in (fake, real)
    ]
    images = np.concatenate(rows).transpose(0, 2, 3, 1)
    path.parent.mkdir(parents=True, exist_ok=True)
    names = ["samples", "nearest"] * (len(rows) // 2)
    save_images(images, path, min(COLUMNS, len(fake)), names)
