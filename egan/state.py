"""The whole state of an evolution as explicit, immutable values.

A network is one flat vector of parameters (so that a mutation is one vector-Jacobian product and
Adam is a handful of vector operations), its buffers, and Adam's two moment vectors. Nothing here is
changed in place: a generation makes new values, so a snapshot may be written while the next
generation runs, and a child never shares storage that another one writes to.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import isqrt

import numpy as np
import torch
from torch import Tensor

BLOCK = 2**18  # values that are hashed at a time
POOL = "pools."  # how the names of pools' tensors begin


@dataclass(frozen=True)
class Weights:
    """What a network computes with: `params` (P,) in the order of its layout, and its buffers."""

    params: Tensor
    buffers: Mapping[str, Tensor]

    def to(self, device: torch.device) -> "Weights":
        """Return the same weights on `device`."""
        buffers = {name: buffer.to(device) for name, buffer in self.buffers.items()}
        return Weights(self.params.to(device), buffers)


@dataclass(frozen=True)
class Moments:
    """Adam's running moments of the gradient, (P,) each, after `step` steps."""

    first: Tensor
    second: Tensor
    step: int = 0

    @classmethod
    def zeros_like(cls, params: Tensor) -> "Moments":
        """Return the moments before the first step."""
        return cls(torch.zeros_like(params), torch.zeros_like(params))


@dataclass(frozen=True)
class Network:
    """One trainable network: its weights and its optimiser's state."""

    weights: Weights
    moments: Moments

    @classmethod
    def untrained(cls, weights: Weights) -> "Network":
        """Return a network that has not taken a step."""
        return cls(weights, Moments.zeros_like(weights.params))


@dataclass(frozen=True)
class Genome:
    """One individual: named networks, and the running average of their weights for sampling.

    The average belongs to the lineage: a child inherits its parent's, so that with several
    survivors the averages of unrelated lineages are never mixed.
    """

    networks: Mapping[str, Network]
    average: Mapping[str, Weights]


@dataclass(frozen=True)
class EvolutionState:
    """Everything that a generation starts from.

    Attributes:
        generation: its number.
        parents: the genomes, best first.
        critics: the networks that judge, by role.
        settings: what has changed since the run began, by the config's key, such as
            `optimizer.learning_rate`; {}: all is as the config says.
        pools: earlier fakes that critics see again, by name; {}: none are kept.
    """

    generation: int
    parents: tuple[Genome, ...]
    critics: Mapping[str, Network]
    settings: Mapping[str, float] = field(default_factory=dict)
    pools: Mapping[str, Tensor] = field(default_factory=dict)

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        """Yield every tensor with its name, in a fixed order."""
        for index, parent in enumerate(self.parents):
            for role, network in parent.networks.items():
                yield from _network_tensors(f"parents.{index}.{role}", network)
            for role, weights in parent.average.items():
                yield from _weight_tensors(f"parents.{index}.{role}.average", weights)
        for role, critic in self.critics.items():
            yield from _network_tensors(role, critic)
        for name, pool in sorted(self.pools.items()):
            yield POOL + name, pool

    def steps(self) -> dict[str, int]:
        """Return how many Adam steps each network has taken, by name."""
        counts = {
            f"parents.{index}.{role}": network.moments.step
            for index, parent in enumerate(self.parents)
            for role, network in parent.networks.items()
        }
        return counts | {role: critic.moments.step for role, critic in self.critics.items()}


def _weight_tensors(prefix: str, weights: Weights) -> Iterator[tuple[str, Tensor]]:
    yield f"{prefix}.params", weights.params
    for name, buffer in sorted(weights.buffers.items()):  # a file may give them in any order
        yield f"{prefix}.buffers.{name}", buffer


def weights_of(networks: Mapping[str, Network]) -> dict[str, Weights]:
    """Return networks' weights, by role."""
    return {role: network.weights for role, network in networks.items()}


def lerp(old: Weights, new: Weights, weight: float) -> Weights:
    """Move every parameter and running statistic of `old` towards `new` by `weight`."""
    buffers = {
        name: old.buffers[name].lerp(buffer, weight) if buffer.is_floating_point() else buffer
        for name, buffer in new.buffers.items()
    }
    return Weights(old.params.lerp(new.params, weight), buffers)


def extremes(*networks: Network) -> Tensor:
    """Return a number () that is finite if Adam can go on from all of these networks.

    An infinite second moment would freeze a weight for good, so the moments count, too.
    """
    tensors = [
        tensor
        for network in networks
        for tensor in (network.weights.params, network.moments.first, network.moments.second)
    ]
    found = [value for tensor in tensors for value in torch.aminmax(tensor)]
    return torch.stack(found).double().sum()


def _network_tensors(prefix: str, network: Network) -> Iterator[tuple[str, Tensor]]:
    yield from _weight_tensors(prefix, network.weights)
    yield f"{prefix}.first_moment", network.moments.first
    yield f"{prefix}.second_moment", network.moments.second


def unpack(
    tensors: Mapping[str, Tensor],
    generation: int,
    steps: Mapping[str, int],
    settings: Mapping[str, float] | None = None,
) -> EvolutionState:
    """Build the state whose `tensors()` and `steps()` these are."""

    def weights(prefix: str) -> Weights:
        start = f"{prefix}.buffers."
        buffers = {name[len(start) :]: t for name, t in tensors.items() if name.startswith(start)}
        return Weights(tensors[f"{prefix}.params"], buffers)

    def network(prefix: str) -> Network:
        first, second = tensors[f"{prefix}.first_moment"], tensors[f"{prefix}.second_moment"]
        return Network(weights(prefix), Moments(first, second, steps[prefix]))

    def genome(index: int) -> Genome:
        start = f"parents.{index}."
        roles = [name[len(start) :] for name in steps if name.startswith(start)]
        return Genome(
            {role: network(start + role) for role in roles},
            {role: weights(f"{start}{role}.average") for role in roles},
        )

    count = len({name.split(".")[1] for name in steps if name.startswith("parents.")})
    critics = {role: network(role) for role in steps if not role.startswith("parents.")}
    pools = {name.removeprefix(POOL): t for name, t in tensors.items() if name.startswith(POOL)}
    parents = tuple(map(genome, range(count)))
    return EvolutionState(generation, parents, critics, settings or {}, pools)


def checksum(state: EvolutionState) -> str:
    """Return 16 hex digits that change with any bit of the state.

    `torch.hash_tensor` is a reduction by XOR, exact in any order and so equal for any number of
    threads. XOR is blind to position, so each tensor is hashed as a grid, along its rows and along
    its columns: two changed elements differ in one of them.
    """
    digest = hashlib.sha256(f"{state.generation} {state.steps()}".encode())
    if state.settings:
        digest.update(json.dumps(dict(state.settings), sort_keys=True).encode())
    hashes = []
    with np.errstate(invalid="ignore"):  # a signalling NaN is a value like any other
        for name, tensor in state.tensors():
            digest.update(name.encode())
            hashes += _hashes(tensor.detach().flatten())
    digest.update(torch.cat(hashes).cpu().numpy().tobytes())
    return digest.hexdigest()[:16]


def _hashes(flat: Tensor) -> list[Tensor]:
    """Return the hashes of a vector's grid along its rows, and along its columns."""
    columns = max(1, isqrt(flat.numel()))
    if flat.dtype == torch.float32 and flat.device.type == "cpu":
        return _hashes_of_blocks(flat.numpy(), columns)
    grid = torch.nn.functional.pad(flat, (0, -flat.numel() % columns)).view(-1, columns)
    return [torch.hash_tensor(grid, dim=0), torch.hash_tensor(grid, dim=1)]


def _hashes_of_blocks(flat: np.ndarray, columns: int) -> list[Tensor]:
    """Return `torch.hash_tensor` of a grid of `columns` along its rows, and along its columns.

    The same on a CPU, 15 times faster for large vectors: they are read once, in blocks of rows that
    stay in the cache. A value's hash is its bits as a double.
    """
    step = max(1, BLOCK // columns) * columns
    doubles = np.zeros(min(step, -(-len(flat) // columns) * columns))
    across, down = np.zeros(columns, np.uint64), []
    for start in range(0, len(flat), step):
        block = flat[start : start + step]
        if len(block) < len(doubles):
            doubles = np.zeros(-(-len(block) // columns) * columns)
        doubles[: len(block)] = block
        bits = doubles.view(np.uint64).reshape(-1, columns)
        across ^= np.bitwise_xor.reduce(bits, axis=0)
        down.append(np.bitwise_xor.reduce(bits, axis=1))
    return [torch.from_numpy(across), torch.from_numpy(np.concatenate(down))]
