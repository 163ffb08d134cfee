"""The binary version of CIFAR-10 and CIFAR-100 (https://www.cs.toronto.edu/~kriz/cifar.html).

A record is one label byte (CIFAR-100: coarse, then fine) and 3,072 pixels, channel by channel.
"""

from pathlib import Path
from typing import Literal

import numpy as np

from egan.data.config import CifarConfig
from egan.data.resize import resize_images
from egan.data.source import DataError, ImageSource, Origin, inside

_PIXELS = 3 * 32 * 32
_FILES = {
    (10, "train"): tuple(f"data_batch_{batch}.bin" for batch in range(1, 6)),
    (10, "test"): ("test_batch.bin",),
    (100, "train"): ("train.bin",),
    (100, "test"): ("test.bin",),
}
_NAMES = {10: "batches.meta.txt", 100: "fine_label_names.txt"}
_FOLDERS = {10: "cifar-10-batches-bin", 100: "cifar-100-binary"}


def open_cifar(config: CifarConfig) -> ImageSource:
    """Open a split of the folder, or one .bin file; labels are the fine ones.

    The folder may also be the one that holds the unpacked cifar-10-batches-bin.

    Raises:
        DataError: a file is missing, truncated, or holds labels outside the classes.
    """
    path = config.path
    if path.is_dir():
        folder = _inner(path, config.classes)
        files = [inside(path, folder / name) for name in _FILES[config.classes, config.split]]
    else:
        folder, files = path.parent, [path]
    parts = [_read(file, config.classes) for file in files]
    images = np.concatenate([part[0] for part in parts]) if len(parts) > 1 else parts[0][0]
    return ImageSource(
        name=f"cifar{config.classes}-{config.split}" if path.is_dir() else path.name,
        images=resize_images(images, config.resolution),
        labels=np.concatenate([part[1] for part in parts]),
        classes=_class_names(folder / _NAMES[config.classes], config.classes),
        flip=config.flip,
        origin=Origin("the records", left_out=_left_out(folder, files)),
    )


def is_cifar(path: Path) -> Literal[10, 100] | None:
    """Return 10 or 100 for a folder or file that holds that set by name, else None."""
    for classes in (10, 100):
        names = [name for (of, _), files in _FILES.items() if of == classes for name in files]
        folder = _inner(path, classes)
        if path.name in names or any((folder / name).is_file() for name in names):
            return 10 if classes == 10 else 100
    return None


def _left_out(folder: Path, files: list[Path]) -> tuple[tuple[str, int], ...]:
    """Return the files of this kind that are there and not read."""
    names = {name for names in _FILES.values() for name in names} - {file.name for file in files}
    there = sorted(name for name in names if (folder / name).is_file())
    return ((f"other files of images ({', '.join(there)})", len(there)),) if there else ()


def _inner(folder: Path, classes: int) -> Path:
    inner = folder / _FOLDERS[classes]
    return inner if inner.is_dir() else folder


def _read(path: Path, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Map one file; return its images (N, 3, 32, 32) uint8 and labels (N,) int64."""
    if not path.is_file():
        hint = ""
        if path.with_suffix("").is_file():
            hint = "; its Python version is pickle, which is never read: get the binary version"
        raise DataError(f"{path}: no such file{hint}")
    label_bytes = 1 if classes == 10 else 2
    record = label_bytes + _PIXELS
    try:
        size = path.stat().st_size
        if size == 0 or size % record:
            raise DataError(
                f"{path}: {size} bytes are not a whole number of CIFAR-{classes}'s {record}-byte "
                "records; it is truncated, or data.classes is wrong"
            )
        records = np.memmap(path, np.uint8, "r").reshape(-1, record)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error}") from error
    labels = records[:, label_bytes - 1].astype(np.int64)
    if labels.max() >= classes:
        first = int(np.argmax(labels >= classes))
        raise DataError(
            f"{path}: record {first} has label {labels[first]}, but CIFAR-{classes} has {classes} "
            "classes; the file is damaged, or data.classes is wrong"
        )
    return records[:, label_bytes:].reshape(-1, 3, 32, 32), labels


def _class_names(path: Path, classes: int) -> tuple[str, ...] | None:
    if not path.is_file():
        return None
    names = tuple(path.read_text(encoding="utf-8", errors="replace").split())
    if len(names) != classes:
        raise DataError(
            f"{path}: names {len(names)} classes, and CIFAR-{classes} has {classes}; put the "
            "original file there, or remove it"
        )
    return names
