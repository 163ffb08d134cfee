"""Files kept between runs: content hashes for their keys, and writes that are whole or absent."""

import hashlib
import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import BinaryIO

import numpy as np
from torch import Tensor, nn


def digest(*parts: str | int | np.ndarray | Tensor) -> str:
    """SHA-256, in hex, of texts, numbers and arrays, an array's dtype and shape included.

    >>> digest("a", "bc") == digest("ab", "c")
    False
    """
    sha = hashlib.sha256()
    for part in parts:
        if isinstance(part, Tensor):
            part = part.detach().cpu().numpy()
        if isinstance(part, np.ndarray):
            sha.update(f"array {part.dtype.str} {part.shape}\0".encode())
            sha.update(np.ascontiguousarray(part).data)
        else:
            text = f"{type(part).__name__} {part}".encode()
            sha.update(len(text).to_bytes(8, "little") + text)
    return sha.hexdigest()


def digest_file(path: Path) -> str:
    """SHA-256 of a file's bytes, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest_weights(module: nn.Module) -> str:
    """SHA-256 of a module's parameters and buffers with their names."""
    state = module.state_dict()
    return digest(*(part for name in sorted(state) for part in (name, state[name])))


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write an ``.npz`` of plain arrays, whole or not at all."""
    write_atomically(path, lambda file: np.savez(file, **arrays))  # type: ignore[arg-type]


def write_atomically(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Let ``write`` fill a temporary file beside ``path``, flush it to disk and rename it.

    A reader sees the old file or the whole new one, whatever happens in between.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)  # mkstemp's file is the owner's alone; a cache is shared
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
