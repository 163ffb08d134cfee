"""Images packed once, by `egan.data.prepare`, into a memory-mapped array with a manifest.

A packed folder holds images.npy (uint8 (N, C, H, W)), labels.npy (int64 (N,)) where there are
labels, tags.npy (float32 (N, T)) where there are tags, and manifest.json. It opens in milliseconds
whatever its size, and only the drawn images are read.
"""

import hashlib
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from egan.data.array import map_npy
from egan.data.config import PackedConfig
from egan.data.source import DataError, ImageSource, Origin, inside

IMAGES, LABELS, TAGS, MANIFEST = "images.npy", "labels.npy", "tags.npy", "manifest.json"


class Manifest(BaseModel):
    """The content of a packed folder.

    Attributes:
        version: of this format.
        name: of the set it was packed from.
        count: images.
        shape: of one image, (C, H, W).
        classes: the classes' names, indexed by label, or None.
        tag_names: what each of the T tags is, or None.
        sha256: of each file, by its name.
        source: the config it was packed from.
        skipped: (file, reason) of the bad files.
        origin: where labels and tags came from, and what was left out.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    name: str
    count: int
    shape: tuple[int, int, int]
    classes: tuple[str, ...] | None
    sha256: dict[str, str]
    source: dict[str, Any]
    skipped: tuple[tuple[str, str], ...] = ()
    tag_names: tuple[str, ...] | None = None
    origin: Origin = Origin()

    @property
    def fingerprint(self) -> str:
        """A hash of the content, made from the files' hashes alone."""
        content = ";".join(f"{name}={digest}" for name, digest in sorted(self.sha256.items()))
        return hashlib.sha256(content.encode()).hexdigest()


def is_packed(path: Path) -> bool:
    """Whether `path` is a folder that `prepare` wrote."""
    return (path / MANIFEST).is_file() and (path / IMAGES).is_file()


def open_packed(config: PackedConfig) -> ImageSource:
    """Map a packed folder.

    The files' sizes are checked; their SHA-256, which would mean reading all of them, is not.

    Raises:
        DataError: no such folder, or one whose files do not match its manifest.
    """
    path = config.path
    manifest = read_manifest(path)
    images = map_npy(inside(path, path / IMAGES))
    labels, tags = (
        np.array(map_npy(inside(path, path / name))) if name in manifest.sha256 else None
        for name in (LABELS, TAGS)
    )
    if images.shape != (manifest.count, *manifest.shape):
        raise DataError(
            f"{path / IMAGES}: holds {images.shape}, but {MANIFEST} says "
            f"{(manifest.count, *manifest.shape)}; prepare it again"
        )
    return ImageSource(
        name=manifest.name,
        images=images,
        labels=labels,
        classes=manifest.classes,
        tags=tags,
        tag_names=manifest.tag_names,
        flip=config.flip,
        skipped=manifest.skipped,
        digest=manifest.fingerprint,
        origin=manifest.origin,
    )


def read_manifest(path: Path) -> Manifest:
    """Read the manifest of the packed folder `path`.

    Raises:
        DataError: there is none, or not one of this version.
    """
    try:
        return Manifest.model_validate_json((path / MANIFEST).read_bytes())
    except FileNotFoundError as error:
        if not path.exists():
            raise DataError(f"{path}: no such folder") from error
        raise DataError(f"{path}: no {MANIFEST}; not a folder that prepare wrote") from error
    except OSError as error:
        raise DataError(f"{path / MANIFEST}: cannot be read: {error}") from error
    except ValidationError as error:
        raise DataError(f"{path / MANIFEST}: damaged, or of another version: {error}") from error
