"""Bringing images to one square size, with Pillow: the same rule for every source."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from PIL.Image import Image


def crop_and_resize(image: "Image", resolution: int) -> "Image":
    """Return the centre square of `image` at (resolution, resolution).

    Shrinks with an antialiased Lanczos filter; enlarges with a bicubic one, which rings less.
    """
    from PIL.Image import Resampling

    width, height = image.size
    side = min(width, height)
    left, top = (width - side) // 2, (height - side) // 2
    # Not resize's own `box`: its filter reaches over the edges of the box.
    square = image.crop((left, top, left + side, top + side))
    filter = Resampling.LANCZOS if side > resolution else Resampling.BICUBIC
    return square.resize((resolution, resolution), filter)


def to_array(image: "Image") -> np.ndarray:
    """Return an "L" or "RGB" image as uint8 (C, H, W)."""
    pixels = np.asarray(image)
    return pixels[None] if pixels.ndim == 2 else np.ascontiguousarray(pixels.transpose(2, 0, 1))


def resize_images(images: np.ndarray, resolution: int | None) -> np.ndarray:
    """Return uint8 (N, C, H, W) images, C 1 or 3, as (N, C, resolution, resolution).

    The images themselves come back where they have that size already, or resolution is None.
    """
    from PIL.Image import fromarray

    if resolution is None or images.shape[2:] == (resolution, resolution):
        return images
    resized = np.empty((*images.shape[:2], resolution, resolution), np.uint8)
    for index, image in enumerate(images):
        pixels = image[0] if len(image) == 1 else image.transpose(1, 2, 0)
        resized[index] = to_array(
            crop_and_resize(fromarray(np.ascontiguousarray(pixels)), resolution)
        )
    return resized
