"""Pairs of images on disk, in the layouts that users of pix2pix and CycleGAN have.

`ROOT/train/*` with A (left) and B side by side in one image; `ROOT/A/train` and `ROOT/B/train` with
equal names; `ROOT/trainA` and `ROOT/trainB`, two sets that are no pairs; a .zip of any of these;
two packed folders or arrays. A test part has `test` in place of `train`. Each image is brought to
`data.resolution` as a whole, whatever its proportions, as the published code does.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, TypeAlias, TypeVar

import numpy as np

from egan.data.array import open_array
from egan.data.config import ArrayConfig, PackedConfig
from egan.data.decoding import flattened, open_picture
from egan.data.deep import DeepPicture, read_deep
from egan.data.images import map_in_order
from egan.data.layout import image_names
from egan.data.packed import is_packed, open_packed
from egan.data.pair_config import PairsConfig, Size
from egan.data.pairs import PairSource
from egan.data.source import DataError
from egan.data.trees import Tree, open_tree

if TYPE_CHECKING:
    from PIL.Image import Image

MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
Item = TypeVar("Item")
LAYOUTS = (
    "ROOT/train/* with A and B side by side in each image, ROOT/A/train and ROOT/B/train with "
    "equal names, or ROOT/trainA and ROOT/trainB"
)
Picture: TypeAlias = "Image | DeepPicture"


def open_pairs(config: PairsConfig) -> PairSource:
    """Read the pairs, or the two sets, that a config names.

    Raises:
        DataError: nothing in one of the layouts is there; or, unless `config.skip_bad`, an image
            without its partner, a pair of two sizes, or a file that cannot be read.
    """
    if config.target is not None:
        return _packed_apart(config, config.target)
    tree = open_tree(config.path)
    found = _find(tree, config)
    if found.halves:
        a, b, skipped = _read_pairs(tree, found, config)
    else:
        (a, bad_a), (b, bad_b) = (
            _read_set(tree, names, channels, config)
            for names, channels in (
                (found.a, config.channels),
                (found.b, config.target_channels),
            )
        )
        skipped = bad_a + bad_b
    training = config.split == "train"
    return PairSource(
        config.path.name, a, b, bool(found.halves), config.size, config.flip and training,
        config.held_out if training else 0, skipped=(*found.skipped, *skipped),
    )  # fmt: skip


def paired_images(tree: Tree, config: PairsConfig) -> tuple[list[str], list[str]]:
    """Return the files of A and of B; nothing is decoded.

    Where A and B lie side by side, both are in the same file.

    Raises:
        DataError: as `open_pairs`.
    """
    found = _find(tree, config)
    if not found.halves:
        return list(found.a), list(found.b)
    a, b = zip(*found.halves, strict=True)
    return [half.file for half in a], [half.file for half in b]


def _packed_apart(config: PairsConfig, target: Path) -> PairSource:
    """Return two packed folders or arrays as pairs: row n belongs to row n.

    Raises:
        DataError: they do not fit each other or the config, or a test part is asked for.
    """
    if config.split == "test":
        raise DataError(
            f"{config.path} and {target}: two packed sets have no test part; for scores take one "
            "of the layouts with parts (data.path without data.target)"
        )
    a, b = (
        open_packed(PackedConfig(path=path))
        if is_packed(path)
        else open_array(ArrayConfig(path=path))
        for path in (config.path, target)
    )
    for source, path in ((a, config.path), (b, target)):
        if source.shape[1:] != config.stored:
            height, width = source.shape[1:]
            raise DataError(
                f"{path}: its images are {height} x {width}; set data.resolution (or data.load) to "
                "that, for packed images stay as they are"
            )
    aligned = config.aligned is not False
    if aligned and len(a) != len(b):
        raise DataError(
            f"{config.path} has {len(a)} images and {target} {len(b)}; pairs need as many. For two "
            "sets that are no pairs set data.aligned=false"
        )
    name = f"{a.name} and {b.name}"
    return PairSource(name, a.images, b.images, aligned, config.size, config.flip, config.held_out)


# ------------------------------------------------------------------------------------- the layouts


@dataclass(frozen=True)
class Half:
    """Where one image of a pair lies: a file, or a half of it (0: left, 1: right)."""

    file: str
    side: int | None = None


@dataclass(frozen=True)
class _Found:
    """Pairs of halves; or, where there are none, two sets of files."""

    halves: tuple[tuple[Half, Half], ...] = ()
    a: tuple[str, ...] = ()
    b: tuple[str, ...] = ()
    skipped: tuple[tuple[str, str], ...] = ()


def _find(tree: Tree, config: PairsConfig) -> _Found:
    """Return the images of the asked part, by the first layout that has any."""
    names = image_names(tree)
    split = config.split
    for a, b, aligned in (
        (("A", split), ("B", split), True),
        ((f"{split}A",), (f"{split}B",), False),
    ):
        sides = _in_folder(names, a), _in_folder(names, b)
        if any(sides):
            for side, folder in zip(sides, (a, b), strict=True):
                if not side:
                    raise DataError(
                        f"{tree.path}: no images in {'/'.join(folder)}; one side is missing"
                    )
            if aligned if config.aligned is None else config.aligned:
                return _partners(tree, *sides, config.skip_bad)
            return _Found(a=tuple(sides[0]), b=tuple(sides[1]))
    whole = _in_folder(names, (split,))
    if not whole:
        raise DataError(f"{tree.path}: no images of part {split!r}. Looked for {LAYOUTS}")
    if config.aligned is False:
        raise DataError(
            f"{tree.path}: in {split}/ A and B lie side by side, so they are pairs; to take them "
            f"as two sets, put them into {split}A and {split}B"
        )
    return _Found(tuple((Half(name, 0), Half(name, 1)) for name in whole))


def _in_folder(names: Iterable[str], folder: tuple[str, ...]) -> list[str]:
    """Return the names directly in a folder, which may lie in others that only wrap it."""
    return [name for name in names if PurePosixPath(name).parent.parts[-len(folder) :] == folder]


def _partners(tree: Tree, a: list[str], b: list[str], skip_bad: bool) -> _Found:
    """Return the pairs of equal names, whatever their suffixes."""
    stems = [{PurePosixPath(name).stem: name for name in names} for names in (a, b)]
    for names in (a, b):
        stem, times = Counter(PurePosixPath(name).stem for name in names).most_common(1)[0]
        if times > 1:
            twice = [name for name in names if PurePosixPath(name).stem == stem]
            raise DataError(f"{tree.path}: {twice[0]} and {twice[1]} have one name; rename one")
    folders = [PurePosixPath(names[0]).parent for names in (b, a)]
    alone = [
        (name, f"has no partner {other / stem}.*")
        for own, others, other in zip(stems, stems[::-1], folders, strict=True)
        for stem, name in own.items()
        if stem not in others
    ]
    if alone and not skip_bad:
        raise DataError(
            f"{tree.path}: {alone[0][0]} {alone[0][1]}; {len(alone)} image(s) have none. Add them, "
            "or leave them out by data.skip_bad=true"
        )
    both = sorted(stems[0].keys() & stems[1].keys())
    if not both:
        raise DataError(
            f"{tree.path}: no image of {folders[1]} has the name of one of {folders[0]}"
        )
    return _Found(
        tuple((Half(stems[0][stem]), Half(stems[1][stem])) for stem in both), skipped=tuple(alone)
    )


# ----------------------------------------------------------------------------------------- reading


def _read_pairs(
    tree: Tree, found: _Found, config: PairsConfig
) -> tuple[np.ndarray, np.ndarray, tuple[tuple[str, str], ...]]:
    """Return all pairs' images, and what was left out."""

    def read(halves: tuple[Half, Half]) -> tuple[np.ndarray, np.ndarray]:
        pictures = [_half(tree, half) for half in halves]
        sizes = [picture.size for picture in pictures]
        if sizes[0] != sizes[1]:
            raise DataError(
                f"are of two sizes, {sizes[0][0]} x {sizes[0][1]} and {sizes[1][0]} x {sizes[1][1]}"
            )
        a, b = (
            to_pixels(picture, config.stored, channels)
            for picture, channels in zip(
                pictures, (config.channels, config.target_channels), strict=True
            )
        )
        return a, b

    def named(halves: tuple[Half, Half]) -> str:
        return " and ".join(dict.fromkeys(half.file for half in halves))

    kept, skipped = _read(tree, found.halves, read, named, config.skip_bad)
    return np.stack([a for a, _ in kept]), np.stack([b for _, b in kept]), skipped


def _read_set(
    tree: Tree, names: tuple[str, ...], channels: int | None, config: PairsConfig
) -> tuple[np.ndarray, tuple[tuple[str, str], ...]]:
    """Return a set's images, and what was left out."""

    def read(name: str) -> tuple[np.ndarray]:
        return (to_pixels(_picture(tree, name), config.stored, channels),)

    kept, skipped = _read(tree, names, read, str, config.skip_bad)
    return np.stack([image for (image,) in kept]), skipped


def _read(
    tree: Tree,
    items: tuple[Item, ...],
    read: Callable[[Item], tuple[np.ndarray, ...]],
    named: Callable[[Item], str],
    skip_bad: bool,
) -> tuple[list[tuple[np.ndarray, ...]], tuple[tuple[str, str], ...]]:
    """Return the images of every item, all of the first one's channels and depth.

    Raises:
        DataError: a bad item, unless `skip_bad`; or nothing but bad ones.
    """

    def attempt(item: Item) -> tuple[np.ndarray, ...] | str:
        try:
            return read(item)
        except Exception as error:  # Pillow's decoders raise a dozen kinds on damaged files
            return str(error) or type(error).__name__

    kept: list[tuple[np.ndarray, ...]] = []
    skipped: list[tuple[str, str]] = []
    for item, outcome in zip(items, map_in_order(attempt, items), strict=True):
        if not isinstance(outcome, str):
            forms = [
                [(len(image), image.dtype.name) for image in images]
                for images in (outcome, *kept[:1])
            ]
            if forms[0] == forms[-1]:
                kept.append(outcome)
                continue
            outcome = f"has (channels, depth) {forms[0]}, where the images before have {forms[1]}"
        if not skip_bad:
            raise DataError(f"{tree.path}, {named(item)}: {outcome}")
        skipped.append((named(item), outcome))
    if not kept:
        raise DataError(
            f"{tree.path}: none of {len(items)} can be used; the first, {skipped[0][0]}: "
            f"{skipped[0][1]}"
        )
    return kept, tuple(skipped)


def _picture(tree: Tree, name: str) -> Picture:
    try:
        return read_picture(tree.read(name))
    except Exception as error:
        raise DataError(f"{name} cannot be read: {error}") from error


def _half(tree: Tree, half: Half) -> Picture:
    picture = _picture(tree, half.file)
    if half.side is None:
        return picture
    width, height = picture.size
    if width % 2:
        raise DataError(f"is {width} pixels wide: two images side by side have an even width")
    left = half.side * width // 2
    return picture.crop((left, 0, left + width // 2, height))


def read_picture(content: bytes) -> Picture:
    """Return the image of a file.

    Raises:
        DataError: it is too large, or of a form that is not read.
        Exception: whatever Pillow raises on a damaged file.
    """
    return read_deep(content) or open_picture(content)


def to_pixels(picture: Picture, size: Size, channels: int | None) -> np.ndarray:
    """Return an image as uint8 (C, H, W), or uint16 where it has 16 bits.

    With `channels` None, C is 1 for a grey image and 3 for any other, transparent parts laid on
    white; with 2 or 4, the last channel is the opacity.
    """
    if isinstance(picture, DeepPicture):
        return _deep(picture.planes(channels), size)
    if picture.mode.startswith("I;16") and channels in (None, 1):
        return _deep(np.asarray(picture).astype(np.float32)[None], size)
    if channels in (2, 4):
        picture = picture.convert(MODES[channels])
    else:
        picture = flattened(picture)
        picture = picture if channels is None else picture.convert(MODES[channels])
    pixels = np.asarray(_resized(picture, size))
    return pixels[None] if pixels.ndim == 2 else np.ascontiguousarray(pixels.transpose(2, 0, 1))


def _deep(planes: np.ndarray, size: Size) -> np.ndarray:
    """Return an image float32 (C, H, W), values to 65535, at a size, uint16."""
    from PIL import Image

    pixels = np.stack([np.asarray(_resized(Image.fromarray(plane), size)) for plane in planes])
    return pixels.round().clip(0, 65535).astype(np.uint16)


def _resized(picture: "Image", size: Size) -> "Image":
    from PIL.Image import Resampling

    height, width = size
    if picture.size == (width, height):
        return picture
    smaller = picture.width > width or picture.height > height
    return picture.resize((width, height), Resampling.LANCZOS if smaller else Resampling.BICUBIC)
