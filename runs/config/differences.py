"""Where two configurations differ."""

from collections.abc import Iterator, Mapping
from typing import Any


def differences(former: Any, now: Any, key: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Yield the dotted keys whose values differ, with both values; None where a key is absent."""
    if isinstance(former, Mapping) and isinstance(now, Mapping):
        for name in dict.fromkeys((*former, *now)):
            inner = f"{key}.{name}" if key else str(name)
            yield from differences(former.get(name), now.get(name), inner)
    elif former != now:
        yield key, former, now


def told(former: Any, now: Any) -> list[str]:
    """Return a line for each key whose values differ, for a message."""
    return [
        f"  {key}: {shown(there)} there, {shown(here)} here"
        for key, there, here in differences(former, now)
    ]


def shown(value: Any) -> str:
    """Return a value as a message shows it."""
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return "not set" if value is None else str(value)
