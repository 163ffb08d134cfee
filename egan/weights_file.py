"""A generator's weights in a safetensors file, by name; and such a file as the first parent.

Names are `role.parameter` and `role.buffer`: `generator.synthesis.blocks.8.conv.weight`. The file's
metadata say of a generator with styles what shapes do not: its `mapping_multiplier`, which scales
the mapping's weights where they are used.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, Field, model_validator
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from egan.backbones.function import NetworkFunction
from egan.backbones.stylegan.networks import Generator
from egan.files import saving_tensors, sha256
from egan.state import Weights

WEIGHTS = "weights.safetensors"
MULTIPLIER = "mapping_multiplier"  # the key of the metadata
SHOWN = 3  # names listed in an error

Functions = Mapping[str, NetworkFunction]


class FirstParent(BaseModel, extra="forbid", frozen=True):
    """A generator that an evolution starts from; the hash makes it a part of the config."""

    path: Path = Field(description=f"a generator's folder, or its {WEIGHTS}")
    sha256: str = Field(
        pattern="^[0-9a-f]{64}$",
        description="the file's hash, read from the file when the run is new",
    )

    @model_validator(mode="before")
    @classmethod
    def _path_alone_will_do(cls, values: Any) -> Any:
        if isinstance(values, str | Path):
            values = {"path": values}
        if not isinstance(values, dict) or not isinstance(values.get("path"), str | Path):
            return values
        # A run is resumed, and a worker started, from another working directory.
        path = Path(values["path"]).expanduser().absolute()
        path = path / WEIGHTS if path.is_dir() else path
        return values | {"path": path, "sha256": values.get("sha256") or _sha256(path)}


def _sha256(path: Path) -> str:
    try:
        return sha256(path)
    except OSError as error:
        raise ValueError(
            f"{path} cannot be read here: {error.strerror}; give the folder of a generator, as "
            "the command convert writes it, and on every machine with a worker"
        ) from None


def first_parent(config: FirstParent | None, functions: Functions) -> dict[str, Weights]:
    """Return the weights, by role, that the first parent starts with; none: those of the seed.

    Raises:
        ValueError: the file is not on this machine, has changed, or is of other networks.
    """
    if config is None:
        return {}
    try:
        if (found := _sha256(config.path)) != config.sha256:
            raise ValueError(
                f"{config.path} has changed: its SHA-256 is now {found[:12]}, was "
                f"{config.sha256[:12]}. Put the file back, or start anew"
            )
        return read_weights(config.path, functions)
    except ValueError as error:
        raise ValueError(f"population.first_parent: {error}") from None


def write_weights(path: Path, functions: Functions, weights: Mapping[str, Weights]) -> None:
    """Write networks' weights and buffers, by role."""
    tensors: dict[str, Tensor] = {}
    for role, own in weights.items():
        named = functions[role].named(own.params)
        tensors |= {f"{role}.{name}": tensor.clone() for name, tensor in named.items()}
        tensors |= {f"{role}.{name}": buffer for name, buffer in own.buffers.items()}
    multiplier = _multiplier(functions)
    with saving_tensors(path):
        save_file(tensors, path, {} if multiplier is None else {MULTIPLIER: multiplier})


def read_weights(path: Path, functions: Functions) -> dict[str, Weights]:
    """Return what `write_weights` wrote, by role.

    Raises:
        ValueError: the file is missing, damaged, or of other networks.
    """
    try:
        tensors = load_file(path)
        with safe_open(path, "pt") as file:
            multiplier = (file.metadata() or {}).get(MULTIPLIER)
    except (OSError, SafetensorError) as error:
        raise ValueError(f"{path} cannot be read as a generator's weights: {error}") from None
    required = {
        f"{role}.{name}": (tuple(tensor.shape), tensor.dtype)
        for role, function in functions.items()
        for name, tensor in function.module.state_dict().items()
    }
    found = {name: (tuple(tensor.shape), tensor.dtype) for name, tensor in tensors.items()}
    wrong = [f"{name} is missing" for name in required.keys() - found.keys()]
    wrong += [f"{name} is not part of this generator" for name in found.keys() - required.keys()]
    wrong += [
        "{} is {} of {}, not {} of {}".format(name, *found[name], *wanted)
        for name, wanted in required.items()
        if found.get(name, wanted) != wanted
    ]
    if wrong:
        raise ValueError(f"{path} is not of this config's backbone and data: {_listed(wrong)}")
    if multiplier is not None:
        check_multiplier(path, multiplier, _multiplier(functions))
    return {role: _weights(role, function, tensors) for role, function in functions.items()}


def check_multiplier(where: object, multiplier: object, own: object) -> None:
    """Refuse weights of a mapping that another `mapping_multiplier` scales.

    Raises:
        ValueError: names `where` they come from.
    """
    if multiplier != own:
        raise ValueError(
            f"{where} was made with backbone.{MULTIPLIER}: {multiplier}, by which its "
            f"mapping's weights are scaled; here it is {own}"
        )


def _multiplier(functions: Functions) -> str | None:
    modules = [function.module for function in functions.values()]
    found = [module.mapping.multiplier for module in modules if isinstance(module, Generator)]
    return str(found[0]) if found else None


def _weights(role: str, function: NetworkFunction, tensors: Mapping[str, Tensor]) -> Weights:
    start = f"{role}."
    own = {name.removeprefix(start): t for name, t in tensors.items() if name.startswith(start)}
    params = torch.cat([own.pop(name).flatten() for name, _ in function.layout])
    return Weights(params, own)


def _listed(faults: Iterable[str]) -> str:
    faults = sorted(faults)
    more = f"; and {len(faults) - SHOWN} more" if len(faults) > SHOWN else ""
    return "; ".join(faults[:SHOWN]) + more
