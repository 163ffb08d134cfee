"""Pairs of images, or two sets of them."""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Literal

import numpy as np

from egan.data.pair_config import PairBase, Size
from egan.data.source import DataError, Origin

TEST_EVERY = 8  # of the built-in sets: every so many-th pair is for test


@dataclass(frozen=True)
class Partner:
    """The targets of translation: the shape of images of B, and whether A and B are pairs."""

    shape: tuple[int, ...]
    aligned: bool


@dataclass(frozen=True, eq=False)
class PairSource:
    """Images A and B, uint8 or uint16 at rest.

    Attributes:
        name: what they are called in messages and records.
        a: (N, C, H, W), C from 1 to 4.
        b: (M, C', H, W).
        aligned: whether row n of `a` belongs to row n of `b`; else they are two sets.
        size: (height, width) of what is drawn, cut at a random place where images are larger.
        flip: whether draws mirror at random.
        held_out: every so many-th row judges children and trains nothing; 0: none.
        counterparts: whether, unaligned, row n of both belongs together all the same: to score.
        skipped: (file, reason) of what was left out on opening.

    Raises:
        DataError: images have not the form above, or are too few.
    """

    name: str
    a: np.ndarray
    b: np.ndarray
    aligned: bool
    size: Size
    flip: bool = False
    held_out: int = 0
    counterparts: bool = False
    skipped: tuple[tuple[str, str], ...] = ()

    kind: ClassVar[Literal["pairs"]] = "pairs"
    labels: ClassVar[None] = None
    classes: ClassVar[None] = None
    tags: ClassVar[None] = None
    tag_names: ClassVar[None] = None
    origin: ClassVar[Origin] = Origin()

    def __post_init__(self) -> None:
        for side, images in (("A", self.a), ("B", self.b)):
            shape, dtype = images.shape, images.dtype
            if dtype not in (np.uint8, np.uint16) or len(shape) != 4 or shape[1] not in range(1, 5):
                raise DataError(
                    f"{self.name}: images of {side} must be uint8 or uint16 (N, C, H, W) with C "
                    f"from 1 to 4, not {dtype} {shape}"
                )
        if self.a.shape[2:] != self.b.shape[2:]:
            raise DataError(
                f"{self.name}: images of A are {_by(self.a.shape[2:])}, those of B "
                f"{_by(self.b.shape[2:])}"
            )
        if self.aligned and len(self.a) != len(self.b):
            raise DataError(
                f"{self.name}: {len(self.a)} images of A, but {len(self.b)} of B; pairs need as "
                "many"
            )
        if min(len(self.a), len(self.b)) < 2:
            raise DataError(f"{self.name}: at least two images of A and of B are needed")

    @property
    def length(self) -> int:
        """The number of images of the smaller set, or of pairs."""
        return min(len(self.a), len(self.b))

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of a drawn image of A, (C, H, W)."""
        return (self.a.shape[1], *self.size)

    @property
    def target(self) -> tuple[int, ...]:
        """The shape of a drawn image of B, (C', H, W)."""
        return (self.b.shape[1], *self.size)

    @property
    def partner(self) -> Partner:
        """The targets that images of A are translated to."""
        return Partner(self.target, self.aligned)

    def judging(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the images that judge children: those held out, or all; cut from the middle."""
        (height, width), stored = self.size, self.a.shape[2:]
        top, left = (stored[0] - height) // 2, (stored[1] - width) // 2

        def judging(images: np.ndarray) -> np.ndarray:
            every = self.held_out if 0 < self.held_out <= len(images) else 1
            return images[every - 1 :: every, :, top : top + height, left : left + width]

        return judging(self.a), judging(self.b)

    @cached_property
    def fingerprint(self) -> str:
        """A hash of all images: equal fingerprints mean equal content."""
        content = hashlib.sha256(f"{self.aligned}".encode())
        for images in (self.a, self.b):
            content.update(f"{images.shape} {images.dtype}".encode())
            for start in range(0, len(images), 1024):
                content.update(np.ascontiguousarray(images[start : start + 1024]).data)
        return content.hexdigest()


def built_in(name: str, a: np.ndarray, b: np.ndarray, config: PairBase) -> PairSource:
    """Return a built-in set's part: every `TEST_EVERY`-th pair is for test.

    Two sets that are no pairs are made of different pairs, but for the test part, whose rows belong
    together, so that translations can be compared with what they should be.
    """
    rows = np.arange(len(a))
    test, training = rows % TEST_EVERY == TEST_EVERY - 1, config.split == "train"
    rows = rows[test != training]
    first = second = rows
    aligned = bool(getattr(config, "aligned", True))
    if training and not aligned:
        first, second = rows[::2], rows[1::2]
    return PairSource(
        name, a[first], b[second], aligned, config.size,
        flip=config.flip and training, held_out=config.held_out if training else 0,
        counterparts=not training and not aligned,
    )  # fmt: skip


def _by(size: tuple[int, ...]) -> str:
    return " x ".join(map(str, size))
