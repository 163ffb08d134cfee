"""uint8 images in .npy and .npz files, never through pickle.

Headers are checked against the file's size before anything is allocated.
"""

import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from egan.data.annotations import Annotations, some
from egan.data.config import ArrayConfig
from egan.data.npz import ArrayError, array_members, read_header, read_member
from egan.data.resize import resize_images
from egan.data.source import DataError, ImageSource, Origin

LeftOut = tuple[tuple[str, int], ...]


def open_array(config: ArrayConfig) -> ImageSource:
    """Open a .npy (memory-mapped) or .npz (read into memory) of uint8 images.

    Images are N x H x W, N x C x H x W or N x H x W x C. In a .npz they are found under
    `config.key`, else under "images", else as the only array with images' dimensions; labels under
    "labels", or under "y_train" beside "x_train"; the classes' names under "classes"; tags (N, T)
    under "tags", and their names under "tag_names".

    Raises:
        DataError: not such a file, truncated, pickled, of another type, or of an unclear layout.
    """
    path = config.path
    if not path.is_file():
        reason = "is a folder" if path.is_dir() else "no such file"
        raise DataError(f"{path}: {reason}; data.path must lead to {config.wanted}")
    about, left_out = Annotations(labels_from="a .npy file holds images alone"), LeftOut()
    if zipfile.is_zipfile(path):
        stored, about, left_out = _read_npz(path, config.key)
    elif config.key is not None:
        raise DataError(f"{path}: data.key is for .npz files, and this is none")
    else:
        stored = map_npy(path)
    images = resize_images(_to_nchw(stored, path), config.resolution)
    return ImageSource(
        name=path.name,
        images=images,
        labels=about.labels,
        classes=about.classes,
        tags=about.tags,
        tag_names=about.tag_names,
        flip=config.flip,
        origin=Origin(about.labels_from, about.tags_from, left_out),
    )


def map_npy(path: Path) -> np.ndarray:
    """Map a .npy file read-only.

    Raises:
        DataError: not a .npy file, of objects, or of another size than its header says.
    """
    try:
        with path.open("rb") as stream:
            shape, fortran, dtype = read_header(stream, str(path), path.stat().st_size)
            offset = stream.tell()
        if not shape:
            raise DataError(f"{path}: holds a single number, no array")
        return np.memmap(path, dtype, "r", offset, shape, "F" if fortran else "C")
    except ArrayError as error:
        raise DataError(str(error)) from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error}") from error


def _read_npz(path: Path, key: str | None) -> tuple[np.ndarray, Annotations, LeftOut]:
    try:
        with zipfile.ZipFile(path) as archive:
            members = array_members(archive)
            key = _images_key(archive, members, path, key)
            images = read_member(archive, members[key], path)
            part = key[1:] if key.startswith("x") else None
            beside = {
                name: read_member(archive, members[name], path)
                for name in _names_beside(members, part)
            }
            others = sorted(members.keys() - beside.keys() - {key})
            left_out = ((f"other arrays ({some(others)})", len(others)),) if others else ()
            return images, _annotations(beside, len(images), path), left_out
    except DataError:
        raise
    except ArrayError as error:
        raise DataError(str(error)) from error
    except Exception as error:  # zipfile raises a dozen kinds on damaged archives
        raise DataError(f"{path}: damaged .npz: {error}") from error


def _names_beside(members: dict[str, zipfile.ZipInfo], part: str | None) -> list[str]:
    """Return which arrays annotate the images; `part` is "_train" for "x_train"."""
    labels = "labels" if "labels" in members or part is None else f"y{part}"
    return [name for name in (labels, "classes", "tags", "tag_names") if name in members]


def _annotations(beside: dict[str, np.ndarray], count: int, path: Path) -> Annotations:
    labels = tags = classes = tag_names = None
    labels_from, tags_from = "no array `labels`", ""
    for name, stored in beside.items():
        match name:
            case "classes":
                classes = _to_names(stored, path, name)
            case "tag_names":
                tag_names = _to_names(stored, path, name)
            case "tags":
                tags, tags_from = _to_tags(stored, count, path), name
            case _:
                labels, labels_from = _to_labels(stored, count, path, name), name
    if tags is not None and tag_names is None:
        tag_names = tuple(map(str, range(tags.shape[1])))
    if tags is not None and tag_names is not None and len(tag_names) != tags.shape[1]:
        raise DataError(
            f"{path}, tag_names: {len(tag_names)} names for the {tags.shape[1]} columns of tags"
        )
    return Annotations(labels, classes, labels_from, tags, tag_names, tags_from)


def _images_key(
    archive: zipfile.ZipFile, members: dict[str, zipfile.ZipInfo], path: Path, key: str | None
) -> str:
    found = ", ".join(sorted(members)) or "none"
    if key is not None:
        if key not in members:
            raise DataError(f"{path}: no array named {key!r}; its arrays: {found}")
        return key
    if "images" in members:
        return "images"
    candidates = [name for name, info in members.items() if _dimensions(archive, info, path) >= 3]
    if len(candidates) != 1:
        raise DataError(
            f"{path}: say which array holds the images, by data.key in a config or --key of the "
            f"command prepare; its arrays: {found}"
        )
    return candidates[0]


def _dimensions(archive: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path) -> int:
    with archive.open(info) as stream:
        return len(read_header(stream, f"{path}, {info.filename}", info.file_size)[0])


def _to_labels(stored: np.ndarray, count: int, path: Path, name: str) -> np.ndarray:
    if stored.dtype.kind not in "iu":
        raise DataError(f"{path}, {name}: labels must be whole numbers, not {stored.dtype}")
    if stored.size > 0 and int(stored.max()) > np.iinfo(np.int64).max:
        raise DataError(f"{path}, {name}: label {stored.max()} is beyond 64-bit integers")
    labels: np.ndarray = stored.astype(np.int64)
    if labels.shape[1:] == (1,):
        labels = labels.reshape(-1)
    if labels.shape != (count,):
        raise DataError(
            f"{path}, {name}: labels must be one for each of the {count} images, not {stored.shape}"
        )
    return labels


def _to_tags(stored: np.ndarray, count: int, path: Path) -> np.ndarray:
    if stored.dtype.kind not in "biuf" or stored.ndim != 2 or len(stored) != count:
        raise DataError(
            f"{path}, tags: must be numbers (N, T), a row for each of the {count} images, not "
            f"{stored.dtype} {stored.shape}"
        )
    with np.errstate(over="ignore"):  # what is infinite then is refused
        tags: np.ndarray = stored.astype(np.float32)
    if not (finite := np.isfinite(tags).all(1)).all():
        raise DataError(f"{path}, tags: image {np.argmin(finite)} has one that is no finite number")
    return tags


def _to_names(stored: np.ndarray, path: Path, name: str) -> tuple[str, ...]:
    if stored.dtype.kind != "U" or stored.ndim != 1:
        raise DataError(f"{path}, {name}: must be a row of texts, not {stored.dtype}")
    return tuple(map(str, stored))


def _to_nchw(stored: np.ndarray, path: Path) -> np.ndarray:
    """Return a view (N, C, H, W) of images in any of the three layouts."""
    if stored.dtype != np.uint8:
        raise DataError(
            f"{path}: images must be uint8 (0..255), not {stored.dtype}; for values in [0, 1] save "
            "(255 * images).round().astype('uint8')"
        )
    shape: tuple[Any, ...] = stored.shape
    if stored.ndim == 3:
        return stored[:, None]
    if stored.ndim != 4 or not {1, 3} & {shape[1], shape[3]}:
        raise DataError(
            f"{path}: images must be N x H x W, N x C x H x W or N x H x W x C with 1 or 3 "
            f"channels, not {shape}"
        )
    if {shape[1], shape[3]} <= {1, 3}:
        raise DataError(f"{path}: {shape} may be N x C x H x W or N x H x W x C; use larger images")
    return stored if shape[1] in (1, 3) else stored.transpose(0, 3, 1, 2)
