"""Which of MLflow's stores is meant, and whether it can be one."""

import os

from runs.common.addresses import absolute, sqlite_file, without_secrets
from runs.common.errors import ConfigError
from runs.common.files import nearest


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


def check_file(uri: str) -> None:
    """Refuse the address of a file that cannot be a sqlite store; others are not looked at.

    Raises:
        ConfigError: no permission, no folder for it, or another kind of file.
    """
    file = sqlite_file(uri)
    if file is None:
        return
    there = nearest(file)
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
