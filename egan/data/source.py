"""An opened set of real images, and the error every reader raises."""

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np

_REASONS = 5  # why files are bad, that are told apart


class DataError(ValueError):
    """Data that cannot be used; the message names the file, what is wrong and what to change."""


def check_regular(path: Path) -> None:
    """Refuse what is no file: a pipe would be waited for, a device read without end.

    Raises:
        DataError: nothing there, or no regular file.
    """
    if not path.is_file():
        reason = "not a regular file" if path.exists() else "no such file"
        raise DataError(f"{path}: cannot be read: {reason}")


def inside(folder: Path, file: Path) -> Path:
    """Return a file of a data folder if it lies in it.

    Raises:
        DataError: it is a symbolic link to somewhere else.
    """
    if not file.resolve().is_relative_to(folder.resolve()):
        raise DataError(
            f"{file}: a symbolic link out of {folder}; a data folder must hold its files: copy "
            "what the link leads to"
        )
    return file


@dataclass(frozen=True)
class Origin:
    """Where a set came from, for the report of what was read.

    Attributes:
        labels: where its labels came from; where there are none, why.
        tags: where its tags came from.
        left_out: (what, how many) of all that was there and not read.
        notes: what else to know.
    """

    labels: str = ""
    tags: str = ""
    left_out: tuple[tuple[str, int], ...] = ()
    notes: tuple[str, ...] = ()


def by_reason(skipped: Iterable[tuple[str, str]]) -> tuple[tuple[str, int], ...]:
    """Count bad files, each with what is wrong with it, by that."""
    counts = Counter(reason for _, reason in skipped).most_common()
    shown = [(f"bad: {reason}", count) for reason, count in counts[:_REASONS]]
    others = sum(count for _, count in counts[_REASONS:])
    return (*shown, *([("bad for other reasons", others)] if others else []))


@dataclass(frozen=True, eq=False)
class ImageSource:
    """A finite set of images, uint8 at rest.

    Attributes:
        name: what the set is called in messages and records.
        images: (N, C, H, W) uint8, C 1 or 3; possibly a read-only memory map.
        labels: (N,) int64, non-negative, or None.
        classes: the classes' names, indexed by label, or None.
        tags: (N, T) float32, finite, or None.
        tag_names: what each of the T numbers is, or None.
        origin: where labels and tags came from, and what was left out.
        layers: labelled grey images that the channels were drawn from, or None.
        flip: whether draws mirror images at random.
        skipped: (file, reason) of what was left out on opening.
        digest: the content's hash where it is known already; see `fingerprint`.

    Raises:
        DataError: the images or labels have not the form above.
    """

    name: str
    images: np.ndarray
    labels: np.ndarray | None = None
    classes: tuple[str, ...] | None = None
    flip: bool = False
    skipped: tuple[tuple[str, str], ...] = ()
    digest: str | None = None
    tags: np.ndarray | None = None
    tag_names: tuple[str, ...] | None = None
    origin: Origin = Origin()
    layers: "ImageSource | None" = None

    kind: ClassVar[Literal["images"]] = "images"

    def __post_init__(self) -> None:
        shape, dtype = self.images.shape, self.images.dtype
        if dtype != np.uint8 or len(shape) != 4 or shape[1] not in (1, 3) or 0 in shape:
            raise DataError(
                f"{self.name}: images must be uint8 (N, C, H, W) with C 1 or 3 and none of them 0, "
                f"not {dtype} {shape}"
            )
        self._check_labels()
        self._check_tags()

    def _check_labels(self) -> None:
        if self.labels is None:
            return
        shape = self.images.shape
        if self.labels.dtype != np.int64 or self.labels.shape != shape[:1]:
            raise DataError(
                f"{self.name}: labels must be int64 ({shape[0]},), one for each image, "
                f"not {self.labels.dtype} {self.labels.shape}"
            )
        low, high = int(self.labels.min()), int(self.labels.max())
        if low < 0:
            raise DataError(f"{self.name}: labels must not be negative, found {low}")
        if self.classes is not None and high >= len(self.classes):
            raise DataError(f"{self.name}: label {high}, but only {len(self.classes)} classes")

    def _check_tags(self) -> None:
        if self.tags is None:
            return
        names, wanted = self.tag_names or (), (len(self.images), len(self.tag_names or ()))
        if self.tags.dtype != np.float32 or self.tags.shape != wanted or not names:
            raise DataError(
                f"{self.name}: tags must be float32 {wanted}, a row for each image and a number "
                f"for each tag, not {self.tags.dtype} {self.tags.shape}"
            )
        if len(set(names)) < len(names):
            raise DataError(f"{self.name}: two tags have one name: {', '.join(names)}")
        if not np.isfinite(self.tags).all():
            row = int(np.argmin(np.isfinite(self.tags).all(1)))
            raise DataError(f"{self.name}: image {row} has a tag that is no finite number")

    def __len__(self) -> int:
        return len(self.images)

    @property
    def length(self) -> int:
        """The number of images."""
        return len(self.images)

    @property
    def shape(self) -> tuple[int, ...]:
        """One image's shape, (C, H, W)."""
        return tuple(self.images.shape[1:])

    @cached_property
    def fingerprint(self) -> str:
        """A hash of images and labels: equal fingerprints mean equal content.

        Tags are not part of it, unless the set is packed: see `egan.data.condition.card_of`. Read
        from the manifest for a packed set, else computed on first use.
        """
        if self.digest is not None:
            return self.digest
        content = hashlib.sha256(str(self.images.shape).encode())
        for start in range(0, len(self), 1024):
            content.update(np.ascontiguousarray(self.images[start : start + 1024]).data)
        if self.labels is not None:
            content.update(self.labels.astype("<i8").tobytes())
        return content.hexdigest()
