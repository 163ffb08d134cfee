"""Addresses of MLflow's stores: which one is meant, absolute, and told without its secrets."""

import os
import re
from pathlib import Path

from runs.common.errors import ConfigError

PASSWORD = re.compile(r"(://[^:/@\s]*):[^@\s]*(?=@)")  # of scheme://user:password@host
HTTP_PASSWORD = re.compile(r"(https?://[^:/@\s]*):[^@/\s]*(?=@)", re.IGNORECASE)
SECRET_KEY = re.compile(r"(?<=[?&])[^=&\s]*(secret|passw|token|access_key)[^=&\s]*=[^&\s]*&?", re.I)
SQLITE = re.compile(r"^(sqlite(?:\+\w+)?:///)([^?]+)(.*)$")
NO_PATHS = ("databricks", "databricks-uc", "uc")  # names of services, without a scheme
SCHEMES = {"file", "http", "https", "mssql", "mysql", "postgresql", "sqlite", *NO_PATHS}


def without_secrets(text: str) -> str:
    """Return an address, or a text with addresses in it, without passwords and tokens."""
    text = HTTP_PASSWORD.sub(r"\1", text)
    parts = re.split(r"(\s+)", text)
    shown = [p if re.match(r"\W*https?://", p) else PASSWORD.sub(r"\1", p) for p in parts]
    return re.sub(r"[?&]+(?=\s|$)", "", SECRET_KEY.sub("", "".join(shown)))


def absolute(uri: str) -> str:
    """Return an address that means the same store from every folder."""
    found = SQLITE.match(uri)
    if found and found[2] != ":memory:":
        return f"{found[1]}{Path(found[2]).absolute()}{found[3]}"
    if "://" in uri or ":" in uri or uri in NO_PATHS:
        return uri
    return str(Path(uri).absolute())


def sqlite_file(uri: str) -> Path | None:
    """Return the file of a sqlite store; None: it is another kind of store, or in memory."""
    found = SQLITE.match(uri)
    return Path(found[2]) if found and found[2] != ":memory:" else None


def is_gone(uri: str) -> bool:
    """Return whether an address is that of a file that is not there."""
    file = sqlite_file(uri)
    return file is not None and not file.exists()


def choose(configured: str | None, variable: str | None, kept: str | None, default: str) -> str:
    """Return the absolute address of the store to log to.

    A relative one, or none, only says where a run's record begins: the record goes on in the store
    where it is, whatever folder the run is continued from.

    Args:
        configured: `tracking.uri`, absolute and without a password.
        variable: what MLFLOW_TRACKING_URI says; it may hold the password of the store.
        kept: the store that has the run already.
        default: MLflow's own.
    """
    named = absolute(variable) if variable else None
    for store in (configured, kept):
        if store and named and without_secrets(named) == store:
            return named
    if configured:
        return absolute(configured)
    if named and named == variable:
        return named
    if kept and not is_gone(kept):
        return kept
    return named or absolute(default)


def check_address(uri: str) -> None:
    """Refuse an address that can never work, without asking the store.

    Raises:
        ConfigError: no kind of store that MLflow knows, or a file that cannot be one.
    """
    scheme = uri.partition(":")[0].partition("+")[0].lower() if ":" in uri else ""
    if scheme and scheme not in SCHEMES:
        raise ConfigError(
            f"MLflow knows no store of the kind {scheme!r}: {without_secrets(uri)}. Write "
            f"sqlite:////folder/mlflow.db or https://host; kinds: {', '.join(sorted(SCHEMES))}"
        )
    file = sqlite_file(uri)
    if file is not None:
        _check_file(file)


def _check_file(file: Path) -> None:
    there = next(path for path in (file, *file.parents) if path.exists())
    if there == file and not file.is_file():
        raise ConfigError(f"MLflow's store {file} is not a file; name one, such as mlflow.db")
    if there != file and not there.is_dir():
        raise ConfigError(f"MLflow's store {file} cannot be made: {there} is not a folder")
    if not os.access(there, os.W_OK):
        raise ConfigError(f"MLflow's store {file} cannot be written: no permission for {there}")
    if there == file:
        with file.open("rb") as content:
            start = content.read(16)
        if start and start != b"SQLite format 3\0":
            raise ConfigError(f"MLflow's store {file} holds no sqlite database; name another file")
