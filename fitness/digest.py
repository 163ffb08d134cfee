"""Hashes of contents in memory: what makes two feature spaces, or two sets of images, the same."""

import hashlib

import numpy as np
from torch import Tensor, nn


def digest(*parts: str | int | np.ndarray | Tensor) -> str:
    """SHA-256, in hex, of texts, numbers and arrays, an array's dtype and shape included.

    >>> digest("a", "bc") == digest("ab", "c")
    False
    """
    sha = hashlib.sha256()
    for part in parts:
        if isinstance(part, Tensor):
            part = part.detach().cpu().numpy()
        if isinstance(part, np.ndarray):
            sha.update(f"array {part.dtype.str} {part.shape}\0".encode())
            sha.update(np.ascontiguousarray(part).data)
        else:
            text = f"{type(part).__name__} {part}".encode()
            sha.update(len(text).to_bytes(8, "little") + text)
    return sha.hexdigest()


def digest_weights(module: nn.Module) -> str:
    """SHA-256 of a module's parameters and buffers with their names."""
    state = module.state_dict()
    return digest(*(part for name in sorted(state) for part in (name, state[name])))
