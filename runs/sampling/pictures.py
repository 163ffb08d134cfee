"""Pictures of samples: a grid of images, or a scatter of points, as PNG."""

from math import ceil, sqrt
from pathlib import Path

import numpy as np

from egan.files import atomic_file
from runs.common.errors import ConfigError

MARGIN = 2  # pixels between a grid's images
LARGEST = 2**29  # pixels of a picture or of all pictures of a walk
MOST_POINTS = 1_000_000  # in a scatter
SMALLEST_SIDE = 384  # small grids are enlarged by whole factors, so that they can be looked at


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
    if len(shape) != 3 and count > MOST_POINTS:
        raise ConfigError(
            f"{count:,} points are too many for a picture; at most {MOST_POINTS:,} are drawn. Ask "
            f"for fewer{hint}"
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


def save_images(images: np.ndarray, path: Path, columns: int | None = None) -> None:
    """Write a grid of the uint8 images (N, H, W, C) as a PNG."""
    from PIL import Image

    grid = image_grid(images, columns)
    with atomic_file(path) as temporary:
        Image.fromarray(grid[:, :, 0] if grid.shape[2] == 1 else grid).save(temporary, "PNG")


def save_points(points: np.ndarray, centres: np.ndarray | None, path: Path) -> None:
    """Write a scatter of points (N, 2) as a PNG, the true modes marked."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 5), dpi=110, layout="constrained")
    axes = figure.add_subplot()
    axes.scatter(points[:, 0], points[:, 1], s=3, alpha=0.4, linewidths=0, label="generated")
    if centres is not None:
        axes.scatter(centres[:, 0], centres[:, 1], marker="+", c="crimson", s=40, label="modes")
        reach = float(np.abs(centres).max()) * 1.35
        axes.set(xlim=(-reach, reach), ylim=(-reach, reach))
    axes.set_aspect("equal")
    axes.legend(loc="upper right", fontsize=8)
    with atomic_file(path) as temporary:
        figure.savefig(temporary, format="png")


def save_samples(samples: np.ndarray, path: Path, centres: np.ndarray | None = None) -> None:
    """Write a PNG of samples: a grid of images, or a scatter of points."""
    if samples.ndim == 4:
        save_images(samples, path)
    else:
        save_points(samples, centres, path)
