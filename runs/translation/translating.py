"""The `translate` command: every image by itself, one bad file does not stop the others."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from egan.data import DataError
from egan.data.pixels import to_uint8
from fitness.features import Progress
from runs.common.errors import ConfigError
from runs.sampling.translator import Translator
from runs.translation.files import Input, inputs_of, pixels_of, places_of, write_picture
from runs.translation.tiles import in_tiles

DEEP = 16  # bits


@dataclass(frozen=True)
class Options:
    """How images are translated.

    Attributes:
        resize: whether images are brought to the size of the training; else they keep their own.
        convert: whether images of other channels are converted.
        tile: side of the tiles that larger images are cut into, pixels.
        overlap: what neighbouring tiles share, pixels.
        seed: of dropout, where it is on.
        bits: of each channel, 8 or 16.
    """

    resize: bool = False
    convert: bool = False
    tile: int = 512
    overlap: int = 64
    seed: int = 0
    bits: int = 8


@dataclass
class Outcome:
    """The files that were written, and what went wrong with the others."""

    written: list[Path] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


def translate_files(
    translator: Translator,
    given: tuple[str, ...],
    out: Path,
    options: Options,
    progress: Progress | None = None,
) -> Outcome:
    """Translate the images in files, folders, archives and patterns into `out`.

    Raises:
        ConfigError, DataError: nothing can be translated as it was asked; nothing was written.
    """
    _check(translator, options)
    images = inputs_of(given)
    outcome, taken = Outcome(), dict[Path, str]()
    for number, (image, place) in enumerate(zip(images, places_of(images, out), strict=True)):
        try:
            if place in taken:
                raise DataError(
                    f"{image.where}: {taken[place]} goes to {place} already; rename one"
                )
            write_picture(translated(translator, image, number, options), place)
            taken[place] = image.where
            outcome.written.append(place)
        except DataError as error:
            outcome.failures.append(str(error))
        if progress:
            progress("images", number + 1, len(images))
    return outcome


def _check(translator: Translator, options: Options) -> None:
    factor = translator.factor
    if options.tile % factor:
        raise ConfigError(f"--tile {options.tile}: this network takes multiples of {factor}")
    if not 0 <= options.overlap < options.tile:
        raise ConfigError(f"--overlap {options.overlap}: from 0 to below --tile {options.tile}")


def translated(translator: Translator, image: Input, number: int, options: Options) -> np.ndarray:
    """Return the translation of one image, uint8 or uint16 (C', H, W).

    Raises:
        DataError: the image cannot be read, or has other channels.
    """
    height, width = translator.shape[1:]
    size = (height, width) if options.resize else None
    pixels = pixels_of(image, translator.shape[0], size, options.convert)

    def at_once(part: np.ndarray) -> np.ndarray:
        (made,) = _parts(translator, part, options.seed, number)
        return made

    tile = max(options.tile, *translator.shape[1:])
    made = in_tiles(pixels, translator.factor, tile, options.overlap, at_once)
    return to_pixels_of(made, options.bits)


def _parts(
    translator: Translator, part: np.ndarray, seed: int, number: int
) -> Iterator[np.ndarray]:
    for made in translator(part, seed, number):
        yield made.cpu().numpy()


def to_pixels_of(made: np.ndarray, bits: int) -> np.ndarray:
    """Return an image in [-1, 1] as uint8, or uint16 where `bits` is 16."""
    import torch

    if bits == DEEP:
        deep: np.ndarray = (np.nan_to_num(made + 1).clip(0, 2) * 32767.5).round().astype(np.uint16)
        return deep
    return to_uint8(torch.from_numpy(made)).numpy()
