"""Pictures of samples: a grid of images, or a scatter of points, as PNG."""

from base64 import b64encode
from collections.abc import Sequence
from io import BytesIO
from itertools import takewhile
from math import ceil, sqrt
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from egan.files import atomic_file
from runs.common.errors import ConfigError
from runs.common.figures import write_figure

if TYPE_CHECKING:
    from PIL.Image import Image

MARGIN = 2  # pixels between a grid's images
EFFORT = 4  # of zlib, 1 to 9; its usual 6 takes up to three times as long to save 2 % of a file
LARGEST = 2**29  # pixels of a picture or of all pictures of a walk
MOST_IMAGES = 256**2  # in a grid or in all pictures of a walk
MOST_POINTS = 1_000_000  # in a scatter
SMALLEST_SIDE = 384  # small grids are enlarged by whole factors, so that they can be looked at
SMALLEST_TEXT, LARGEST_TEXT = 8, 22  # pixels of the rows' names
LONGEST_TEXT = 32  # letters of a row's name that are shown


def check_picture(count: int, shape: tuple[int, ...], hint: str = "") -> None:
    """Refuse a picture that is too large, before any sample is made.

    Args:
        count: how many samples it shows.
        shape: of one, (C, H, W) or (D,).
        hint: ends the message.

    Raises:
        ConfigError: says how large it would be.
    """
    if len(shape) == 3 and (pixels := count * shape[1] * shape[2]) > LARGEST:
        raise ConfigError(
            f"{count:,} images of {shape[1]} x {shape[2]} make a picture of {pixels / 1e6:,.0f} "
            f"million pixels; at most {LARGEST / 1e6:.0f} million are drawn. Ask for fewer{hint}"
        )
    kind, most = ("images", MOST_IMAGES) if len(shape) == 3 else ("points", MOST_POINTS)
    if count > most:
        raise ConfigError(
            f"{count:,} {kind} are too many for a picture; at most {most:,} are drawn. Ask for "
            f"fewer{hint}"
        )


def image_grid(images: np.ndarray, columns: int | None = None) -> np.ndarray:
    """Return one image (H, W, C) of the uint8 images (N, H, W, C) in rows."""
    count, height, width, channels = images.shape
    columns = columns or ceil(sqrt(count))
    rows = ceil(count / columns)
    cell_height, cell_width = height + MARGIN, width + MARGIN
    grid = np.full(
        (rows * cell_height + MARGIN, columns * cell_width + MARGIN, channels), 128, np.uint8
    )
    for index, image in enumerate(images):
        row, column = divmod(index, columns)
        top, left = row * cell_height + MARGIN, column * cell_width + MARGIN
        grid[top : top + height, left : left + width] = image
    factor = max(1, SMALLEST_SIDE // grid.shape[0])
    return grid.repeat(factor, 0).repeat(factor, 1)


def save_images(
    images: np.ndarray,
    path: Path,
    columns: int | None = None,
    names: Sequence[str] | None = None,
) -> None:
    """Write a grid of the uint8 images (N, H, W, C) as a PNG, the rows' names beside it."""
    from PIL import Image

    grid = image_grid(images, columns)
    picture = Image.fromarray(grid[:, :, 0] if grid.shape[2] == 1 else grid)
    picture = beside(picture, names) if names else picture
    with atomic_file(path) as temporary:
        picture.save(temporary, "PNG", compress_level=EFFORT)


def embedded(pixels: np.ndarray) -> str:
    """Return an image, uint8 (H, W, 3), as an element of HTML that holds it."""
    from PIL import Image

    content = BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(content, "PNG")
    return f'<img src="data:image/png;base64,{b64encode(content.getvalue()).decode()}">'


def beside(picture: "Image", names: Sequence[str]) -> "Image":
    """Return a picture of equal rows with a name before each, right-aligned."""
    from matplotlib import get_data_path
    from PIL import Image, ImageDraw, ImageFont

    row = picture.height / len(names)
    size = int(min(LARGEST_TEXT, max(SMALLEST_TEXT, row / 2)))
    font = ImageFont.truetype(str(Path(get_data_path(), "fonts/ttf/DejaVuSans.ttf")), size)
    texts = shortened(names)
    width = ceil(max(font.getlength(text) for text in texts)) + 2 * size // 2
    whole = Image.new(picture.mode, (width + picture.width, picture.height), "white")
    whole.paste(picture, (width, 0))
    draw = ImageDraw.Draw(whole)
    for place, text in enumerate(texts):
        draw.text((width - size // 2, (place + 0.5) * row), text, "black", font, anchor="rm")
    return whole


def shortened(names: Sequence[str]) -> list[str]:
    """Return names of at most `LONGEST_TEXT` letters; of long ones with one beginning, the rest."""
    alike: dict[str, set[str]] = {}
    for name in names:
        alike.setdefault(name[: LONGEST_TEXT - 1], set()).add(name)

    def short(name: str) -> str:
        if len(name) <= LONGEST_TEXT:
            return name
        others = alike[name[: LONGEST_TEXT - 1]]
        equal = takewhile(lambda letters: len(set(letters)) == 1, zip(*others, strict=False))
        rest = name if len(others) == 1 else f"…{name[sum(1 for _ in equal) :]}"
        return rest if len(rest) <= LONGEST_TEXT else f"{rest[: LONGEST_TEXT - 1]}…"

    return [short(name) for name in names]


def save_points(
    points: np.ndarray,
    centres: np.ndarray | None,
    path: Path,
    groups: np.ndarray | None = None,
) -> None:
    """Write a scatter of points (N, 2) as a PNG, the true modes marked.

    Points of one of the `groups` (N,), numbers, have one colour.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 5), dpi=110, layout="constrained")
    axes = figure.add_subplot()
    x, y = points.T
    colours = None if groups is None else "nipy_spectral"
    axes.scatter(x, y, 3, groups, alpha=0.4, linewidths=0, label="generated", cmap=colours)
    if centres is not None:
        colour = "crimson" if groups is None else "black"
        axes.scatter(centres[:, 0], centres[:, 1], marker="+", c=colour, s=40, label="modes")
        reach = float(np.abs(centres).max()) * 1.35
        axes.set(xlim=(-reach, reach), ylim=(-reach, reach))
    axes.set_aspect("equal")
    axes.legend(loc="upper right", fontsize=8)
    write_figure(figure, path)
