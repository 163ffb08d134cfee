"""The fields of nested pydantic models by name: their types, and the model that holds them."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo


def options(annotation: Any) -> tuple[Any, ...]:
    """Return what a type allows: the members of a union, nested ones too, else the type alone."""
    if get_origin(annotation) is Annotated:
        return options(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return tuple(inner for option in get_args(annotation) for inner in options(option))
    return (annotation,)


def is_model(annotation: Any) -> bool:
    """Return whether a type is a pydantic model."""
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def field_of(model: type[BaseModel], name: str) -> FieldInfo | None:
    """Return a model's field by its name or its alias."""
    for own, field in model.model_fields.items():
        if name in (own, field.alias):
            return field
    return None


def member(annotation: Any, tag: Any) -> type[BaseModel] | None:
    """Return the model of a union that a tag chooses: a value of a key, or the class's name."""
    for option in options(annotation):
        if is_model(option):
            if option.__name__ == tag:
                return option  # type: ignore[no-any-return]
            for field in option.model_fields.values():
                if get_origin(field.annotation) is Literal and tag in get_args(field.annotation):
                    chosen: type[BaseModel] = option
                    return chosen
    return None


def members(allowed: Sequence[Any], values: Mapping[Any, Any]) -> list[type[BaseModel]]:
    """Return the models that a section's values may be of: one, unless no tag chooses it."""
    models = [option for option in allowed if is_model(option)]
    if len(models) > 1:
        if ":" in str(values.get("name", "")):
            return []  # an import path: what that model's keys are, it says itself
        for value in values.values():
            for model in models if isinstance(value, str) else ():
                if member(model, value):
                    return [model]
    return models


def types_inside(
    allowed: Sequence[Any], name: str, values: Mapping[Any, Any]
) -> tuple[Any, ...] | None:
    """Return what a key allows inside a section of these types, with these values.

    None: no such key is known.
    """
    found = [
        field.annotation
        for model in members(allowed, values)
        if (field := field_of(model, name)) is not None
    ]
    found += [get_args(option)[1] for option in allowed if get_origin(option) is dict]
    return tuple(option for kind in found for option in options(kind)) if found else None


def types_at(model: type[BaseModel], key: str, values: Any) -> tuple[Any, ...] | None:
    """Return what a dotted key allows in a model's values; None: no such key is known."""
    allowed: tuple[Any, ...] | None = (model,)
    for name in key.split("."):
        if allowed is None:
            return None
        values = values if isinstance(values, Mapping) else {}
        allowed = types_inside(allowed, name, values)
        values = values.get(name)
    return allowed


def locate(
    model: type[BaseModel], location: Sequence[int | str]
) -> tuple[str, type[BaseModel] | None]:
    """Return the dotted key of an error's location, less unions' tags, and the model around it."""
    inside: Any = model
    holder: type[BaseModel] | None = None
    parts: list[str] = []
    for part in location:
        if is_model(inside):
            holder = inside
            parts.append(str(part))
            field = field_of(inside, str(part))
            inside = _section(field.annotation) if field else None
        elif chosen := member(inside, part):
            inside = holder = chosen
        elif isinstance(part, int) or (_is_dict(inside) and part != "[key]"):
            parts.append(str(part))
            inside = _item(inside, part)
    return ".".join(parts), holder


@cache
def leaf_keys(model: type[BaseModel]) -> tuple[str, ...]:
    """Return the dotted keys of a model that are no sections, each once."""
    found: dict[str, None] = {}  # in their order
    for name, field in model.model_fields.items():
        own = field.alias or name
        sections = [option for option in options(field.annotation) if is_model(option)]
        inside = [f"{own}.{key}" for section in sections for key in leaf_keys(section)]
        found |= dict.fromkeys(inside or [own])
    return tuple(found)


def named_values(allowed: Sequence[Any]) -> Iterator[Any]:
    """Yield the values that types name one by one, as `Literal` does."""
    for option in allowed:
        if get_origin(option) is Literal:
            yield from get_args(option)


def _section(annotation: Any) -> Any:
    """Return the model of a section that may be left out, or the annotation as it is."""
    given = [option for option in options(annotation) if option is not NoneType]
    return given[0] if len(given) == 1 else annotation


def _item(annotation: Any, place: int | str) -> Any:
    """Return what a tuple holds at a place; None: it is no tuple, or has no such place."""
    for option in options(annotation):
        if get_origin(option) is tuple and isinstance(place, int):
            kinds = get_args(option)
            return kinds[place] if place < len(kinds) else None
    return None


def _is_dict(annotation: Any) -> bool:
    return any(get_origin(option) is dict for option in options(annotation))
