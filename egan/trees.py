"""Trees of tensors: dicts, sequences and dataclasses, with tensors for leaves."""

from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any

from torch import Tensor

Tensors = list[Tensor]


def leaves(tree: object) -> Tensors:
    """Return the tensors of a tree, in order.

    Raises:
        TypeError: it holds something else than tensors.
    """
    found: Tensors = []
    mapped(tree, found.append)
    return found


def filled(tree: Any, tensors: Tensors) -> Any:
    """Return the tree with other tensors in place of its own, in order."""
    rest = iter(tensors)
    return mapped(tree, lambda _: next(rest))


def mapped(tree: Any, function: Callable[[Tensor], object]) -> Any:
    """Return the tree with `function` of each tensor in its place.

    Raises:
        TypeError: it holds something else than tensors.
    """
    if isinstance(tree, Tensor):
        return function(tree)
    if isinstance(tree, Mapping):
        return {key: mapped(value, function) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return type(tree)(mapped(value, function) for value in tree)
    if is_dataclass(tree) and not isinstance(tree, type):
        values = {f.name: mapped(getattr(tree, f.name), function) for f in fields(tree)}
        return replace(tree, **values)
    if tree is None:
        return None
    raise TypeError(f"a tree is of tensors, and this is a {type(tree).__name__}: {tree!r}")
