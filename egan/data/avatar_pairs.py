"""Avatars' part masks and the avatars, as pairs: labels to pictures, as many as wanted.

A mask is a picture, too: each part has one colour, so that anybody can paint one and have it
translated.
"""

import numpy as np

from egan.data.avatar_parts import avatar_parts
from egan.data.avatars import recalled
from egan.data.config import AvatarsConfig
from egan.data.pair_config import AvatarsPartsConfig
from egan.data.pairs import PairSource, built_in

COLOURS = np.array(
    [
        (255, 255, 255), (230, 25, 75), (60, 180, 75), (255, 225, 25), (0, 130, 200),
        (245, 130, 48), (145, 30, 180), (70, 240, 240), (128, 0, 0), (0, 0, 0),
    ],
    np.uint8,
)  # fmt: skip
"""The colour of each part, in the order of `avatar_parts.PARTS`."""


def open_avatar_pairs(config: AvatarsPartsConfig) -> PairSource:
    """Return the masks in colour and the avatars, (N, 3, R, R) each, from the cache if there.

    Raises:
        DataError: the packages that draw avatars are not installed.
    """
    drawn = AvatarsConfig(style=config.style, count=config.count, resolution=config.stored[0])
    masks = avatar_parts(drawn).masks
    return built_in(
        f"avatars-parts ({config.style})", painted(masks), recalled(drawn).images, config
    )


def painted(masks: np.ndarray) -> np.ndarray:
    """Return masks (N, R, R), numbers of parts, as pictures uint8 (N, 3, R, R)."""
    return np.ascontiguousarray(COLOURS[masks].transpose(0, 3, 1, 2))


def parts_of(pictures: np.ndarray, count: int) -> np.ndarray:
    """Return the masks (N, R, R) of pictures (N, 3, R, R): which of `count` colours is nearest."""
    colours = COLOURS[:count].astype(np.float32)
    found = np.zeros((len(pictures), *pictures.shape[2:]), np.int64)
    for place, picture in enumerate(pictures):
        pixels = picture.transpose(1, 2, 0)[:, :, None].astype(np.float32)  # (R, R, 1, 3)
        found[place] = np.square(pixels - colours).sum(3).argmin(2)
    return found
