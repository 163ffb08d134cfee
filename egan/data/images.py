"""A folder tree or .zip of PNG, JPEG and WebP files.

Each image is turned as its EXIF orientation says, laid on white where it is transparent, cropped to
its centre square and resized. Entries of a .zip are read one by one and never extracted. Files come
in the order of their names, so that a set is the same on every machine.

Labels come from StyleGAN's dataset.json at the root ({"labels": [["path", 3], ...]} or null; NVlabs
stylegan3, dataset_tool.py), else from the names of the subfolders where every image lies in one.
"""

import io
import json
import os
import re
import stat
import zipfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np

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
    return ImageSource(
        name=files.name,
        images=images[: len(kept)],
        labels=None if files.labels is None else files.labels[kept],
        classes=files.classes,
        flip=config.flip,
        skipped=tuple(files.skipped),
    )


def has_images(path: Path) -> bool:
    """Whether `path` is a folder tree or .zip with at least one image, by the files' names."""
    if not path.is_dir() and path.suffix.lower() != ".zip" and not zipfile.is_zipfile(path):
        return False
    return bool(_image_names(_open_tree(path)))


def list_images(config: ImagesConfig) -> "ImageFiles":
    """Find the images and their labels; nothing is decoded yet.

    Raises:
        DataError: no such folder or .zip, no images in it, or a dataset.json that does not fit.
    """
    tree = _open_tree(config.path)
    names = _image_names(tree)
    if not names:
        raise DataError(f"{config.path}: no images; looked for {', '.join(SUFFIXES)} at any depth")
    labels, classes = _labels(tree, names)
    return ImageFiles(config, tree, names, labels, classes)


@dataclass
class ImageFiles:
    """The images of a folder or .zip, before decoding.

    Attributes:
        names: paths inside the folder or .zip, sorted.
        labels: int64, one for each name, or None.
        classes: the subfolders' names where they are the classes.
        skipped: (file, reason) of every bad file met by `decode` so far.
    """

    config: ImagesConfig
    tree: "_Tree"
    names: list[str]
    labels: np.ndarray | None
    classes: tuple[str, ...] | None
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
        for position, outcome in enumerate(_map_in_order(self._try_decode, self.names)):
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
    from PIL import Image, ImageOps

    with Image.open(io.BytesIO(content), formats=("PNG", "JPEG", "WEBP")) as image:
        if image.width * image.height > MAX_PIXELS:
            raise DataError(
                f"{image.width} x {image.height} pixels, more than {MAX_PIXELS}; shrink it first"
            )
        if image.format == "JPEG" and content.count(_START_OF_SCAN) > MAX_SCANS:
            raise DataError(f"a JPEG file of more than {MAX_SCANS} scans; save it again")
        flat = _flatten(ImageOps.exif_transpose(image))
    if channels is not None:
        flat = flat.convert("L" if channels == 1 else "RGB")
    return to_array(crop_and_resize(flat, resolution))


def _flatten(image: "Image") -> "Image":
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


class _Tree(Protocol):
    """A folder or an archive, read by name."""

    path: Path

    def names(self) -> list[str]: ...

    def read(self, name: str) -> bytes: ...


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


def _open_tree(path: Path) -> _Tree:
    if not path.exists():
        raise DataError(f"{path}: no such folder or .zip")
    return _Folder(path) if path.is_dir() else _Archive(path)


def _image_names(tree: _Tree) -> list[str]:
    def wanted(name: str) -> bool:
        hidden = any(part.startswith((".", "__MACOSX")) for part in PurePosixPath(name).parts)
        return name.lower().endswith(SUFFIXES) and not hidden

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


def _labels(tree: _Tree, names: list[str]) -> tuple[np.ndarray | None, tuple[str, ...] | None]:
    """Return each name's label and the classes' names, where there are any."""
    if "dataset.json" in tree.names():
        return _json_labels(tree, names), None
    folders = [PurePosixPath(name).parent.parts for name in names]
    shared = _shared_depth(folders)  # a wrapping folder is no class
    if any(len(folder) == shared for folder in folders):
        return None, None
    classes = tuple(sorted({folder[shared] for folder in folders}))
    label = {name: index for index, name in enumerate(classes)}
    return np.array([label[folder[shared]] for folder in folders], np.int64), classes


def _shared_depth(folders: list[tuple[str, ...]]) -> int:
    """Return how many leading parts all the paths have in common."""
    first, last = min(folders), max(folders)
    differ = (depth for depth, (a, b) in enumerate(zip(first, last, strict=False)) if a != b)
    return next(differ, min(len(first), len(last)))


def _json_labels(tree: _Tree, names: list[str]) -> np.ndarray | None:
    source = f"{tree.path}, dataset.json"
    try:
        pairs: Any = json.loads(tree.read("dataset.json"))["labels"]
        if pairs is None:
            return None
        labels = dict(pairs)
    except Exception as error:  # any JSON may stand there
        raise DataError(
            f'{source}: must be {{"labels": [["file", class], ...]}} or {{"labels": null}}'
            f"; {error!r}"
        ) from error
    for name in names:
        label = labels.get(name)
        if type(label) is not int or not 0 <= label < 2**31:
            raise DataError(f"{source}: the label of {name} must be a class number, not {label!r}")
    return np.array([labels[name] for name in names], np.int64)


def _map_in_order(function: Callable[[_T], _R], items: Iterable[_T]) -> Iterator[_R]:
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
