"""Errors as text."""


def one_line(error: object, longest: int | None = None) -> str:
    """Return an error's text as one line, of at most `longest` characters."""
    return " ".join(str(error).split())[:longest]
