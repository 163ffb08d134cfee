"""A value's type comes from its key, not from what YAML makes of its letters.

YAML 1.1 reads `010` as 8, `1:30` as 90, `no` as false and `2024-01-01` as a date. Here an unquoted
value stays the text that was typed until the model of its key says what it is to be; a text that
is no such value is refused, and named.
"""

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import NoneType
from typing import Any, get_args, get_origin

from runs.config.fields import is_model, named_values, options, types_inside

NULL = frozenset(("", "~", "null", "Null", "NULL"))
TRUE = frozenset(("true", "yes", "on"))
FALSE = frozenset(("false", "no", "off"))
WHOLE = re.compile(r"[+-]?(0|[1-9][0-9]*(_[0-9]+)*)")
NUMBER = re.compile(r"[+-]?([0-9]+(_[0-9]+)*(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")
LONGEST_NUMBER = 100  # letters; Python prints no more than 4,300 digits


class Plain(str):
    """The text of an unquoted YAML value."""

    __slots__ = ()


class Mistyped:
    """A value that is none of its key's type: what arrived, and why it is refused.

    It stands in the place of the value, so that it is told of with the other mistakes.
    """

    def __init__(self, arrived: Any, reason: str) -> None:
        self.arrived = arrived
        self.reason = reason

    def __repr__(self) -> str:
        return repr(self.arrived)


def typed(value: Any, allowed: Sequence[Any]) -> Any:
    """Return a value as one of the types of its key, or a `Mistyped`; so all that it holds, too.

    What the types leave open (`Any`) stays as it was typed. The value of an unknown key becomes
    what it looks like: the key may be one of a model that is imported later.
    """
    if isinstance(value, Mapping):
        if is_text(allowed):
            return Mistyped(dict(value), "a text is needed; put one with braces in quotes")
        return {_name(key): _inside(value, key, allowed) for key in value}
    if isinstance(value, list | tuple):
        if is_text(allowed):
            return Mistyped(value, "a text is needed, not a list; put one with brackets in quotes")
        kinds = _items(allowed, len(value))
        return [typed(item, kind) for item, kind in zip(value, kinds, strict=True)]
    if isinstance(value, str):
        return _scalar(value, allowed)
    if isinstance(value, bool) and bool not in allowed and (kind := _number_kind(allowed)):
        return Mistyped(str(value).lower(), f"{kind} is needed")
    return value


def resolved(value: Any) -> Any:
    """Return what is still as it was typed as the value that it looks like."""
    if isinstance(value, Mapping):
        return {_name(key): resolved(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [resolved(item) for item in value]
    if not isinstance(value, Plain):
        return value
    if value in NULL:
        return None
    if value.lower() in TRUE | FALSE:
        return value.lower() in TRUE
    number = to_number(value)
    return str(value) if isinstance(number, str) else number


def is_text(allowed: Sequence[Any]) -> bool:
    """Return whether a key of these types takes a text, and nothing made of parts."""
    return any(option in (str, Path) for option in allowed) and not has_parts(allowed)


def has_parts(allowed: Sequence[Any]) -> bool:
    """Return whether a value of one of these types may be a list, a mapping or a section."""
    return any(
        option in (Any, list, tuple, dict)
        or is_model(option)
        or get_origin(option) in (list, tuple, dict)
        for option in allowed
    )


def to_number(text: str) -> int | float | str:
    """Return the decimal number that a text is, or the reason why it is none."""
    text = text.strip()
    if len(text) > LONGEST_NUMBER:
        return "a number of too many digits"
    if WHOLE.fullmatch(text):
        return int(text)
    digits = text.lstrip("+-")
    if digits.isascii() and digits.isdigit():
        octal = "" if set(digits) & set("89") else f", or {int(digits, 8)} if it is octal"
        return f"a leading 0 is ambiguous; write {int(digits)}{octal}"
    if re.fullmatch(r"[0-9]+(:[0-9]+(\.[0-9]*)?)+", digits):
        return "a number is needed, and this looks like a time; write one decimal number"
    if digits.lower().lstrip(".") in ("nan", "inf", "infinity"):
        return "a finite number is needed"
    if not NUMBER.fullmatch(text):
        return ""
    number = float(text)
    return number if math.isfinite(number) else "a finite number is needed"


def _scalar(text: str, allowed: Sequence[Any]) -> Any:
    plain = isinstance(text, Plain)
    if plain and text in NULL and (NoneType in allowed or Path in allowed):
        return None
    named = list(named_values(allowed))
    for value in named:
        if text == str(value):
            return value
    if plain and bool in allowed and text.lower() in TRUE | FALSE:
        return text.lower() in TRUE
    if is_text(allowed):
        if plain and text in NULL:
            return Mistyped(
                str(text),
                'a text is needed; a YAML file may have the text null as "null", in quotes',
            )
        return str(text)
    if kind := _number_kind(allowed):
        number = to_number(text)
        if not isinstance(number, str):
            return number
        others = "".join(f" or {value!r}" for value in named)
        return Mistyped(str(text), number or f"{kind}{others} is needed")
    if Any in allowed:
        return text
    if any(get_origin(option) in (list, tuple) for option in allowed):
        return resolved(text)
    return None if plain and text in NULL else str(text)


def _number_kind(allowed: Sequence[Any]) -> str:
    """Return what to call the number that a key takes; nothing if it takes none."""
    if float in allowed:
        return "a number"
    return "a whole number" if int in allowed else ""


def _inside(values: Mapping[Any, Any], key: Any, allowed: Sequence[Any]) -> Any:
    inside = types_inside(allowed, str(key), values)
    return resolved(values[key]) if inside is None else typed(values[key], inside)


def _items(allowed: Sequence[Any], count: int) -> list[Sequence[Any]]:
    """Return the types of a list's items."""
    for option in allowed:
        if get_origin(option) in (list, tuple):
            kinds = [options(kind) for kind in get_args(option) if kind is not Ellipsis]
            return [kinds[min(place, len(kinds) - 1)] for place in range(count)]
    return [(Any,)] * count


def _name(key: Any) -> Any:
    return str(key) if isinstance(key, str) else key
