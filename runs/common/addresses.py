"""Addresses of stores: the same from every folder, and told without their secrets."""

import re
from pathlib import Path

PASSWORD = re.compile(r"(://[^:/@\s]*):[^@\s]*(?=@)")  # of scheme://user:password@host
HTTP_PASSWORD = re.compile(r"(https?://[^:/@\s]*):[^@/\s]*(?=@)", re.IGNORECASE)
SECRET_KEY = re.compile(r"(?<=[?&])[^=&\s]*(secret|passw|token|access_key)[^=&\s]*=[^&\s]*&?", re.I)
SERVICES = ("databricks", "databricks-uc", "uc")  # names, not paths
SQLITE = re.compile(r"^(sqlite(?:\+\w+)?:///)([^?]+)(.*)$")


def without_secrets(text: str) -> str:
    """Return an address, or a text with addresses in it, without passwords and tokens."""
    text = HTTP_PASSWORD.sub(r"\1", text)
    parts = re.split(r"(\s+)", text)
    shown = [p if re.match(r"\W*https?://", p) else PASSWORD.sub(r"\1", p) for p in parts]
    return re.sub(r"[?&]+(?=\s|$)", "", SECRET_KEY.sub("", "".join(shown)))


def sqlite_file(uri: str) -> Path | None:
    """Return the file of a sqlite database; None: it is in memory, or no sqlite's address."""
    found = SQLITE.match(uri)
    return Path(found[2]) if found and found[2] != ":memory:" else None


def absolute(uri: str) -> str:
    """Return an address that means the same store from every folder."""
    found = SQLITE.match(uri)
    if found and found[2] != ":memory:":
        return f"{found[1]}{Path(found[2]).absolute()}{found[3]}"
    return uri if ":" in uri or uri in SERVICES else str(Path(uri).absolute())
