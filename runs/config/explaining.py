"""A mistake in a configuration as a message: the key, what arrived, what is allowed."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import groupby
from reprlib import Repr
from typing import Any, TypeVar, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from fitness.suggestion import near, nearest
from runs.common.errors import ConfigError
from runs.config.fields import field_of, is_model, leaf_keys, locate, named_values, options
from runs.config.values import Mistyped, typed

BRIEF = Repr()  # aliases can make a short text a value that no memory holds
BRIEF.maxstring = BRIEF.maxother = 60
BRIEF.maxlevel = 2
MISTAKES = 20  # told of at once

Model = TypeVar("Model", bound=BaseModel)


def checked(
    model: type[Model],
    values: Mapping[str, Any],
    what: str,
    context: Mapping[str, Any] | None = None,
) -> Model:
    """Return a model of these values, each as the type of its key.

    `what` names their source; `context` is for pydantic's validators.

    Raises:
        ConfigError: with one line for each mistake.
    """
    try:
        return model.model_validate(typed(values, (model,)), context=context)
    except ValidationError as error:
        lines = list(_lines(model, error.errors()))
        shown = [f"  {line()}" for line in lines[:MISTAKES]]
        if len(lines) > MISTAKES:
            shown.append(f"  and {len(lines) - MISTAKES} more")
        raise ConfigError("\n".join([f"{what} is not valid:", *shown])) from None


def _lines(model: type[BaseModel], details: list[ErrorDetails]) -> Iterator[Callable[[], str]]:
    """Yield what makes the line of each mistaken key: a union's members each have a complaint."""
    for (key, _), same in groupby(
        details, lambda d: (locate(model, d["loc"])[0], d["type"] in WHOLE)
    ):
        found = list(same)
        if key and len(found) > 1 and not any(detail["type"] in WHOLE for detail in found):
            yield partial(_refused, key, found)
        else:
            yield from (partial(_explain, model, detail) for detail in found)


# Mistakes of one value in the place of several.
PARTS = ("tuple_type", "list_type", "dict_type", "model_type", "model_attributes_type")
# Mistakes that have a line each.
WHOLE = ("extra_forbidden", "missing", "union_tag_invalid", "union_tag_not_found", "value_error")
# What is needed, where pydantic says it in words of Python.
PLAIN = {
    "bool_parsing": "true or false is needed",
    "bool_type": "true or false is needed",
    "too_long": "at most {max_length} are needed, not {actual_length}",
    "too_short": "at least {min_length} are needed, not {actual_length}",
}


def _refused(key: str, details: list[ErrorDetails]) -> str:
    """Return what is wrong with a value that fits none of the types of its key."""
    value = details[0]["input"]
    if isinstance(value, Mistyped):
        return f"{key}: {_shown(value)} is not allowed: {value.reason}"
    wanted = [detail["msg"].removeprefix("Input should be ") for detail in details]
    return f"{key}: {_shown(value)} is not allowed: it should be {', or '.join(wanted)}"


def _explain(model: type[BaseModel], detail: ErrorDetails) -> str:
    """Return one line for one of pydantic's errors."""
    key, holder = locate(model, detail["loc"])
    value = detail["input"]
    if isinstance(value, Mistyped):
        return f"{key}: {_shown(value)} is not allowed: {value.reason}"
    if detail["type"] == "extra_forbidden":
        allowed = sorted(f.alias or n for n, f in holder.model_fields.items()) if holder else []
        meant = _meant(key, allowed, model)
        return f"{key}: unknown key{meant} Allowed here: {', '.join(allowed)}"
    if detail["type"] == "missing":
        return f"{key}: is required"
    if detail["type"] == "union_tag_invalid":
        context = detail["ctx"]
        known = [tag.strip(" '") for tag in context["expected_tags"].split(",")]
        name = f"{key}.{context['discriminator'].strip(chr(39))}"
        hint = nearest(context["tag"], known)
        return f"{name}: no {context['tag']!r}{hint} Known: {', '.join(known)}"
    if detail["type"] == "union_tag_not_found":
        return f"{key}.{detail['ctx']['discriminator'].strip(chr(39))}: is required"
    if detail["type"] in PARTS and holder is not None:
        field = field_of(holder, str(detail["loc"][-1]))
        if field is not None and (form := _form(value, options(field.annotation))):
            return f"{key}: {_shown(value)} is not allowed: {form}"
    message = detail["msg"].removeprefix("Value error, ")
    if detail["type"] in PLAIN:
        message = PLAIN[detail["type"]].format(**detail.get("ctx", {}))
    if detail["type"] == "value_error":
        return f"{key}: {message}" if key else message
    if detail["type"] == "literal_error":
        field = field_of(holder, str(detail["loc"][-1])) if holder else None
        names = map(str, named_values(options(field.annotation))) if field else ()
        return f"{key}: {_shown(value)} is not allowed{nearest(str(value)[:60], names)} {message}"
    return f"{key}: {_shown(value)} is not allowed: {message[0].lower()}{message[1:]}"


def _form(value: Any, allowed: Sequence[Any]) -> str:
    """Return what is needed where a key takes a list, a mapping or a section; nothing if none."""
    if models := [option for option in allowed if is_model(option)]:
        named = [[f.alias or n for n, f in model.model_fields.items()] for model in models]
        keys = [key for key in named[0] if all(key in others for others in named)]
        return f"this is a section; set one of its keys: {', '.join(keys)}"
    for option in allowed:
        if get_origin(option) is dict:
            return "a mapping is needed, such as {name: value}"
        if get_origin(option) in (list, tuple):
            kinds, item = get_args(option), "a" if value is None else _shown(value).strip("'")
            items = [item] * (1 if Ellipsis in kinds or "," in item else len(kinds))
            return f"a list is needed, such as [{', '.join(items)}]"
    return ""


def _meant(key: str, allowed: list[str], model: type[BaseModel]) -> str:
    """Return the end of a sentence that names the key that was meant, here or elsewhere."""
    section, _, name = key.rpartition(".")
    everywhere = leaf_keys(model)
    if key in everywhere:
        return f"; other kinds of the section {section} have it."
    found = near(name, [*allowed, *(known.rpartition(".")[2] for known in everywhere)])
    if found is None or found in allowed:
        return nearest(name, allowed)
    keys = [repr(known) for known in everywhere if known.rpartition(".")[2] == found]
    return f"; did you mean {' or '.join(keys)}?"


def _shown(value: Any) -> str:
    text = "null" if value is None else BRIEF.repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
