"""Packing any image source once, in bounded memory, into what `egan.data.packed` opens."""

import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from uuid import uuid4

import numpy as np

from egan.data.annotations import Annotations
from egan.data.config import DataConfig, GaussiansConfig, ImagesConfig, PackedConfig
from egan.data.images import list_images
from egan.data.opening import detect_source, open_source
from egan.data.packed import IMAGES, LABELS, MANIFEST, TAGS, Manifest, is_packed
from egan.data.resize import resize_images
from egan.data.source import DataError, ImageSource, Origin
from egan.files import fsync, lock, sha256

Progress = Callable[[int, int], None]


def prepare(
    source: Path | str | DataConfig,
    dest: Path | str,
    resolution: int,
    *,
    skip_bad: bool = False,
    progress: Progress | None = None,
    force: bool = False,
) -> Manifest:
    """Pack the images of `source`, a path or a config, into the folder `dest`.

    One image is held in memory at a time, but for what cannot be read in parts: .gz and .npz files.
    The folder appears whole or not at all.

    Args:
        source: where the images are; what lies at a path is recognised by itself.
        dest: the folder to make.
        resolution: side of the square images to store; overrides the config's.
        skip_bad: leave unreadable files out and list them in the manifest.
        progress: called with (images done, images in all).
        force: replace a packed folder that is there already.

    Raises:
        DataError: the source cannot be read, or `dest` is there already.
    """
    dest = Path(dest).expanduser().absolute()
    _check_destination(dest, force)
    config = detect_source(source) if isinstance(source, Path | str) else source
    frames = _open_frames(config, resolution, skip_bad)
    dest.parent.mkdir(parents=True, exist_ok=True)
    _sweep(dest)
    folder = _beside(dest)
    folder.mkdir()
    with _held(folder):
        try:
            manifest = _write(folder, frames, config, progress or (lambda done, total: None))
            _publish(folder, dest)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    return manifest


@dataclass
class _Frames:
    """Images one by one: `images` yields (position, uint8 (C, R, R)) and may leave some out."""

    name: str
    total: int
    images: Iterator[tuple[int, np.ndarray]]
    about: Annotations
    skipped: list[tuple[str, str]]
    origin: Callable[[], Origin]  # once the images are through


def _open_frames(config: DataConfig, resolution: int, skip_bad: bool) -> _Frames:
    if isinstance(config, GaussiansConfig):
        raise DataError(f"{config.source} is endless and has no images to pack")
    if isinstance(config, ImagesConfig):
        skip_bad = skip_bad or config.skip_bad
        update = {"resolution": resolution, "skip_bad": skip_bad}
        files = list_images(config.model_copy(update=update))
        total = len(files.names)
        return _Frames(
            files.name, total, files.decode(), files.about, files.skipped, lambda: files.origin
        )
    if not isinstance(config, PackedConfig):
        config = config.model_copy(update={"resolution": None})  # resized below, one by one
    opened = open_source(config)
    assert isinstance(opened, ImageSource)
    images = (
        (position, resize_images(opened.images[position : position + 1], resolution)[0])
        for position in range(len(opened))
    )
    about = Annotations(opened.labels, opened.classes, tags=opened.tags, tag_names=opened.tag_names)
    return _Frames(
        opened.name, len(opened), images, about, list(opened.skipped), lambda: opened.origin
    )


def _write(folder: Path, frames: _Frames, config: DataConfig, progress: Progress) -> Manifest:
    kept, shape = _write_images(folder / IMAGES, frames, progress)
    files, about = [IMAGES], frames.about[kept]
    for file, rows in ((LABELS, about.labels), (TAGS, about.tags)):
        if rows is not None:
            np.save(folder / file, rows, allow_pickle=False)
            files.append(file)
    manifest = Manifest(
        name=frames.name,
        count=len(kept),
        shape=shape,
        classes=about.classes,
        tag_names=about.tag_names,
        sha256={name: sha256(folder / name) for name in files},
        source=config.model_dump(mode="json"),
        skipped=tuple(frames.skipped),
        origin=frames.origin(),
    )
    (folder / MANIFEST).write_text(manifest.model_dump_json(indent=2) + "\n", encoding="utf-8")
    for name in (*files, MANIFEST, "."):
        fsync(folder / name)
    return manifest


def _write_images(
    path: Path, frames: _Frames, progress: Progress
) -> tuple[list[int], tuple[int, int, int]]:
    """Write the images as one .npy; return which positions they had, and one image's shape."""
    kept: list[int] = []
    shape = (0, 0, 0)
    with path.open("wb") as stream:
        for position, image in frames.images:
            if not kept:
                shape = image.shape
                _write_header(stream, frames.total, shape)
            stream.write(np.ascontiguousarray(image).data)
            kept.append(position)
            progress(position + 1, frames.total)
        stream.seek(0)
        _write_header(stream, len(kept), shape)  # fewer than the total where some were bad
    progress(frames.total, frames.total)
    return kept, shape


def _write_header(stream: IO[bytes], count: int, shape: tuple[int, ...]) -> None:
    # numpy pads the header so that the first dimension may change in place.
    header = {"descr": "|u1", "fortran_order": False, "shape": (count, *shape)}
    np.lib.format.write_array_header_1_0(stream, header)


def _check_destination(dest: Path, force: bool) -> None:
    if not dest.exists() or (dest.is_dir() and not any(dest.iterdir())):
        return
    if not is_packed(dest):
        raise DataError(f"{dest}: is there already, and was not written by prepare; choose another")
    if not force:
        raise DataError(
            f"{dest}: is there already; choose another folder, or replace it with --force"
        )


def _beside(dest: Path) -> Path:
    return dest.with_name(f".{dest.name}-{uuid4().hex}")


@contextmanager
def _held(folder: Path) -> Iterator[bool]:
    """Hold a folder, so that it is seen to be in use; give whether nobody else holds it."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        yield lock(descriptor) is True
    finally:
        os.close(descriptor)


def _sweep(dest: Path) -> None:
    """Remove what killed processes left beside `dest`: hidden folders that nobody holds."""
    hidden = re.compile(rf"\.{re.escape(dest.name)}-[0-9a-f]{{32}}")
    for folder in filter(lambda path: hidden.fullmatch(path.name), dest.parent.iterdir()):
        with suppress(OSError), _held(folder) as alone:
            if alone and any(folder.iterdir()):  # an empty one may have been made just now
                shutil.rmtree(folder)


def _publish(folder: Path, dest: Path) -> None:
    """Rename the finished folder into place; an old one steps aside until that is done."""
    if is_packed(dest):
        aside = _beside(dest)
        dest.rename(aside)
        folder.rename(dest)
        shutil.rmtree(aside)
    else:
        folder.rename(dest)  # an empty folder gives way
    fsync(dest.parent)
