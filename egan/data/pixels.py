"""Pixels at rest (uint8, or uint16) and in the game (float32 in [-1, 1])."""

import numpy as np
import torch
from torch import Tensor


def to_float(images: np.ndarray | Tensor) -> Tensor:
    """Return uint8 or uint16 images of any shape as float32 in [-1, 1]: x = u / 127.5 - 1."""
    highest = {np.uint8: 255, torch.uint8: 255, np.uint16: 65535, torch.uint16: 65535}
    kind = images.dtype.type if isinstance(images, np.ndarray) else images.dtype
    if kind not in highest:
        raise ValueError(f"images must be uint8 or uint16, not {images.dtype}")
    pixels = torch.from_numpy(images) if isinstance(images, np.ndarray) else images
    return pixels.to(torch.float32).div_(highest[kind] / 2).sub_(1.0)


def to_uint8(images: Tensor) -> Tensor:
    """Return float images as uint8, rounded to nearest and clamped; not-a-number becomes 0.

    The inverse of `to_float`: exact on its results.
    """
    pixels = images.detach().to(torch.float32).add(1.0).mul_(127.5)
    return pixels.nan_to_num_(nan=0.0).round_().clamp_(0, 255).to(torch.uint8)
