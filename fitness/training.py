"""What the training of a small network of ours needs, so that its bits follow from a seed."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch import nn

N = TypeVar("N", bound=nn.Module)


def initialised(build: Callable[[], N], generator: torch.Generator) -> N:
    """Return a network whose first values come from `generator`, never from the global one."""
    with torch.random.fork_rng():  # `to_empty` of a network on `meta` imports a symbolic compiler
        network = build()
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu", generator=generator)
            assert module.bias is not None
            nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d):
            module.reset_parameters()
    return network


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute on one thread: another number of threads gives other bits."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
