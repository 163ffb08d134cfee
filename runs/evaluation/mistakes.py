"""Refusals of a metric or a feature space, as a user's mistake."""

from collections.abc import Iterator
from contextlib import contextmanager

from runs.common.errors import ConfigError


@contextmanager
def user_mistakes() -> Iterator[None]:
    """Turn what a metric or a feature space refuses into a user's mistake."""
    try:
        yield
    except ValueError as error:
        raise ConfigError(f"evaluation: {error}") from error
