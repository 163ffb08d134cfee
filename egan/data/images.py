"""A folder tree or .zip of PNG, JPEG and WebP files.

Each image is turned as its EXIF orientation says, laid on white where it is transparent, cropped to
its centre square and resized. Entries of a .zip are read one by one and never extracted. Files come
in the order of their names, so that a set is the same on every machine.

Labels and tags are found as `egan.data.annotations` says.
"""

import io
import os
import re
import stat
import zipfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Protocol, TypeVar

import numpy as np

from egan.data.annotations import CSV, JSON, Annotations, csv_tags, json_annotations
from egan.data.config import ImagesConfig
from egan.data.npz import check_expansion
from egan.data.resize import crop_and_resize, to_array
from egan.data.source import DataError, ImageSource, inside

if TYPE_CHECKING:
    from PIL.Image import Image

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
MAX_PIXELS = 2**26
"""An image of more pixels (8,192 x 8,192) is refused: a few bytes may claim any size."""
MAX_BYTES = 2**28
"""A file, or unpacked .zip entry, of more bytes is refused."""

MAX_SCANS = 100
"""A JPEG file of more is refused: each decodes the whole image again, and takes a few bytes."""
SMALL = 2**20
"""Bytes that any .zip entry may unpack to; an image's file hardly shrinks in a .zip."""
_DRIVE = re.compile(r"[A-Za-z]:[/\\]")
_START_OF_SCAN = b"\xff\xda"  # which a JPEG's compressed data never contain

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
    )


def has_images(path: Path) -> bool:
    """Whether `path` is a folder tree or .zip with at least one image, by the files' names."""
    if not path.is_dir() and path.suffix.lower() != ".zip" and not zipfile.is_zipfile(path):
        return False
    return bool(image_names(open_tree(path)))


def list_images(config: ImagesConfig) -> "ImageFiles":
    """Find the images and their labels; nothing is decoded yet.

    Raises:
        DataError: no such folder or .zip, no images in it, or a dataset.json that does not fit.
    """
    tree = open_tree(config.path)
    names = image_names(tree)
    if not names:
        raise DataError(f"{config.path}: no images; looked for {', '.join(SUFFIXES)} at any depth")
    return ImageFiles(config, tree, names, _annotations(tree, names))


@dataclass
class ImageFiles:
    """The images of a folder or .zip, before decoding.

    Attributes:
        names: paths inside the folder or .zip, sorted.
        about: the labels and tags, a row for each name.
        skipped: (file, reason) of every bad file met by `decode` so far.
    """

    config: ImagesConfig
    tree: "Tree"
    names: list[str]
    about: Annotations
    skipped: list[tuple[str, str]] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The folder's or archive's name."""
        return self.config.path.name

    def decode(self) -> Iterator[tuple[int, np.ndarray]]:
        """Yield (position in names, uint8 (C, R, R)) of every good image, in order.

        Raises:
            DataError: a bad file, unless `skip_bad`; or nothing but bad files.
        """
        channels: int | None = self.config.channels
        good = 0
        for position, outcome in enumerate(map_in_order(self._try_decode, self.names)):
            if isinstance(outcome, np.ndarray):
                channels = channels or len(outcome)
                if len(outcome) == channels:
                    good += 1
                    yield position, outcome
                    continue
                outcome = (
                    f"has {len(outcome)} channels where the images before it have {channels}; to "
                    "convert all: data.channels in a config, --channels of the command prepare"
                )
            if not self.config.skip_bad:
                raise DataError(f"{self.config.path}, {self.names[position]}: {outcome}")
            self.skipped.append((self.names[position], outcome))
        if not good:
            raise DataError(
                f"{self.config.path}: none of {len(self.names)} images can be used; the first, "
                f"{self.skipped[0][0]}: {self.skipped[0][1]}"
            )

    def _try_decode(self, name: str) -> np.ndarray | str:
        """Return the image, or what is wrong with it."""
        try:
            content = self.tree.read(name)
            return decode_image(content, self.config.resolution, self.config.channels)
        except Exception as error:  # Pillow's decoders raise a dozen kinds on damaged files
            return str(error) or type(error).__name__


def decode_image(content: bytes, resolution: int, channels: int | None) -> np.ndarray:
    """Decode a PNG, JPEG or WebP file to uint8 (C, resolution, resolution).

    With `channels` None, C is 1 for a grey image and 3 for any other.

    Raises:
        DataError: more than MAX_PIXELS, or MAX_SCANS.
        Exception: whatever Pillow raises on a damaged file.
    """
    flat = flattened(open_picture(content, ("PNG", "JPEG", "WEBP")))
    if channels is not None:
        flat = flat.convert("L" if channels == 1 else "RGB")
    return to_array(crop_and_resize(flat, resolution))


def open_picture(content: bytes, formats: tuple[str, ...]) -> "Image":
    """Return a file's image, decoded and turned as its EXIF orientation says.

    Raises:
        DataError: more than MAX_PIXELS, or MAX_SCANS.
        Exception: whatever Pillow raises on a damaged file.
    """
    from PIL import Image, ImageOps

    with Image.open(io.BytesIO(content), formats=formats) as image:
        if image.width * image.height > MAX_PIXELS:
            raise DataError(
                f"{image.width} x {image.height} pixels, more than {MAX_PIXELS}; shrink it first"
            )
        if image.format == "JPEG" and content.count(_START_OF_SCAN) > MAX_SCANS:
            raise DataError(f"a JPEG file of more than {MAX_SCANS} scans; save it again")
        turned = ImageOps.exif_transpose(image)
        turned.load()
        return turned


def flattened(image: "Image") -> "Image":
    """Return any image as "L" (grey) or "RGB", transparent parts laid on white."""
    from PIL import Image

    if image.mode.startswith("I"):  # 16-bit grey, which convert would clip
        wide = np.asarray(image).astype(np.int64)
        return Image.fromarray(((wide + 128) // 257).clip(0, 255).astype(np.uint8))
    mode = "L" if image.mode in ("1", "L", "LA", "La") else "RGB"
    if image.has_transparency_data:
        seen = image.convert("RGBA")
        white = Image.new("RGBA", seen.size, "white")
        return Image.alpha_composite(white, seen).convert("RGB").convert(mode)
    return image.convert(mode)


class Tree(Protocol):
    """A folder or an archive, read by name."""

    path: Path

    def names(self) -> list[str]:
        """Return the files' paths."""

    def read(self, name: str) -> bytes:
        """Return a file's content."""


class _Folder:
    def __init__(self, path: Path) -> None:
        self.path = path

    def names(self) -> list[str]:
        """Return the files' paths inside the folder.

        Raises:
            DataError: a link to a folder, which would be left out silently otherwise.
        """
        entries = list(self.path.rglob("*"))
        for entry in entries:
            if entry.is_symlink() and entry.is_dir():
                raise DataError(
                    f"{entry}: a symbolic link to a folder, which is not followed; a data folder "
                    "must hold its files: copy what the link leads to"
                )
        return [entry.relative_to(self.path).as_posix() for entry in entries if entry.is_file()]

    def read(self, name: str) -> bytes:
        file = self.path / name
        if file.is_symlink():
            inside(self.path, file)
        _check_size(file.stat().st_size)
        return file.read_bytes()


class _Archive:
    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._archive = zipfile.ZipFile(path)
        except Exception as error:  # zipfile raises a dozen kinds on damaged archives
            raise DataError(f"{path}: not a readable .zip: {error}") from error

    def names(self) -> list[str]:
        """Return the entries' names.

        Raises:
            DataError: an entry would leave the folder that it were extracted to. None ever is, but
                whoever made such an archive meant harm.
        """
        for info in self._archive.infolist():
            parts = info.filename.replace("\\", "/").split("/")
            if ".." in parts or not parts[0] or _DRIVE.match(info.filename):
                raise DataError(
                    f"{self.path}: the entry {info.filename!r} leads out of the archive's folder; "
                    "an archive with such names is not read"
                )
            if stat.S_ISLNK(info.external_attr >> 16):
                raise DataError(
                    f"{self.path}: the entry {info.filename!r} is a symbolic link; an archive with "
                    "links is not read"
                )
        return [info.filename for info in self._archive.infolist() if not info.is_dir()]

    def read(self, name: str) -> bytes:
        info = self._archive.getinfo(name)
        _check_size(info.file_size)  # the reader stops there, whatever the entry unpacks to
        check_expansion(name, info.file_size, info.compress_size, SMALL)
        return self._archive.read(info)


def _check_size(size: int) -> None:
    if size > MAX_BYTES:
        raise DataError(f"{size} bytes, more than {MAX_BYTES}")


def open_tree(path: Path) -> Tree:
    """Return what reads a folder or .zip.

    Raises:
        DataError: there is none, or the archive is damaged.
    """
    if not path.exists():
        raise DataError(f"{path}: no such folder or .zip")
    return _Folder(path) if path.is_dir() else _Archive(path)


def image_names(tree: Tree, suffixes: tuple[str, ...] = SUFFIXES) -> list[str]:
    """Return the paths of all images in a folder or archive, sorted; hidden ones are left out.

    Raises:
        DataError: a name that is not UTF-8.
    """

    def wanted(name: str) -> bool:
        hidden = any(part.startswith((".", "__MACOSX")) for part in PurePosixPath(name).parts)
        return name.lower().endswith(suffixes) and not hidden

    names = sorted(set(filter(wanted, tree.names())))
    for name in names:
        if not _is_text(name):
            raise DataError(f"{tree.path}: the file name {name!r} is not UTF-8; rename it")
    return names


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:  # bytes of a folder that are none come as lone surrogates
        return False
    return True


def _annotations(tree: Tree, names: list[str]) -> Annotations:
    """Return what the tree says of its images."""
    known = set(tree.names())
    if JSON in known:
        found = json_annotations(_content(tree, JSON), names, known, f"{tree.path}, {JSON}")
    else:
        found = _folders_as_classes(names)
    if CSV in known:
        if found.tags is not None:
            raise DataError(f"{tree.path}: both {JSON} and {CSV} give tags; remove one")
        tags, tag_names = csv_tags(_content(tree, CSV), names, known, f"{tree.path}, {CSV}")
        found = replace(found, tags=tags, tag_names=tag_names, tags_from=CSV)
    return found


def _content(tree: Tree, name: str) -> bytes:
    """Read an annotation.

    Raises:
        DataError: it cannot be read.
    """
    try:
        return tree.read(name)
    except Exception as error:  # zipfile raises a dozen kinds on damaged archives
        raise DataError(
            f"{tree.path}, {name}: cannot be read: {str(error) or type(error).__name__}"
        ) from error


def _folders_as_classes(names: list[str]) -> Annotations:
    folders = [PurePosixPath(name).parent.parts for name in names]
    shared = _shared_depth(folders)  # a wrapping folder is no class
    if any(len(folder) == shared for folder in folders):
        return Annotations()
    classes = tuple(sorted({folder[shared] for folder in folders}))
    label = {name: index for index, name in enumerate(classes)}
    labels = np.array([label[folder[shared]] for folder in folders], np.int64)
    return Annotations(labels, classes, "the folders' names")


def _shared_depth(folders: list[tuple[str, ...]]) -> int:
    """Return how many leading parts all the paths have in common."""
    first, last = min(folders), max(folders)
    differ = (depth for depth, (a, b) in enumerate(zip(first, last, strict=False)) if a != b)
    return next(differ, min(len(first), len(last)))


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
