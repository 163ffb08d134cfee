"""What a user may have meant by a misspelt name."""

from collections.abc import Iterable
from difflib import get_close_matches

LONGEST_NAME = 100  # letters of a name that a near one is looked for; the search is quadratic


def nearest(name: str, known: Iterable[str]) -> str:
    """Return the end of a sentence that names the nearest known name, if one is near."""
    near = get_close_matches(name[:LONGEST_NAME], list(known), n=1, cutoff=0.5)
    return f"; did you mean {near[0]!r}?" if near else "."
