"""Avatars drawn by DiceBear, as many as wanted, with a part or a colour of each as its label.

The packages dicebear-core, dicebear-styles and resvg-py draw them (`pip install
evolutionary-gan[avatars]`), from styles under CC0 1.0 alone. They are drawn once, two or three
milliseconds each, and kept in the cache.
"""

import io
import json
from functools import partial
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from pathlib import Path

import numpy as np

from egan.cache import keep, recall
from egan.data.config import AvatarsConfig
from egan.data.npz import ArrayError, read_arrays
from egan.data.source import DataError, ImageSource

PACKAGES = ("dicebear-core", "dicebear-styles", "resvg-py")
LICENCE = "CC0 1.0"
# The documentation's own colours, for styles that have no background.
BACKGROUNDS = ("b6e3f4", "c0aede", "d1d4f9", "ffd5dc", "ffdfbf")
LABELS = {
    "critters": "bodyVariant",
    "landscape": "orbVariant",
    "pixel-art": "hairColor",
    "planets": "surfaceVariant",
}
NONE = "none"  # the class of avatars without the labelled part


def open_avatars(config: AvatarsConfig) -> ImageSource:
    """Return the avatars of seeds 0, 1, ..., (N, 3, R, R), from the cache where they are there.

    Raises:
        DataError: the packages are not installed, the style has no such attribute to label by, or
            it is not in the public domain.
    """
    label = config.label or LABELS[config.style]
    drawn = "-".join([*map(_version, PACKAGES), config.style, str(config.resolution)])
    name = f"avatars/{drawn}-{config.count}-{label}.npz"
    found = recall(name, _read)
    if found is None:
        found = draw_avatars(config.style, config.count, config.resolution, label)
        keep(name, partial(_write, images=found[0], labels=found[1], classes=found[2]))
    images, labels, classes = found
    return ImageSource(f"avatars ({config.style})", images, labels, classes, config.flip)


def draw_avatars(
    style: str, count: int, resolution: int, label: str
) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Return images uint8 (N, 3, R, R), labels int64 (N,) and the classes' names.

    Raises:
        DataError: as for `open_avatars`.
    """
    from PIL import Image

    dicebear, resvg = import_module("dicebear"), import_module("resvg_py")  # without types

    text = files("dicebear_styles").joinpath(f"{style}.json").read_text(encoding="utf-8")
    definition = json.loads(text)
    if (licence := definition["meta"]["license"]["name"]) != LICENCE:
        raise DataError(f"data.style: {style} is under {licence}; only {LICENCE} is drawn")
    options: dict[str, object] = {"size": resolution}
    if "background" not in definition["colors"]:
        options["backgroundColor"] = list(BACKGROUNDS)
    pen = dicebear.Style(definition)
    images = np.empty((count, 3, resolution, resolution), np.uint8)
    names = []
    for index in range(count):
        avatar = dicebear.Avatar(pen, options | {"seed": str(index)})
        png = resvg.svg_to_bytes(svg_string=avatar.to_string(), skip_system_fonts=True)
        with Image.open(io.BytesIO(bytes(png))) as picture:
            images[index] = np.asarray(picture.convert("RGB")).transpose(2, 0, 1)
        names.append(_attribute(avatar.to_json()["options"], label))
    classes = tuple(sorted(set(names)))
    if classes == (NONE,):
        parts = sorted(definition["components"] | definition["colors"])
        raise DataError(
            f"data.label: no {style} avatar has {label!r}; take one of these parts with Variant or "
            f"Color after it: {', '.join(parts)}"
        )
    labels = np.array([classes.index(name) for name in names], np.int64)
    return images, labels, classes


def _attribute(options: dict[str, object], label: str) -> str:
    value = options.get(label)
    return NONE if value in (None, []) else str(value[0] if isinstance(value, list) else value)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        raise DataError(
            f"data.source: avatars are drawn by {', '.join(PACKAGES)}, and {package} is not "
            "installed; pip install evolutionary-gan[avatars]"
        ) from None


def _read(path: Path) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Return what `_write` wrote.

    Raises:
        ValueError: the file is damaged.
    """
    stored = read_arrays(path)
    try:
        return stored["images"], stored["labels"], tuple(map(str, stored["classes"]))
    except (KeyError, TypeError) as error:
        raise ArrayError(f"{path} holds no avatars: {error}") from None


def _write(path: Path, images: np.ndarray, labels: np.ndarray, classes: tuple[str, ...]) -> None:
    np.savez_compressed(path, images=images, labels=labels, classes=np.array(classes))
