"""What a user may have meant by a misspelt name."""

from collections.abc import Iterable
from difflib import get_close_matches

LONGEST_NAME = 100  # letters of a name that a near one is looked for; the search is quadratic


def near(name: str, known: Iterable[str]) -> str | None:
    """Return the nearest known name, if one is near."""
    found = get_close_matches(name[:LONGEST_NAME], list(known), n=1, cutoff=0.5)
    return found[0] if found else None


def nearest(name: str, known: Iterable[str]) -> str:
    """Return the end of a sentence that names the nearest known name, if one is near."""
    found = near(name, known)
    return f"; did you mean {found!r}?" if found else "."
