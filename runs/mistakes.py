"""A user's mistake, and the help that its message gives."""

from collections.abc import Iterable
from difflib import get_close_matches


class ConfigError(ValueError):
    """What a user asked for cannot be; the message says what arrived and what is allowed."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Return the end of a sentence that names the nearest known name, if one is near."""
    near = get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean {near[0]!r}?" if near else "."
