"""Published networks' weights: read from a file, and held against the architecture."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from fitness.features.base import WeightsError


def read_state(path: Path) -> dict[str, Tensor]:
    """Return a file's state_dict.

    Raises:
        WeightsError: the file cannot be read, or holds something else.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file fails in many ways, all of them meaning this
        raise WeightsError(f"{path} cannot be read as PyTorch weights: {error}") from error
    if not isinstance(state, Mapping):
        raise WeightsError(f"{path} holds a {type(state).__name__}; a state_dict is required")
    kinds = [str(name) for name, value in state.items() if not isinstance(value, Tensor)]
    if kinds:
        raise WeightsError(f"{path} holds more than tensors: {', '.join(kinds[:3])}")
    return {str(name): value for name, value in state.items()}


def load_state(network: nn.Module, state: Mapping[str, Tensor], name: str, path: Path) -> nn.Module:
    """Return `network` with tensors of its own types from `state`, in evaluation mode.

    Args:
        network: the architecture, which may be on the `meta` device.
        state: exactly the network's tensors, by name.
        name: what the message calls the network.
        path: the file that `state` comes from.

    Raises:
        WeightsError: a tensor is missing, one too many, or of another shape or kind.
    """
    required = network.state_dict()
    wrong = [f"{key} is missing" for key in required if key not in state]
    wrong += [f"{key} is not part of the network" for key in state if key not in required]
    wrong += [
        f"{key} has shape {tuple(state[key].shape)}, not {tuple(tensor.shape)}"
        for key, tensor in required.items()
        if key in state and state[key].shape != tensor.shape
    ]
    if wrong:
        more = f"; and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise WeightsError(f"{path} does not fit {name}: {'; '.join(wrong[:3])}{more}")
    try:
        own = {key: state[key].to(required[key].dtype) for key in required}
    except (RuntimeError, ValueError, TypeError) as error:  # of a kind that cannot be computed with
        raise WeightsError(f"{path} does not fit {name}: {error}") from error
    network.load_state_dict(own, assign=True)
    return network.eval().requires_grad_(False)
