"""MNIST's IDX files, plain or gzipped (http://yann.lecun.com/exdb/mnist, "file formats").

A file is a big-endian magic number 0x000008dd (type 08, unsigned byte; dd dimensions), one 32-bit
size per dimension, and the bytes. Sizes are checked against the file before anything is allocated.
"""

import gzip
import io
import math
import re
import struct
import zlib
from pathlib import Path
from typing import TypeAlias

import numpy as np

from egan.data.annotations import some
from egan.data.config import IdxConfig
from egan.data.npz import ArrayError, check_expansion
from egan.data.resize import resize_images
from egan.data.source import DataError, ImageSource, Origin, check_regular, inside

# train-images-idx3-ubyte.gz, t10k-images.idx3-ubyte, emnist-letters-test-images-idx3-ubyte, ...
_IMAGES_NAME = re.compile(r"(?:.*-)?(train|t10k|test)-images[-.]idx3-ubyte(?:\.gz)?")
_GZIP_MAGIC = b"\x1f\x8b"
_Stream: TypeAlias = gzip.GzipFile | io.BufferedReader


def open_idx(config: IdxConfig) -> ImageSource:
    """Open an image file, with the labels that lie beside it if any, or a folder's split.

    EMNIST's files (told by their names) hold every image transposed; they are turned upright.

    Raises:
        DataError: no such file, not IDX, truncated, or labels that do not match the images.
    """
    path = config.path if not config.path.is_dir() else _find_images(config.path, config.split)
    images = read_idx(path, dimensions=3)
    if path.name.startswith("emnist-"):
        images = images.swapaxes(1, 2)
    labels, labels_from = _read_labels(path, len(images))
    return ImageSource(
        name=path.name,
        images=resize_images(images[:, None], config.resolution),
        labels=labels,
        flip=config.flip,
        origin=Origin(labels_from, left_out=_left_out(path) if config.path.is_dir() else ()),
    )


def is_idx(path: Path) -> bool:
    """Whether `path` is an IDX image file, or a folder with a training set of the usual name."""
    if path.is_dir():
        return any(_IMAGES_NAME.fullmatch(entry.name) for entry in path.iterdir())
    if not path.is_file():
        return False
    try:
        with _open(path) as stream:
            return stream.read(4) == bytes([0, 0, 8, 3])
    except (OSError, EOFError, zlib.error):
        return False


def read_idx(path: Path, dimensions: int) -> np.ndarray:
    """Read an IDX file of unsigned bytes; a plain file is memory-mapped.

    Raises:
        DataError: another magic number or size than an IDX file of that many dimensions has.
    """
    check_regular(path)
    try:
        size = path.stat().st_size
        with _open(path) as stream:
            shape = _read_header(stream, path, dimensions)
            header, count = stream.tell(), math.prod(shape)
            says = f"its header says {' x '.join(map(str, shape))}, {count} bytes"
            if not isinstance(stream, gzip.GzipFile):
                if size != header + count:
                    raise DataError(
                        f"{path}: {says}, but {size - header} follow; damaged or truncated"
                    )
                return np.memmap(path, np.uint8, "r", header, shape)
            check_expansion(str(path), count, size)
            content = stream.read(count)
            if len(content) != count or stream.read(1):
                excess = "fewer" if len(content) != count else "more"
                raise DataError(f"{path}: {says}, but {excess} follow; damaged or truncated")
            return np.frombuffer(content, np.uint8).reshape(shape)
    except ArrayError as error:
        raise DataError(str(error)) from error
    except (EOFError, zlib.error) as error:
        raise DataError(f"{path}: truncated or damaged .gz: {error}") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error}") from error


def _open(path: Path) -> _Stream:
    with path.open("rb") as stream:
        zipped = stream.read(2) == _GZIP_MAGIC
    return gzip.open(path, "rb") if zipped else path.open("rb")


def _read_header(stream: _Stream, path: Path, dimensions: int) -> tuple[int, ...]:
    wanted = bytes([0, 0, 8, dimensions])
    magic = stream.read(4)
    if magic != wanted:
        raise DataError(
            f"{path}: not an IDX file of {'images' if dimensions == 3 else 'labels'}: begins with "
            f"{magic.hex() or 'nothing'}, not {wanted.hex()}"
        )
    sizes = stream.read(4 * dimensions)
    if len(sizes) != 4 * dimensions:
        raise DataError(f"{path}: truncated within the header")
    shape: tuple[int, ...] = struct.unpack(f">{dimensions}I", sizes)
    if 0 in shape:
        raise DataError(f"{path}: holds nothing: its header says {' x '.join(map(str, shape))}")
    return shape


def _find_images(folder: Path, split: str) -> Path:
    parts = ("train",) if split == "train" else ("t10k", "test")
    found: dict[str, Path] = {}
    for entry in sorted(folder.iterdir()):  # the plain file comes before its .gz
        match = _IMAGES_NAME.fullmatch(entry.name)
        if match and match[1] in parts:
            found.setdefault(entry.name.removesuffix(".gz"), entry)
    if len(found) == 1:
        return inside(folder, next(iter(found.values())))
    if found:
        raise DataError(
            f"{folder}: several sets of images ({', '.join(found)}); set data.path to one of them"
        )
    others = sorted(e.name for e in folder.iterdir() if _IMAGES_NAME.fullmatch(e.name))
    hint = (
        f"; there is {some(others)}: name it as the path, or choose its part, by data.split in a "
        "config or --split of the command prepare"
    )
    raise DataError(
        f"{folder}: no {parts[0]}-images-idx3-ubyte[.gz] in this folder{hint if others else ''}"
    )


def _left_out(images: Path) -> tuple[tuple[str, int], ...]:
    """Return the files of images that lie beside the one that is read."""
    there = {entry.name for entry in images.parent.iterdir() if _IMAGES_NAME.fullmatch(entry.name)}
    others = sorted(there - {images.name, f"{images.name}.gz"})
    return ((f"other files of images ({', '.join(others)})", len(others)),) if others else ()


def _read_labels(images: Path, count: int) -> tuple[np.ndarray | None, str]:
    """Read the labels that lie beside an image file under the usual name, and say where from."""
    name = images.name.removesuffix(".gz").replace("images", "labels").replace("idx3", "idx1")
    for path in (images.with_name(name), images.with_name(name + ".gz")):
        if path != images and path.is_file():
            labels = read_idx(path, dimensions=1)
            if len(labels) != count:
                raise DataError(
                    f"{path}: {len(labels)} labels for the {count} images of {images.name}"
                )
            return labels.astype(np.int64), path.name
    beside = "" if name == images.name else f"there is no {name}[.gz] beside {images.name}"
    return None, beside
