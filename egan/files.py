"""Atomic files: temporary name, fsync, rename; also hashes and locks."""

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def fsync(path: Path) -> None:
    """Force a file's or folder's content to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Give a temporary path to write; on success it takes the place of `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}-{os.getpid()}{path.suffix}")
    try:
        yield temporary
        fsync(temporary)
        temporary.replace(path)
        fsync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def lock(descriptor: int, shared: bool = False) -> bool | None:
    """Take a lock on an open file or folder, which ends with this process.

    It is exclusive, or `shared` with others that share it.

    Returns:
        True: it is ours; False: another process has it; None: the file system has no locks.
    """
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


@contextmanager
def saving_tensors(path: Path) -> Iterator[None]:
    """Let safetensors save a file as any other file is saved.

    By itself it writes files that only their owner can read, whatever the umask, and has an error
    of its own for a full disk.

    Raises:
        OSError: the file could not be written.
    """
    from safetensors import SafetensorError

    path.touch()
    mode = path.stat().st_mode & 0o777
    try:
        yield
    except SafetensorError as error:
        raise OSError(f"{path.name}: {error}") from None
    path.chmod(mode)


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
