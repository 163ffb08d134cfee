"""Folders and .zip archives as trees of files, read by name; nothing is ever extracted.

Names are relative to the tree, parted by `/`, without `./`.
"""

import os
import re
import stat
import zipfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Protocol

from egan.data.decoding import BEGINNING, kind_of
from egan.data.npz import check_expansion
from egan.data.source import DataError, inside

MAX_BYTES = 2**28
"""A file, or unpacked .zip entry, of more bytes is refused."""
SMALL = 2**20
"""Bytes that any .zip entry may unpack to; an image's file hardly shrinks in a .zip."""
_DRIVE = re.compile(r"[A-Za-z]:[/\\]")


class Tree(Protocol):
    """A folder or an archive, listed once.

    Attributes:
        path: where it lies.
        names: of its files, sorted.
        unread: what cannot be read as a file, with the reason: (reason, name).
    """

    path: Path
    names: list[str]
    unread: list[tuple[str, str]]

    def read(self, name: str) -> bytes:
        """Return a file's content; whatever the file system or zipfile raises."""


class Folder:
    """A folder and all below it; links to folders are not followed."""

    def __init__(self, path: Path) -> None:
        """List the files.

        Raises:
            DataError: a folder that cannot be listed, or a link to one.
        """
        self.path = path
        self.names: list[str] = []
        self.unread: list[tuple[str, str]] = []

        def fail(error: OSError) -> None:
            raise DataError(f"{error.filename}: cannot be read: {error.strerror}") from error

        for folder, folders, files in os.walk(path, onerror=fail):
            for name in folders:
                if (entry := Path(folder, name)).is_symlink():
                    raise DataError(
                        f"{entry}: a symbolic link to a folder, which is not followed; a data "
                        "folder must hold its files: copy what the link leads to"
                    )
            for name in files:
                self._add(Path(folder, name))
        self.names.sort()

    def _add(self, file: Path) -> None:
        name = file.relative_to(self.path).as_posix()
        if file.is_file():
            self.names.append(name)
        else:
            broken = file.is_symlink() and not file.exists()
            self.unread.append(("broken link" if broken else "not a regular file", name))

    def read(self, name: str) -> bytes:
        """Return a file's content.

        Raises:
            DataError: too large, or a link out of the folder.
        """
        file = self.path / name
        if file.is_symlink():
            inside(self.path, file)
        _check_size(file.stat().st_size)
        return file.read_bytes()


class Archive:
    """A .zip, whose entries are read one by one."""

    def __init__(self, path: Path) -> None:
        """List the entries.

        Raises:
            DataError: not a .zip; an entry that would leave the folder that it were extracted to
                (none ever is, but whoever made such an archive meant harm); a link; or two entries
                of one name that differ.
        """
        self.path = path
        try:
            self._archive = zipfile.ZipFile(path)
        except Exception as error:  # zipfile raises a dozen kinds on damaged archives
            with path.open("rb") as file:
                kind = kind_of(file.read(BEGINNING))
            raise DataError(f"{path}: not a readable .zip ({error}): {kind}") from error
        self._entries: dict[str, zipfile.ZipInfo] = {}
        for info in self._archive.infolist():
            self._check(info)
            if not info.is_dir():
                self._add(info)
        self.names = sorted(self._entries)
        self.unread: list[tuple[str, str]] = []

    def _check(self, info: zipfile.ZipInfo) -> None:
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

    def _add(self, info: zipfile.ZipInfo) -> None:
        name = PurePosixPath(info.filename).as_posix()
        other = self._entries.get(name)
        if other is not None and (other.CRC, other.file_size) != (info.CRC, info.file_size):
            raise DataError(
                f"{self.path}: holds two different entries {name}, of {other.file_size} and "
                f"{info.file_size} bytes; make the archive anew"
            )
        self._entries[name] = info

    def read(self, name: str) -> bytes:
        """Return an entry's content.

        Raises:
            DataError: too large.
            ArrayError: it claims to unpack to more than its size can hold.
        """
        info = self._entries[name]
        _check_size(info.file_size)  # the reader stops there, whatever the entry unpacks to
        check_expansion(name, info.file_size, info.compress_size, SMALL)
        return self._archive.read(info)


def open_tree(path: Path) -> Tree:
    """List a folder or a .zip.

    Raises:
        DataError: there is none, or see `Folder` and `Archive`; or a name that is not UTF-8.
    """
    if not path.exists():
        raise DataError(f"{path}: no such folder or .zip")
    tree: Tree = Folder(path) if path.is_dir() else Archive(path)
    for name in tree.names:
        if not _is_text(name):
            raise DataError(f"{path}: the file name {name!r} is not UTF-8; rename it")
    return tree


def suffixes(names: Iterable[str]) -> Counter[str]:
    """Count files by the ends of their names, such as `.gif`, in lower case."""
    return Counter(PurePosixPath(name).suffix.lower() for name in names)


def _check_size(size: int) -> None:
    if size > MAX_BYTES:
        raise DataError(f"{size} bytes, more than {MAX_BYTES}")


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:  # bytes of a folder that are none come as lone surrogates
        return False
    return True
