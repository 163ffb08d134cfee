"""Avatars drawn by DiceBear, as many as wanted, with a part or a colour of each as its label.

The packages dicebear-core, dicebear-styles and resvg-py draw them (`pip install -e '.[avatars]'`),
from styles under CC0 1.0 alone. They are drawn once, two or three milliseconds each, and kept in
the cache.
"""

import io
import json
import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from egan.cache import keep, recall
from egan.data.config import AvatarsConfig
from egan.data.npz import ArrayError, read_arrays
from egan.data.source import DataError, ImageSource, Origin

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
INTERVAL = 5.0  # seconds between lines on how far the drawing is
NONE = "none"  # the class of avatars without a part


@dataclass(frozen=True)
class Drawn:
    """Avatars, and what each of their parts and colours is.

    Attributes:
        images: uint8 (N, 3, R, R).
        attributes: by name, such as `eyesVariant` or `hairColor`, each avatar's class (N,) and the
            classes' names; an avatar without the part is of class `none`.
    """

    images: np.ndarray
    attributes: dict[str, tuple[np.ndarray, tuple[str, ...]]]


def open_avatars(config: AvatarsConfig) -> ImageSource:
    """Return the avatars of seeds 0, 1, ..., (N, 3, R, R), from the cache where they are there.

    Raises:
        DataError: as `recalled` and `labelled`.
    """
    return labelled(recalled(config), config)


def recalled(config: AvatarsConfig) -> Drawn:
    """Return the drawings of a config, whatever labels them, from the cache or drawn now.

    Raises:
        DataError: the packages are not installed, or the style is not in the public domain.
    """
    name = f"{cached_name(config)}.npz"
    drawn = recall(name, _read)
    if drawn is None:
        drawn = draw_avatars(config.style, config.count, config.resolution)
        keep(name, partial(_write, drawn=drawn))
    return drawn


def labelled(drawn: Drawn, config: AvatarsConfig) -> ImageSource:
    """Return the drawings with the config's label.

    Raises:
        DataError: the style has no such attribute.
    """
    label = config.label or LABELS[config.style]
    if label not in drawn.attributes:
        raise DataError(
            f"data.label: no {config.style} avatar has {label!r}; take one of "
            f"{', '.join(sorted(drawn.attributes))}"
        )
    labels, classes = drawn.attributes[label]
    tags, tag_names = _tags(drawn)
    return ImageSource(
        name=f"avatars ({config.style})",
        images=drawn.images,
        labels=labels.astype(np.int64),
        classes=classes,
        tags=tags,
        tag_names=tag_names,
        flip=config.flip,
        origin=Origin(f"the avatars' {label}", "the avatars' parts and colours"),
    )


def _tags(drawn: Drawn) -> tuple[np.ndarray, tuple[str, ...]] | tuple[None, None]:
    """Return each avatar's parts and colours as tags, such as `eyesVariant=round`, multi-hot.

    What all avatars have is no tag, and neither is a part that is not there.
    """
    columns = {
        f"{name}={kind}": labels == place
        for name, (labels, classes) in sorted(drawn.attributes.items())
        for place, kind in enumerate(classes)
        if len(classes) > 1 and kind != NONE
    }
    if not columns:
        return None, None
    return np.stack(list(columns.values()), axis=1).astype(np.float32), tuple(columns)


def draw_avatars(style: str, count: int, resolution: int) -> Drawn:
    """Draw the avatars of seeds 0 to `count`.

    Raises:
        DataError: the style is not in the public domain.
    """
    images = np.empty((count, 3, resolution, resolution), np.uint8)
    chosen: list[dict[str, object]] = []
    for index, avatar in enumerate(avatars_of(style, count, resolution)):
        images[index] = pixels(avatar.to_string()).transpose(2, 0, 1)
        chosen.append(avatar.to_json()["options"])
    return Drawn(images, _attributes(chosen))


def avatars_of(style: str, count: int, resolution: int) -> Iterator[Any]:
    """Yield DiceBear's avatars of seeds 0 to `count`, not drawn yet; log how far that is.

    Raises:
        DataError: the style is not in the public domain.
    """
    dicebear = import_module("dicebear")  # without types
    text = files("dicebear_styles").joinpath(f"{style}.json").read_text(encoding="utf-8")
    definition = json.loads(text)
    if (licence := definition["meta"]["license"]["name"]) != LICENCE:
        raise DataError(f"data.style: {style} is under {licence}; only {LICENCE} is drawn")
    options: dict[str, object] = {"size": resolution}
    if "background" not in definition["colors"]:
        options["backgroundColor"] = list(BACKGROUNDS)
    pen, said = dicebear.Style(definition), time.monotonic()
    for seed in range(count):
        if time.monotonic() - said >= INTERVAL:
            said = time.monotonic()
            log = logging.getLogger(__name__)  # warnings are shown without any set-up
            log.warning("drawing avatars (%s), once: %d of %d", style, seed, count)
        yield dicebear.Avatar(pen, options | {"seed": str(seed)})


def pixels(svg: str) -> np.ndarray:
    """Return the drawing of an SVG, uint8 (R, R, 3)."""
    from PIL import Image

    png = import_module("resvg_py").svg_to_bytes(svg_string=svg, skip_system_fonts=True)
    with Image.open(io.BytesIO(bytes(png))) as picture:
        return np.asarray(picture.convert("RGB"))


def _attributes(
    chosen: list[dict[str, object]],
) -> dict[str, tuple[np.ndarray, tuple[str, ...]]]:
    """Return the attributes, see `Drawn`, of avatars' options; those that no avatar has are out."""
    names = sorted({name for own in chosen for name in own if name.endswith(("Variant", "Color"))})
    found = {name: _classes([_value(own, name) for own in chosen]) for name in names}
    return {
        name: (labels, classes) for name, (labels, classes) in found.items() if classes != (NONE,)
    }


def _value(options: dict[str, object], name: str) -> str:
    value = options.get(name)
    return NONE if value in (None, []) else str(value[0] if isinstance(value, list) else value)


def _classes(values: list[str]) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return the class (N,) of each value, and the classes' names in order."""
    classes, labels = np.unique(values, return_inverse=True)
    return labels.astype(np.uint16), tuple(map(str, classes))


def cached_name(config: AvatarsConfig) -> str:
    """Return the name in the cache of what is drawn for a config, without a suffix.

    Raises:
        DataError: the packages are not installed.
    """
    versions = "-".join([*map(_version, PACKAGES), config.style, str(config.resolution)])
    return f"avatars/{versions}-{config.count}"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        raise DataError(
            f"data.source: avatars are drawn by packages of which {package} is not installed; "
            f"install them: pip install {' '.join(PACKAGES)}"
        ) from None


def _read(path: Path) -> Drawn:
    """Return what `_write` wrote.

    Raises:
        ValueError: the file is damaged.
    """
    stored = read_arrays(path)
    try:
        names = [str(name) for name in stored["names"]]
        return Drawn(
            stored["images"],
            {
                name: (stored[f"labels {name}"], tuple(map(str, stored[f"classes {name}"])))
                for name in names
            },
        )
    except (KeyError, TypeError) as error:
        raise ArrayError(f"{path}: holds no avatars: {error}") from None


def _write(path: Path, drawn: Drawn) -> None:
    arrays = {"images": drawn.images, "names": np.array(list(drawn.attributes))}
    for name, (labels, classes) in drawn.attributes.items():
        arrays |= {f"labels {name}": labels, f"classes {name}": np.array(classes)}
    np.savez_compressed(path, **arrays)  # type: ignore[arg-type]
