"""A user's mistake, and the help that its message gives."""

import re
from collections.abc import Iterable
from difflib import get_close_matches

LONGEST_NAME = 100  # letters of a name that a near one is looked for; the search is quadratic
# What may move a terminal's cursor, set its title or turn its text around: C0 and C1 but for tab
# and newline, the direction marks of Unicode; and lone surrogates, which no terminal can be sent.
UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)


class ConfigError(ValueError):
    """What a user asked for cannot be; the message says what arrived and what is allowed."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Return the end of a sentence that names the nearest known name, if one is near."""
    near = get_close_matches(name[:LONGEST_NAME], list(known), n=1, cutoff=0.5)
    return f"; did you mean {near[0]!r}?" if near else "."


def one_line(error: object, longest: int | None = None) -> str:
    """Return an error's text as one line, of at most `longest` letters."""
    return " ".join(str(error).split())[:longest]


def printable(text: str) -> str:
    """Return a text for a terminal: what would steer it comes as its escape, such as \\x1b.

    Names of files, of data and in archives are whatever their maker wrote.
    """
    return UNPRINTABLE.sub(lambda found: ascii(found[0])[1:-1], text)
