"""A user's mistake, and texts that a terminal can be sent."""

import re

# What may move a terminal's cursor, set its title or turn its text around: C0 and C1 but for tab
# and newline, the direction marks of Unicode; and lone surrogates, which no terminal can be sent.
UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)


class ConfigError(ValueError):
    """A user's request is not possible; the message says what arrived and what is allowed."""


def printable(text: str) -> str:
    """Return a text for a terminal: what would steer it comes as its escape, such as \\x1b.

    Names of files, of data and in archives are whatever their maker wrote.
    """
    return UNPRINTABLE.sub(lambda found: ascii(found[0])[1:-1], text)
