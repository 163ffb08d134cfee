"""The objects of a store under one URI, through pyarrow's file systems."""

import shutil
from pathlib import Path
from typing import IO, Any

from runs.common.errors import ConfigError
from runs.common.files import LARGEST_TEXT
from runs.mirror.marks import MARK, Mark

BUCKETS = ("s3", "gs", "gcs")  # kinds of stores that have them
CHUNK = 8 << 20  # bytes that are read at a time


class Store:
    """The objects under a URI, by their names relative to it."""

    def __init__(self, uri: str) -> None:
        """Open the store.

        Raises:
            ConfigError: no such kind of store, or no bucket is named.
            OSError: it cannot be reached.
        """
        from pyarrow import fs

        kind, _, place = uri.partition("?")[0].partition("://")
        if kind in BUCKETS and not place.strip("/"):
            raise ConfigError(f"{uri} names no bucket: write {kind}://bucket/prefix")
        try:
            self._files, root = fs.FileSystem.from_uri(uri)
        except ValueError as error:
            raise ConfigError(
                f"checkpoint.mirror: {uri} cannot be used: {error}. Write s3://bucket/prefix, "
                "gs://bucket/prefix, hdfs://host/path or file:///path"
            ) from None
        self.uri = uri
        self._root = self._files.normalize_path(root).rstrip("/")
        self._all = fs.FileSelector(self._root, recursive=True, allow_not_found=True)

    def names(self) -> dict[str, int]:
        """Return the size of each object by its name."""
        found = self._files.get_file_info(self._all)
        return {info.path[len(self._root) + 1 :]: info.size for info in found if info.is_file}

    def put(self, name: str, source: IO[bytes]) -> None:
        """Write an object."""
        with self._create(f"{self._root}/{name}") as stream:
            shutil.copyfileobj(source, stream, CHUNK)

    def put_bytes(self, name: str, content: bytes) -> None:
        """Write a small object."""
        with self._create(f"{self._root}/{name}") as stream:
            stream.write(content)

    def read(self, name: str) -> bytes:
        """Return a small object's content."""
        with self._files.open_input_stream(f"{self._root}/{name}") as stream:
            return bytes(stream.read())

    def fetch(self, name: str, path: Path) -> None:
        """Copy an object to a file."""
        with self._files.open_input_stream(f"{self._root}/{name}") as stream, path.open("wb") as to:
            shutil.copyfileobj(stream, to, CHUNK)

    def remove(self, name: str) -> None:
        """Remove an object."""
        self._files.delete_file(f"{self._root}/{name}")

    def newest(self, names: dict[str, int] | None = None) -> Mark | None:
        """Return the newest mark that reads; None: there never was one.

        Raises:
            ConfigError: there are marks, and none reads.
        """
        names = self.names() if names is None else names
        marks = sorted(filter(MARK.match, names), reverse=True)
        reason = ""
        for name in marks:
            try:
                if names[name] > LARGEST_TEXT:
                    raise ValueError(f"{names[name]} bytes, more than {LARGEST_TEXT}")
                return Mark.parse(self.read(name).decode())
            except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
                reason = f"{name}: {error}"
        if marks:
            raise ConfigError(f"the run in {self.uri} cannot be read: {reason}")
        return None

    def _create(self, path: str) -> Any:
        try:
            return self._files.open_output_stream(path)
        except FileNotFoundError:  # file systems want folders, object stores have none
            self._files.create_dir(path.rpartition("/")[0], recursive=True)
            return self._files.open_output_stream(path)
