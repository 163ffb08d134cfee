"""Images of any size through a network of convolutions, with margins and overlapping tiles.

A network that halves an image takes sides that are multiples of a power of two. Other images get a
mirrored margin, which is cut off again. A large image is cut into tiles that overlap, and their
translations are blended linearly, so that no border is visible.
"""

from collections.abc import Callable

import numpy as np

Translate = Callable[[np.ndarray], np.ndarray]  # (1, C, H, W) to float32 (1, C', H, W)


def whole(image: np.ndarray, factor: int, translate: Translate) -> np.ndarray:
    """Return the translation (C', H, W) of an image (C, H, W), made at once."""
    height, width = image.shape[1:]
    margins = [(0, 0), (0, -height % factor), (0, -width % factor)]
    padded = np.pad(image, margins, mode="symmetric")
    made: np.ndarray = translate(padded[None])[0]
    return made[:, :height, :width]


def in_tiles(
    image: np.ndarray, factor: int, tile: int, overlap: int, translate: Translate
) -> np.ndarray:
    """Return the translation of an image, made in tiles of `tile` pixels a side.

    Neighbours share `overlap` pixels, in which they are blended.
    """
    height, width = image.shape[1:]
    if max(height, width) <= tile:
        return whole(image, factor, translate)
    total: np.ndarray | None = None
    weights = np.zeros((height, width), np.float32)
    for top in starts(height, tile, overlap):
        for left in starts(width, tile, overlap):
            part = image[:, top : top + tile, left : left + tile]
            made = whole(part, factor, translate)
            ramp = np.outer(
                _ramp(part.shape[1], overlap, top > 0, top + tile < height),
                _ramp(part.shape[2], overlap, left > 0, left + tile < width),
            )
            if total is None:
                total = np.zeros((len(made), height, width), np.float32)
            total[:, top : top + tile, left : left + tile] += made * ramp
            weights[top : top + tile, left : left + tile] += ramp
    assert total is not None
    return total / weights


def starts(side: int, tile: int, overlap: int) -> list[int]:
    """Return where tiles begin, the last one at the end of the side."""
    if side <= tile:
        return [0]
    return [*range(0, side - tile, tile - overlap), side - tile]


def _ramp(side: int, overlap: int, before: bool, after: bool) -> np.ndarray:
    """Return the weight of each pixel of a tile, lower where a neighbour lies before or after."""
    weights = np.ones(side, np.float32)
    rise = (np.arange(overlap, dtype=np.float32) + 1) / (overlap + 1)
    if before:
        weights[:overlap] *= rise[:side]
    if after:
        weights[side - overlap :] *= rise[::-1][:side]
    return weights
