"""What a user names by import path, `package.module:name`: a mutation, or a backbone's class."""

from importlib import import_module
from typing import Any

from pydantic import ValidationInfo

WITHOUT_IMPORTS = {"imports": False}  # a model's validation context: what is named stays a name


def imports(info: ValidationInfo) -> bool:
    """Return whether a model's validation is to import what its values name."""
    return (info.context or {}) != WITHOUT_IMPORTS


def import_named(path: str) -> Any:
    """Return what an import path names.

    Raises:
        ValueError: it cannot be imported; the message says why, and where Python looks.
    """
    module, _, attribute = path.partition(":")
    try:
        return getattr(import_module(module), attribute)
    except Exception as error:  # a user's module may raise anything while it is imported
        missing = isinstance(error, ModuleNotFoundError) and module.startswith(error.name or "?")
        where = (
            "; the module's folder must be in PYTHONPATH, on every machine with a worker"
            if missing
            else ""
        )
        raise ValueError(
            f"{path!r} cannot be imported: {type(error).__name__}: {error}{where}"
        ) from error
