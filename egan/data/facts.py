"""Facts of a set of images that a config is chosen by: how many there are, and how large.

Of image files only the headers are read, so that a mistake is told of before anything slow.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Literal

from egan.data.config import DataConfig, ImagesConfig
from egan.data.decoding import measure
from egan.data.images import list_images, map_in_order, other_channels
from egan.data.layout import image_names
from egan.data.opening import open_source
from egan.data.pair_config import PairsConfig
from egan.data.pair_files import paired_images
from egan.data.report import KINDS
from egan.data.source import DataError, ImageSource
from egan.data.trees import Tree, open_tree

Kind = Literal["images", "pairs", "sets"]


@dataclass(frozen=True)
class Facts:
    """Attributes:
    config: opens the data.
    count: how many images there are; of pairs, how many there are of A.
    channels: of an image; of pairs, of A.
    sides: how many images have which side of their centre square, in pixels.
    smallest: the size of the image with the shortest side, and its file if it has one.
    oblong: how many images are no squares.
    classes: how many classes the labels have; 0: there are no labels.
    """

    config: DataConfig
    count: int
    channels: int
    sides: Mapping[int, int]
    smallest: str = ""
    oblong: int = 0
    classes: int = 0

    @property
    def side(self) -> int:
        """The shortest side of all images."""
        return min(self.sides)

    @property
    def told(self) -> str:
        """A line about the data."""
        most = max(self.sides)
        sizes = f"{most} x {most}" if len(self.sides) == 1 and not self.oblong else self.smallest
        if len(self.sides) > 1 or self.oblong:
            sizes = f"the smallest {sizes}"
        kind = KINDS.get(self.channels, f"{self.channels} channels")
        return f"{self.count:,} images, {kind}, {sizes}"


def facts_of(config: DataConfig) -> Facts:
    """Return the facts of the data that a config opens.

    Raises:
        DataError: as opening them does, but no pixel of an image file is looked at.
    """
    match config:
        case ImagesConfig():
            files = list_images(config)
            labels = files.about.labels
            classes = 0 if labels is None else len(set(labels.tolist()))
            found = _Measured(files.tree, config.skip_bad, config.channels)
            found.add(files.names)
            return found.facts(config, classes=classes)
        case PairsConfig():
            tree = open_tree(config.path)
            a, b = paired_images(tree, config)
            found = _Measured(tree, config.skip_bad, config.channels)
            found.add(a)
            count, channels = found.count, found.channels
            found.channels = config.target_channels
            found.add(b)
            return found.facts(config, count=count, channels=channels)
    source = open_source(config)
    if not isinstance(source, ImageSource):
        raise DataError(f"data.source {config.source}: these are no images from files")
    channels, height, width = source.shape
    classes = 0 if source.labels is None else len(set(source.labels.tolist()))
    return Facts(
        config,
        len(source),
        channels,
        {min(height, width): len(source)},
        f"{width} x {height}",
        len(source) if height != width else 0,
        classes,
    )


@dataclass
class _Measured:
    """Counts the sizes of a tree's images; `channels` are wanted of all, or those of the first."""

    tree: Tree
    skip_bad: bool
    channels: int | None
    count: int = 0
    sides: Counter[int] = field(default_factory=Counter)
    oblong: int = 0
    smallest: tuple[int, str] | None = None

    def add(self, names: list[str]) -> None:
        """Measure these images.

        Raises:
            DataError: one that cannot be used, unless bad ones are skipped; or nothing but these.
        """
        fixed = self.channels
        for name, found in zip(names, map_in_order(self._try, names), strict=True):
            if isinstance(found, tuple):
                width, height, channels = found
                self.channels = self.channels or channels
                if fixed or channels == self.channels:
                    self._take(name, width, height)
                    continue
                found = other_channels(channels, self.channels)
            if not self.skip_bad:
                raise DataError(f"{self.tree.path}, {name}: {found}")
        if not self.count:
            raise DataError(f"{self.tree.path}: none of {len(names)} images can be used")

    def facts(self, config: DataConfig, **others: object) -> Facts:
        """Return what was found."""
        assert self.smallest is not None and self.channels is not None
        known = {"count": self.count, "channels": self.channels, **others}
        return Facts(
            config,
            sides=dict(self.sides),
            smallest=self.smallest[1],
            oblong=self.oblong,
            **known,  # type: ignore[arg-type]
        )

    def _take(self, name: str, width: int, height: int) -> None:
        side = min(width, height)
        self.count += 1
        self.sides[side] += 1
        self.oblong += width != height
        if self.smallest is None or side < self.smallest[0]:
            self.smallest = side, f"{width} x {height} ({name})"

    def _try(self, name: str) -> tuple[int, int, int] | str:
        """Return the size and channels of an image, or what is wrong with it."""
        try:
            return measure(self.tree.read(name))
        except Exception as error:  # Pillow raises a dozen kinds on damaged files
            return str(error) or type(error).__name__


def pair_kind(config: ImagesConfig) -> Kind:
    """Return whether a tree of images is laid out as pairs or two sets, by its folders' names.

    Raises:
        DataError: folders A and B hold images of equal names, but not as pairs are read.
    """
    names = image_names(open_tree(config.path))
    folders = {PurePosixPath(name).parent.as_posix() for name in names}
    ends = {"/".join(folder.split("/")[-2:]) for folder in folders}
    if {"A/train", "B/train"} <= ends:
        return "pairs"
    if {"trainA", "trainB"} <= {folder.rpartition("/")[2] for folder in folders}:
        return "sets"
    if folders == {"A", "B"}:
        a, b = ({PurePosixPath(n).stem for n in names if n.startswith(f"{x}/")} for x in "AB")
        if a == b:
            raise DataError(
                f"{config.path}: A/ and B/ hold images of equal names. If they are pairs, move "
                "them into A/train/ and B/train/; if they are classes, set data.labels=folders"
            )
    return "images"
