"""Where what is costly to make is kept between runs."""

import os
from pathlib import Path


def cache_folder() -> Path:
    """Return the project's folder in the user's cache."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "evolutionary-gan"
