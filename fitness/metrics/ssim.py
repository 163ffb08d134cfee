"""Structural similarity: Wang et al. 2004 (SSIM) and 2003 (MS-SSIM), by torchmetrics.

Between pairs of a generator's own images it measures sameness: Odena et al., *Conditional Image
Synthesis with Auxiliary Classifier GANs*, arXiv 1610.09585, sec. 4.2. Between an image and its
target it measures how well a paired task was solved.
"""

import numpy as np
import torch
from torch import Tensor

# The protocol: this many disjoint pairs, fewer where the set or the memory allows no more.
PAIRS = 1000
PAIR_BYTES = 2**28
# An 11-pixel window, over five halvings for MS-SSIM.
SMALLEST = {"ssim": 11, "ms-ssim": 176}


def similarity(images: Tensor, targets: Tensor, *, multiscale: bool = False) -> float:
    """Mean SSIM, or MS-SSIM, of images and targets pair by pair; 1 for equal ones.

    Windows stand on every pixel; beyond the border SSIM sees the image reflected.

    Args:
        images, targets: (N, C, H, W), uint8.
        multiscale: MS-SSIM, for images of at least 176 pixels.

    Raises:
        ValueError: other shapes or types, or images smaller than the window.
    """
    name = "ms-ssim" if multiscale else "ssim"
    if images.shape != targets.shape or images.ndim != 4 or not len(images):
        raise ValueError(
            f"{name} compares images (N, C, H, W) pair by pair; "
            f"{tuple(images.shape)} and {tuple(targets.shape)} arrived"
        )
    if images.dtype != torch.uint8 or targets.dtype != torch.uint8:
        raise ValueError(
            f"{name} takes images as bytes, uint8; {images.dtype} and {targets.dtype} arrived"
        )
    check_side(name, tuple(images.shape[1:]))
    from torchmetrics.functional.image import (
        multiscale_structural_similarity_index_measure,
        structural_similarity_index_measure,
    )

    measure = (
        multiscale_structural_similarity_index_measure
        if multiscale
        else structural_similarity_index_measure
    )
    parts = [
        measure(a.double() / 255, b.double() / 255, data_range=1.0, reduction="none").reshape(-1)
        for a, b in zip(torch.split(images, 16), torch.split(targets, 16), strict=True)
    ]
    return float(torch.cat(parts).mean())


def check_side(name: str, shape: tuple[int, ...]) -> None:
    """Refuse images (C, H, W) too small for `name`'s window.

    Raises:
        ValueError: says the size required.
    """
    if len(shape) != 3 or min(shape[1:]) < SMALLEST[name]:
        advice = "; use ssim" if name == "ms-ssim" else ""
        raise ValueError(
            f"{name} needs images of at least {SMALLEST[name]} x {SMALLEST[name]} pixels; "
            f"shape {shape} arrived{advice}"
        )


class Pairs:
    """Random disjoint pairs from a stream of images; at most `PAIR_BYTES` are kept.

    Args:
        count: how many images will come.
        shape: (C, H, W) of one.
        seed: of the choice, made beforehand.
    """

    def __init__(self, count: int, shape: tuple[int, ...], *, seed: int) -> None:
        size = int(np.prod(shape))
        pairs = max(1, min(PAIRS, count // 2, PAIR_BYTES // (2 * size)))
        chosen = np.random.default_rng(seed).permutation(count)[: 2 * pairs]
        self._slot = {int(image): slot for slot, image in enumerate(chosen)}
        self._images = torch.empty((2 * pairs, *shape), dtype=torch.uint8)
        self._seen = 0

    def update(self, images: Tensor) -> None:
        """Take in a batch (N, C, H, W)."""
        for offset, image in enumerate(images):
            slot = self._slot.pop(self._seen + offset, None)
            if slot is not None:
                self._images[slot] = image
        self._seen += len(images)

    def halves(self) -> tuple[Tensor, Tensor]:
        """The pairs as two batches; every image announced must have come."""
        assert not self._slot, "images announced did not come"
        return self._images[::2], self._images[1::2]


def diversity(pairs: Pairs, *, multiscale: bool = False) -> float:
    """Mean similarity of the pairs: the lower, the more diverse the images.

    Raises:
        ValueError: as `similarity`.
    """
    return similarity(*pairs.halves(), multiscale=multiscale)
