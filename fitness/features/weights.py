"""Published networks' weights, held against the architecture."""

from collections.abc import Mapping

from torch import Tensor, nn

from fitness.features.base import WeightsError


def load_state(network: nn.Module, state: Mapping[str, Tensor], name: str) -> nn.Module:
    """Return `network` with tensors of its own types from `state`, in evaluation mode.

    Args:
        network: the architecture, which may be on the `meta` device.
        state: exactly the network's tensors, by name.
        name: what the message calls the network.

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
        raise WeightsError(f"the weights do not fit {name}: {'; '.join(wrong[:3])}{more}")
    try:
        own = {key: state[key].to(required[key].dtype) for key in required}
    except (RuntimeError, ValueError, TypeError) as error:  # of a kind that cannot be computed with
        raise WeightsError(f"the weights do not fit {name}: {error}") from error
    network.load_state_dict(own, assign=True)
    return network.eval().requires_grad_(False)
