"""Emoji as a line drawing and in colour: 1,594 pairs, which come with this package.

They are Microsoft's Fluent Emoji, under the MIT licence (`LICENSE-fluent.txt`), as SVG. The package
resvg-py draws them (`pip install '.[translation]'`), once for each size: some ten
seconds, then they lie in the cache.
"""

import io
import json
import lzma
from functools import partial
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from pathlib import Path

import numpy as np

from egan.cache import keep, recall
from egan.data.npz import ArrayError, read_arrays
from egan.data.pair_config import EmojiLinesConfig, Size
from egan.data.pairs import PairSource, built_in
from egan.data.source import DataError

PACKAGE = "resvg-py"
FILE = "fluent.json.xz"
SIDE = 32  # of the drawings' own coordinates

Drawn = tuple[np.ndarray, np.ndarray]


def open_emoji_lines(config: EmojiLinesConfig) -> PairSource:
    """Return the lines (N, 1, H, W) and the emoji in colour (N, 3, H, W), from the cache if there.

    Raises:
        DataError: resvg-py is not installed.
    """
    height, width = config.stored
    name = f"emoji-lines/{_version()}-{height}x{width}.npz"
    drawn = recall(name, _read)
    if drawn is None:
        drawn = draw(config.stored)
        keep(name, partial(_write, drawn=drawn))
    return built_in("emoji-lines", *drawn, config)


def draw(size: Size, count: int | None = None) -> Drawn:
    """Draw the first `count` pairs, by name; None: all."""
    packed = files("egan.data.emoji").joinpath(FILE).read_bytes()
    drawings = json.loads(lzma.decompress(packed))
    lines, colours = (
        np.stack([_picture(body, size) for body in drawings[kind][:count]])
        for kind in ("lines", "colours")
    )
    grey = lines[:, :1]  # black on white: all channels are alike
    return grey, colours


def _picture(body: str, size: Size) -> np.ndarray:
    """Return a drawing on white, uint8 (3, H, W)."""
    from PIL import Image

    height, width = size
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {SIDE} {SIDE}" preserveAspectRatio="none" color="#000">'
        f'<rect width="{SIDE}" height="{SIDE}" fill="#fff"/>{body}</svg>'
    )
    resvg = import_module("resvg_py")  # without types
    png = bytes(resvg.svg_to_bytes(svg_string=svg, skip_system_fonts=True))
    with Image.open(io.BytesIO(png)) as picture:
        return np.asarray(picture.convert("RGB")).transpose(2, 0, 1)


def _version() -> str:
    try:
        return version(PACKAGE)
    except PackageNotFoundError:
        raise DataError(
            f"data.source: emoji are drawn by {PACKAGE}, which is not installed; install it: "
            f"pip install {PACKAGE}"
        ) from None


def _read(path: Path) -> Drawn:
    """Return what `_write` wrote.

    Raises:
        ValueError: the file is damaged.
    """
    stored = read_arrays(path)
    try:
        return stored["a"], stored["b"]
    except KeyError as error:
        raise ArrayError(f"{path}: holds no pairs: {error}") from None


def _write(path: Path, drawn: Drawn) -> None:
    np.savez_compressed(path, a=drawn[0], b=drawn[1])
