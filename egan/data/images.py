"""A folder tree or .zip of image files, decoded in the order of their names.

`egan.data.layout` says which files are the set's and what their labels and tags are,
`egan.data.decoding` how a file becomes pixels. A set is the same on every machine.
"""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import TypeVar
from zipfile import is_zipfile

import numpy as np

from egan.data.annotations import Annotations
from egan.data.config import ImagesConfig
from egan.data.decoding import Decoded, decode_image
from egan.data.layout import image_names, read_layout
from egan.data.source import DataError, ImageSource, Origin, by_reason
from egan.data.trees import Tree, open_tree

DARK_BITS = 14  # 16-bit images that use no more than these are asked about: cameras have 10 to 14

_T = TypeVar("_T")
_R = TypeVar("_R")


def open_images(config: ImagesConfig) -> ImageSource:
    """Decode all images into memory; `prepare` packs a set that is larger than memory.

    Raises:
        DataError: no images; or, unless `config.skip_bad`, a file that cannot be used.
    """
    files = list_images(config)
    images = np.empty(0, np.uint8)
    kept: list[int] = []
    for position, image in files.decode():
        if not kept:
            images = np.empty((len(files.names), *image.shape), np.uint8)
        images[len(kept)] = image
        kept.append(position)
    about = files.about[kept]
    return ImageSource(
        name=files.name,
        images=images[: len(kept)],
        labels=about.labels,
        classes=about.classes,
        tags=about.tags,
        tag_names=about.tag_names,
        flip=config.flip,
        skipped=tuple(files.skipped),
        origin=files.origin,
    )


def is_image_tree(path: Path) -> bool:
    """Whether `path` is a folder tree or .zip with at least one image, by the files' names."""
    if not path.is_dir() and path.suffix.lower() != ".zip" and not is_zipfile(path):
        return False
    return bool(image_names(open_tree(path)))


def list_images(config: ImagesConfig) -> "ImageFiles":
    """Find the images, their labels and tags; nothing is decoded yet.

    Raises:
        DataError: no such folder or .zip, no images in it, or what is there contradicts itself.
    """
    tree = open_tree(config.path)
    layout = read_layout(tree, config)
    return ImageFiles(config, tree, layout.names, layout.about, layout.left_out)


@dataclass
class ImageFiles:
    """The images of a folder or .zip, before decoding.

    Attributes:
        names: paths inside the folder or .zip, sorted.
        about: the labels and tags, a row for each name.
        left_out: (what, how many) of the files that are not among the names.
        skipped: (file, reason) of every bad file met by `decode` so far.
    """

    config: ImagesConfig
    tree: Tree
    names: list[str]
    about: Annotations
    left_out: tuple[tuple[str, int], ...] = ()
    skipped: list[tuple[str, str]] = field(default_factory=list)
    _enlarged: list[int] = field(default_factory=list)  # sides
    _animated: int = 0
    _brightest: list[int] = field(default_factory=list)  # of 16-bit images
    _first: dict[bytes, int] = field(default_factory=dict)  # where an image with these pixels came
    _contrary: list[tuple[int, int]] = field(default_factory=list)  # equal images of two classes

    @property
    def name(self) -> str:
        """The folder's or archive's name."""
        return self.config.path.name

    @property
    def origin(self) -> Origin:
        """Where the set came from, once it is decoded."""
        side = self.config.resolution
        notes = []
        if self._enlarged:
            notes.append(
                f"{len(self._enlarged)} images are smaller than {side} x {side} and were enlarged, "
                f"the smallest from {min(self._enlarged)} x {min(self._enlarged)}"
            )
        if self._contrary:
            first, second = (self.names[place] for place in self._contrary[0])
            notes.append(
                f"{len(self._contrary)} images are equal to one of another class, such as {second} "
                f"to {first}"
            )
        if self._animated:
            notes.append(f"{self._animated} files hold several frames, and the first was read")
        left_out = self.left_out + by_reason(self.skipped)
        return Origin(self.about.labels_from, self.about.tags_from, left_out, tuple(notes))

    def decode(self) -> Iterator[tuple[int, np.ndarray]]:
        """Yield (position in names, uint8 (C, R, R)) of every good image, in order.

        Raises:
            DataError: a bad file, unless `skip_bad`; nothing but bad files; or at the end, 16-bit
                images that are all dark.
        """
        channels: int | None = self.config.channels
        good = 0
        for position, outcome in enumerate(map_in_order(self._try_decode, self.names)):
            if isinstance(outcome, Decoded):
                image = outcome.pixels
                channels = channels or len(image)
                if len(image) == channels:
                    good += 1
                    self._note(position, outcome)
                    yield position, image
                    continue
                outcome = other_channels(len(image), channels)
            if not self.config.skip_bad:
                raise DataError(f"{self.config.path}, {self.names[position]}: {outcome}")
            self.skipped.append((self.names[position], outcome))
        if not good:
            raise DataError(
                f"{self.config.path}: none of {len(self.names)} images can be used; the first, "
                f"{self.skipped[0][0]}: {self.skipped[0][1]}"
            )
        self._check_brightness()

    def _try_decode(self, name: str) -> Decoded | str:
        """Return the image, or what is wrong with it."""
        try:
            content = self.tree.read(name)
            config = self.config
            return decode_image(content, config.resolution, config.channels, config.bits)
        except OSError as error:
            return error.strerror or str(error) or type(error).__name__
        except Exception as error:  # Pillow's decoders raise a dozen kinds on damaged files
            return str(error) or type(error).__name__

    def _note(self, position: int, image: Decoded) -> None:
        if (labels := self.about.labels) is not None:
            digest = blake2b(image.pixels.tobytes(), digest_size=16).digest()
            first = self._first.setdefault(digest, position)
            if labels[first] != labels[position]:
                self._contrary.append((first, position))
        if image.side < self.config.resolution:
            self._enlarged.append(image.side)
        if image.brightest is not None:
            self._brightest.append(image.brightest)
        self._animated += image.frames > 1

    def _check_brightness(self) -> None:
        """Refuse to guess what is white where all 16-bit images are dark."""
        bits = max(self._brightest, default=0).bit_length()
        if self.config.bits is None and 0 < bits <= DARK_BITS:
            raise DataError(
                f"{self.config.path}: {len(self._brightest)} images have 16 bits, but no value "
                f"above {max(self._brightest)}, so that they would be dark; say how many bits they "
                f"use, such as {max(bits, 8)}, or 16: data.bits in a config, --bits of the command "
                "prepare"
            )


def other_channels(found: int, before: int) -> str:
    """Return what is wrong with an image of other channels than those before it."""
    return (
        f"has {found} channels where the images before it have {before}; to convert all: "
        "data.channels in a config, --channels of the command prepare"
    )


def map_in_order(function: Callable[[_T], _R], items: Iterable[_T]) -> Iterator[_R]:
    """Map on a few threads, results in order, a bounded number of them ahead of the reader."""
    workers = min(8, os.cpu_count() or 1)
    pending: deque[Future[_R]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        for item in items:
            pending.append(pool.submit(function, item))
            if len(pending) > 4 * workers:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
