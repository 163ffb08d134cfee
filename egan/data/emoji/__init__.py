"""Emoji as a line drawing and in colour, and in two styles: 1,594 each, in this package.

They are Microsoft's Fluent Emoji, under the MIT licence (`LICENSE-fluent.txt`), and Google's Noto
Emoji, under the Apache License 2.0 (`LICENSE-noto.txt`), as SVG. The package resvg-py draws them
(`pip install -e '.[translation]'`), once for each size: some ten
seconds, then they lie in the cache.
"""

import io
import json
import lzma
from collections.abc import Callable
from functools import partial
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from pathlib import Path

import numpy as np

from egan.cache import keep, recall
from egan.data.npz import ArrayError, read_arrays
from egan.data.pair_config import EmojiLinesConfig, EmojiStylesConfig, PairBase, Size
from egan.data.pairs import PairSource, built_in
from egan.data.source import DataError

PACKAGE = "resvg-py"
FLUENT, NOTO = "fluent.json.xz", "noto.json.xz"  # of the same emoji, in the same order
SIDES = {FLUENT: 32, NOTO: 128}  # of the drawings' own coordinates

Drawn = tuple[np.ndarray, np.ndarray]


def open_emoji_lines(config: EmojiLinesConfig) -> PairSource:
    """Return the lines (N, 1, H, W) and the emoji in colour (N, 3, H, W), from the cache if there.

    Raises:
        DataError: resvg-py is not installed.
    """
    return _opened("emoji-lines", config, draw)


def open_emoji_styles(config: EmojiStylesConfig) -> PairSource:
    """Return Fluent's and Noto's drawings, (N, 3, H, W) each, from the cache if there.

    Raises:
        DataError: resvg-py is not installed.
    """
    return _opened("emoji-styles", config, draw_styles)


def _opened(name: str, config: PairBase, drawing: Callable[[Size], Drawn]) -> PairSource:
    height, width = config.stored
    file = f"{name}/{_version()}-{height}x{width}.npz"
    drawn = recall(file, _read)
    if drawn is None:
        drawn = drawing(config.stored)
        keep(file, partial(_write, drawn=drawn))
    return built_in(name, *drawn, config)


def draw(size: Size, count: int | None = None) -> Drawn:
    """Draw the lines and colours of the first `count` emoji, by name; None: all."""
    lines = _pictures(FLUENT, "lines", size, count)
    grey = lines[:, :1]  # black on white: all channels are alike
    return grey, _pictures(FLUENT, "colours", size, count)


def draw_styles(size: Size, count: int | None = None) -> Drawn:
    """Draw the first `count` emoji in both styles, by name; None: all."""
    return _pictures(FLUENT, "colours", size, count), _pictures(NOTO, "drawings", size, count)


def _pictures(file: str, kind: str, size: Size, count: int | None) -> np.ndarray:
    """Return drawings on white, uint8 (N, 3, H, W)."""
    packed = files("egan.data.emoji").joinpath(file).read_bytes()
    bodies = json.loads(lzma.decompress(packed))[kind][:count]
    return np.stack([_picture(body, size, SIDES[file]) for body in bodies])


def _picture(body: str, size: Size, side: int) -> np.ndarray:
    """Return a drawing on white, uint8 (3, H, W); `side` is that of its own coordinates."""
    from PIL import Image

    height, width = size
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'width="{width}" height="{height}" viewBox="0 0 {side} {side}" '
        f'preserveAspectRatio="none" color="#000">'
        f'<rect width="{side}" height="{side}" fill="#fff"/>{body}</svg>'
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
