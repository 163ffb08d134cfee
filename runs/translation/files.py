"""The `translate` command's files: images read from anywhere, translations written beside."""

import glob
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np

from egan.data import DataError
from egan.data.decoding import READ
from egan.data.deep import write_deep_png, write_deep_tiff
from egan.data.layout import image_names
from egan.data.pair_files import MODES, read_picture, to_pixels
from egan.data.trees import open_tree
from egan.files import atomic_file
from runs.common.errors import ConfigError

WILD = "*?["
TIFF = (".tif", ".tiff")
WRITTEN = (".png", *TIFF)


@dataclass(frozen=True)
class Input:
    """One image: its name relative to what was given, where it lies, and what reads its bytes.

    `file` is None where it is part of an archive.
    """

    name: PurePosixPath
    where: str
    read: Callable[[], bytes]
    file: Path | None = None


def inputs_of(given: tuple[str, ...]) -> list[Input]:
    """Return the images in files, folders, .zip archives and patterns, in order.

    Raises:
        ConfigError, DataError: something is not there, holds no image, or is no archive.
    """
    found = [image for text in given for image in _inputs(text)]
    if not found:
        raise ConfigError(f"no images in {', '.join(given)}; looked for {READ} files")
    return found


def _inputs(text: str) -> Iterator[Input]:
    path = Path(text).expanduser()
    if not path.exists() and any(mark in text for mark in WILD):
        matches = sorted(glob.glob(str(path), recursive=True))  # noqa: PTH207  a whole path
        if not matches:
            raise ConfigError(f"{text}: no file has a name like this")
        for match in matches:
            yield from _inputs(match)
    elif path.is_dir() or path.suffix.lower() == ".zip":
        tree = open_tree(path)
        for name in image_names(tree):
            file = path / name if path.is_dir() else None
            yield Input(PurePosixPath(name), f"{path}, {name}", partial(tree.read, name), file)
    elif path.exists():
        yield Input(PurePosixPath(path.name), str(path), path.read_bytes, path)
    else:
        raise ConfigError(f"{path}: no such file or folder")


def pixels_of(
    image: Input, channels: int, size: tuple[int, int] | None, convert: bool
) -> np.ndarray:
    """Return an image (C, H, W) as a translator of `channels` takes it.

    Args:
        image: where it lies.
        channels: that the translator was trained on.
        size: (height, width) that it is brought to; None: its own.
        convert: whether an image of other channels is converted.

    Raises:
        DataError: it cannot be read, or has other channels.
    """
    try:
        picture = read_picture(image.read())
    except Exception as error:  # Pillow's decoders raise a dozen kinds on damaged files
        raise DataError(f"{image.where}: {str(error) or type(error).__name__}") from error
    own = (picture.height, picture.width)
    opacity = channels in (2, 4) and picture.mode == MODES[channels]
    pixels = to_pixels(picture, size or own, channels if convert or opacity else None)
    if len(pixels) != channels:
        raise DataError(
            f"{image.where}: has {len(pixels)} channel(s), and the translator was trained on "
            f"{channels}; to convert images: --convert"
        )
    return pixels


def places_of(images: list[Input], out: Path) -> list[Path]:
    """Return where each image's translation goes: a file for one image, else a folder's PNG.

    Raises:
        ConfigError: `out` names a file of another format, or one for several images; or a
            translation would take the place of an image that is given.
    """
    if not out.suffix or out.is_dir():
        places = [out / image.name.with_suffix(".png") for image in images]
    elif len(images) > 1:
        raise ConfigError(f"--out {out}: {len(images)} images need a folder, and this names a file")
    elif out.suffix.lower() not in WRITTEN:
        raise ConfigError(
            f"--out {out}: translations are written as {', '.join(WRITTEN)}; take one of these, or "
            "a folder: a new one has no ending, or is made before"
        )
    else:
        places = [out]
    originals = {image.file.resolve() for image in images if image.file}
    for place in places:
        if place.resolve() in originals:
            raise ConfigError(
                f"--out {out}: {place} is one of the images to translate, and would be replaced; "
                "take another place"
            )
    return places


def write_picture(pixels: np.ndarray, path: Path) -> None:
    """Write an image (C, H, W), uint8 or uint16, as PNG or TIFF, as the file's name says.

    Raises:
        ConfigError: there can be no file there.
        DataError: a TIFF of 16 bits with grey and opacity is asked for.
    """
    from PIL import Image

    shown = pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0)
    kind = "TIFF" if path.suffix.lower() in TIFF else "PNG"
    deep = pixels.dtype == np.uint16 and len(pixels) > 1
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"--out {path}: cannot be written ({error.strerror})") from None
    with atomic_file(path) as temporary:
        if deep:
            (write_deep_tiff if kind == "TIFF" else write_deep_png)(pixels, temporary)
            return
        Image.fromarray(np.ascontiguousarray(shown)).save(temporary, kind)
