"""The part of an avatar that each of its pixels shows: exact masks, drawn and not guessed.

An avatar is drawn again, with each part in one flat colour, without opacity and without smooth
edges. The same seed gives the same avatar, so that image and mask fit together.
"""

import re
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from egan.cache import keep, recall
from egan.data.avatars import avatars_of, cached_name, pixels
from egan.data.config import AvatarsConfig
from egan.data.npz import ArrayError, read_arrays

BACKGROUND = "background"
PARTS = {
    "critters": (BACKGROUND, "top", "body", "pattern", "cheeks", "eyes", "mouth"),
    "landscape": (BACKGROUND, "orb", "hill1", "hill2", "hill3", "hill4"),
    "pixel-art": (BACKGROUND, "skin", "accessories", "beard", "clothes", "eyes", "glasses", "hair",
                  "hat", "mouth"),
    "planets": (BACKGROUND, "planet", "ring", "moons", "star"),
}  # fmt: skip
"""The parts of each style, by the names of its components."""
OF_PARTS = {"surface": "planet", "shade": "planet"}  # components that lie on a part
REST = {"pixel-art": "skin"}  # what is drawn beside components and background
STEP = 16  # of a mask's red between one part and the next

SYMBOL = re.compile(r'(<g id="([a-z]+\d*)-\w+-[0-9a-f]{8}">)')
MASK = re.compile(r"(<mask\b.*?</mask>)", re.DOTALL)  # says by its colours what is seen
PAINT = re.compile(r'\b(fill|stroke)="(?!none")[^"]*"')
OPACITY = re.compile(r'\s(?:fill-|stroke-)?opacity="[^"]*"')
RECTANGLE = re.compile(r'(<rect\b[^>]*?\bfill=")[^"]*"')


@dataclass(frozen=True)
class Parts:
    """The masks of avatars: the number of each pixel's part, uint8 (N, R, R), and all names."""

    masks: np.ndarray
    names: tuple[str, ...]


def avatar_parts(config: AvatarsConfig) -> Parts:
    """Return the masks of a config's avatars, in their order, from the cache or drawn now.

    `egan.data.avatars.recalled` gives the images.

    Raises:
        DataError: the packages are not installed, or the style is not in the public domain.
    """
    names = PARTS[config.style]
    name = f"{cached_name(config)}-parts.npz"
    masks = recall(name, partial(_read, config=config))
    if masks is None:
        masks = draw_parts(config.style, config.count, config.resolution)
        keep(name, partial(_write, masks=masks))
    return Parts(masks, names)


def draw_parts(style: str, count: int, resolution: int) -> np.ndarray:
    """Return the masks of seeds 0 to `count`, uint8 (N, R, R), numbers of `PARTS[style]`.

    Raises:
        DataError: the style is not in the public domain.
    """
    masks = np.empty((count, resolution, resolution), np.uint8)
    for index, avatar in enumerate(avatars_of(style, count, resolution)):
        red = pixels(flat(avatar.to_string(), style))[:, :, 0]
        masks[index] = (red.astype(np.int64) + STEP // 2) // STEP
    return np.minimum(masks, len(PARTS[style]) - 1)


def flat(svg: str, style: str) -> str:
    """Return an avatar's SVG with each part in its own flat red, and sharp edges."""
    definitions, end, drawing = svg.partition("</defs>")
    text, *symbols = SYMBOL.split(definitions)
    for opening, component, symbol in zip(*(iter(symbols),) * 3, strict=True):
        text += opening + _painted(symbol, style, OF_PARTS.get(component, component))
    drawing = _painted(drawing, style, REST.get(style, BACKGROUND))
    text += end + RECTANGLE.sub(rf'\g<1>{_red(0)}"', drawing)
    return re.sub('shape-rendering="[^"]*"', 'shape-rendering="crispEdges"', text, count=1)


def _painted(text: str, style: str, part: str) -> str:
    """Return a piece of SVG in the colour of a part; what is none of the style's is not seen."""
    names = PARTS[style]
    colour = _red(names.index(part)) if part in names else "none"
    pieces = MASK.split(text)
    pieces[::2] = [OPACITY.sub("", PAINT.sub(rf'\1="{colour}"', piece)) for piece in pieces[::2]]
    return "".join(pieces)


def _red(part: int) -> str:
    return f"#{part * STEP:02x}0000"


def _read(path: Path, config: AvatarsConfig) -> np.ndarray:
    """Return the masks that `_write` wrote.

    Raises:
        ValueError: the file is damaged.
    """
    masks = read_arrays(path).get("masks")
    wanted = (config.count, config.resolution, config.resolution)
    if masks is None or masks.shape != wanted or masks.dtype != np.uint8:
        raise ArrayError(f"{path}: holds no masks {wanted}")
    return masks


def _write(path: Path, masks: np.ndarray) -> None:
    np.savez_compressed(path, masks=masks)
