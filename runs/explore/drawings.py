"""Images that are drawn or uploaded, and their translations."""

from pathlib import PurePosixPath

import numpy as np

from runs.common.errors import ConfigError
from runs.sampling.translation_grid import visible
from runs.sampling.translator import Translator
from runs.translation.files import Input, pixels_of
from runs.translation.translating import Options, translated

MOST_PIXELS = 2**20  # of an image that keeps its own size


def given_image(
    content: bytes, name: str, translator: Translator, resize: bool
) -> tuple[Input, np.ndarray]:
    """Return an image as a translator gets it, and so that it can be looked at, uint8 (H, W, 3).

    Args:
        content: of the file.
        name: of the file.
        translator: that it is for.
        resize: whether it is brought to the size of the training.

    Raises:
        DataError: it is no image that can be read.
        ConfigError: it is too large to keep its size.
    """
    image = Input(PurePosixPath(name), name, lambda: content)
    size = translator.shape[1:] if resize else None
    pixels = pixels_of(image, translator.shape[0], size, convert=True)  # type: ignore[arg-type]
    height, width = pixels.shape[1:]
    if height * width > MOST_PIXELS:
        raise ConfigError(
            f"{name} has {width} x {height} pixels, and at most {MOST_PIXELS:,} are translated "
            "here. Bring it to the size of the training, or use the command translate"
        )
    return image, visible(pixels[None])[0]


def translation(translator: Translator, image: Input, resize: bool) -> np.ndarray:
    """Return the translation of an image, uint8 (H, W, 3).

    Raises:
        DataError: as `given_image`.
    """
    made = translated(translator, image, 0, Options(resize=resize, convert=True))
    pixels: np.ndarray = visible(made[None])[0]
    return pixels
