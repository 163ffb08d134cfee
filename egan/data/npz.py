"""Plain arrays in .npy and .npz files: nothing is unpickled, and no header is believed.

Sizes are checked against the file before anything is allocated. What is packed may unpack to
`FREELY` bytes, or to `RATIO` times its packed size; real images stay far below (dSprites, nearly
all of it black, has 115), and a decompression bomb does not.
"""

import math
import zipfile
from pathlib import Path
from typing import IO

import numpy as np

FREELY = 2**26  # bytes
RATIO = 250
LONGEST_HEADER = 10_000  # bytes of a .npy file's header, which is Python source


class ArrayError(ValueError):
    """A file that holds no plain arrays; the message names it and what is wrong."""


def check_expansion(name: str, says: int, packed: int, freely: int = FREELY) -> None:
    """Refuse what unpacks to far more than it takes on disk; sizes in bytes.

    Raises:
        ArrayError: a decompression bomb, or a header that lies.
    """
    if says > max(freely, RATIO * packed):
        raise ArrayError(
            f"{name}: says {says} bytes, more than this file can hold: {packed} bytes may unpack "
            f"to {RATIO} times as many"
        )


def read_header(stream: IO[bytes], name: str, size: int) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Return the shape, whether Fortran's order, and the dtype of a .npy file of `size` bytes.

    Raises:
        ArrayError: not such a header, of pickled objects, or of another size than the file's.
    """
    try:
        version = np.lib.format.read_magic(stream)
        read = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }[version]
        shape, fortran, dtype = read(stream, max_header_size=LONGEST_HEADER)
    except Exception as error:  # it is Python source, evaluated: corrupt bytes raise anything
        raise ArrayError(f"{name}: not a .npy file: {error}") from error
    if dtype.hasobject:
        raise ArrayError(f"{name}: holds pickled Python objects, which are never read")
    if min(shape, default=1) < 1 or dtype.itemsize == 0:
        raise ArrayError(f"{name}: holds no data, its shape is {shape}")
    promised = stream.tell() + math.prod(shape) * dtype.itemsize
    if promised != size:
        raise ArrayError(
            f"{name}: {size} bytes, but its header says {dtype} {shape}, {promised} bytes; "
            "it is truncated or damaged"
        )
    return shape, fortran, dtype


def array_members(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """Return an .npz file's entries by their arrays' names."""
    return {
        info.filename.removesuffix(".npy"): info
        for info in archive.infolist()
        if info.filename.endswith(".npy")
    }


def read_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path) -> np.ndarray:
    """Return one array of an .npz file.

    Raises:
        ArrayError: see `read_header` and `check_expansion`; or cut short.
        Exception: a dozen kinds that zipfile raises on damaged archives.
    """
    name = f"{path}, {info.filename}"
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ArrayError(f"{name}: compressed in a way that numpy does not write")
    check_expansion(name, info.file_size, path.stat().st_size)
    with archive.open(info) as stream:
        shape, fortran, dtype = read_header(stream, name, info.file_size)
        content = stream.read()
    if len(content) != math.prod(shape) * dtype.itemsize:
        raise ArrayError(f"{name}: truncated")
    return np.frombuffer(content, dtype).reshape(shape, order="F" if fortran else "C")


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Return all arrays of an .npz file by name.

    Raises:
        ArrayError: no such file, damaged, or anything in it but plain arrays.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = array_members(archive)
            total = sum(info.file_size for info in members.values())
            check_expansion(str(path), total, path.stat().st_size)
            return {name: read_member(archive, info, path) for name, info in members.items()}
    except ArrayError:
        raise
    except Exception as error:  # zipfile raises a dozen kinds on damaged archives
        raise ArrayError(f"{path}: damaged, or no .npz: {error}") from error
