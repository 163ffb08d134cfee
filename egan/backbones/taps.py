"""A look into a network function while it is called, and changes there: forward hooks.

The network itself is not changed, and no hook is left behind, but by `attach`.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from egan.backbones.function import NetworkFunction

Change = Callable[[Tensor], Tensor]


@contextmanager
def tapped(function: NetworkFunction, layers: Sequence[str]) -> Iterator[dict[str, Tensor]]:
    """Give a dictionary that each call fills with copies of the outputs of some layers."""
    seen: dict[str, Tensor] = {}

    def keep(layer: str) -> Callable[..., None]:
        def hook(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
            seen[layer] = output.detach().clone()  # what comes next may work in place

        return hook

    handles = [
        function.module.get_submodule(layer).register_forward_hook(keep(layer)) for layer in layers
    ]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def changed(function: NetworkFunction, layer: str, change: Change) -> Iterator[None]:
    """Put `change` of a layer's output in its place in every call."""
    handle = attach(function, layer, change)
    try:
        yield
    finally:
        handle.remove()


def attach(function: NetworkFunction, layer: str, change: Change) -> RemovableHandle:
    """Put `change` of a layer's output in its place from now on, until the handle removes it."""

    def hook(_module: nn.Module, _inputs: Any, output: Tensor) -> Tensor:
        return change(output)

    return function.module.get_submodule(layer).register_forward_hook(hook)


@contextmanager
def listed(function: NetworkFunction) -> Iterator[dict[str, tuple[int, ...]]]:
    """Give a dictionary that one call fills with the layers whose outputs are maps, in order.

    The values are the maps' shapes, (C, H, W) with more than one pixel. A module that is called
    more than once is none of them.
    """
    found: dict[str, tuple[int, ...]] = {}
    calls: dict[str, int] = {}

    def note(layer: str) -> Callable[..., None]:
        def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
            calls[layer] = calls.get(layer, 0) + 1
            maps = isinstance(output, Tensor) and output.dim() == 4
            if maps and output.shape[2] * output.shape[3] > 1 and calls[layer] == 1:
                found[layer] = tuple(output.shape[1:])
            else:
                found.pop(layer, None)

        return hook

    handles = [
        module.register_forward_hook(note(layer))
        for layer, module in function.module.named_modules()
        if layer
    ]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()
