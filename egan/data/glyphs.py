"""Letters in two fonts that come with matplotlib: pairs without a download, for tests."""

from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from egan.data.pair_config import GlyphsConfig, Size
from egan.data.pairs import PairSource, built_in
from egan.data.source import DataError

FILL = 0.8  # of the image's height, by the font's


def open_glyphs(config: GlyphsConfig) -> PairSource:
    """Return the first `config.count` letters that both fonts have, (N, 1, H, W) each.

    Raises:
        DataError: matplotlib has no such font, or both have fewer letters.
    """
    letters = _common(config.fonts)
    if len(letters) < config.count:
        raise DataError(
            f"data.count: {' and '.join(config.fonts)} have {len(letters)} letters in common, not "
            f"{config.count}"
        )
    chosen = letters[: config.count]
    a, b = (_draw(font, chosen, config.stored) for font in config.fonts)
    return built_in("glyphs", a, b, config)


def _folder() -> Path:
    """Return where matplotlib keeps its fonts, without importing it."""
    spec = find_spec("matplotlib")
    assert spec is not None and spec.origin is not None
    return Path(spec.origin).parent / "mpl-data" / "fonts" / "ttf"


def _path(font: str) -> Path:
    path = _folder() / f"{font}.ttf"
    if not path.is_file():
        known = sorted(file.stem for file in _folder().glob("DejaVu*.ttf"))
        raise DataError(f"data.fonts: matplotlib has no {font!r}; it has {', '.join(known)}")
    return path


@cache
def _common(fonts: tuple[str, str]) -> tuple[int, ...]:
    """Return the codes of all letters and digits that both fonts have, in order."""
    from matplotlib.ft2font import FT2Font

    first, second = (FT2Font(str(_path(font))).get_charmap() for font in fonts)
    return tuple(code for code in sorted(first.keys() & second.keys()) if chr(code).isalnum())


def _draw(font: str, letters: tuple[int, ...], size: Size) -> np.ndarray:
    """Return letters in black on white, uint8 (N, 1, H, W)."""
    from PIL import Image, ImageDraw, ImageFont

    height, width = size
    face = ImageFont.truetype(str(_path(font)), round(FILL * height))
    images = np.empty((len(letters), 1, height, width), np.uint8)
    for image, code in zip(images, letters, strict=True):
        page = Image.new("L", (width, height), 255)
        ImageDraw.Draw(page).text((width / 2, height / 2), chr(code), 0, face, anchor="mm")
        image[0] = np.asarray(page)
    return images
