"""Trees of tensors: dicts, sequences and dataclasses whose leaves are tensors."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

Tensors = list[Tensor]


def leaves(tree: object) -> Tensors:
    """Return the tensors of a tree, in order.

    Raises:
        TypeError: it holds something that is no tensor.
    """
    found: Tensors = []
    _gather(tree, found)
    return found


def _gather(tree: object, found: Tensors) -> None:
    if isinstance(tree, Tensor):
        found.append(tree)
    elif isinstance(tree, Mapping):
        for value in tree.values():
            _gather(value, found)
    elif isinstance(tree, list | tuple):
        for value in tree:
            _gather(value, found)
    elif names := _fields(tree):
        for name in names:
            _gather(getattr(tree, name), found)
    elif tree is not None:
        raise _foreign(tree)


def filled(tree: Any, tensors: Tensors) -> Any:
    """Return the tree with other tensors in place of its own, in order."""
    rest = iter(tensors)
    return mapped(tree, lambda _: next(rest))


def mapped(tree: Any, function: Callable[[Tensor], object]) -> Any:
    """Return the tree with `function` of each tensor in its place.

    Raises:
        TypeError: it holds something that is no tensor.
    """
    if isinstance(tree, Tensor):
        return function(tree)
    if isinstance(tree, Mapping):
        return {key: mapped(value, function) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return type(tree)(mapped(value, function) for value in tree)
    if names := _fields(tree):
        return type(tree)(**{name: mapped(getattr(tree, name), function) for name in names})
    if tree is None:
        return None
    raise _foreign(tree)


def _fields(value: object) -> Iterable[str]:
    """Return the names of a dataclass's fields, none for anything else.

    `dataclasses.fields` makes a new tuple at each call, and there are hundreds in a generation.
    """
    names: Iterable[str] = getattr(type(value), "__dataclass_fields__", ())
    return names


def _foreign(value: object) -> TypeError:
    return TypeError(f"a tree is of tensors, and this is a {type(value).__name__}: {value!r}")


def copy(sources: Sequence[Tensor], targets: Sequence[Tensor]) -> None:
    """Copy tensors, on a GPU by one kernel for each pair of types."""
    pairs = list(zip(sources, targets, strict=True))
    for types in dict.fromkeys((source.dtype, target.dtype) for source, target in pairs):
        alike = [pair for pair in pairs if (pair[0].dtype, pair[1].dtype) == types]
        torch._foreach_copy_([target for _, target in alike], [source for source, _ in alike])


def copies(tensors: Sequence[Tensor]) -> Tensors:
    """Return copies of tensors, made as `copy` makes them."""
    found = [torch.empty_like(tensor) for tensor in tensors]
    copy(tensors, found)
    return found
