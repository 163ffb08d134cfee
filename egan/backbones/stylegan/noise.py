"""Per-pixel noise as a function of a seed, by `egan.backbones.philox`.

A pixel's noise is a function of (the sample's seed, the pixel's place), so an image depends neither
on the batch that it is made in nor on the device, apart from the rounding of log and cos, and the
inputs of a network stay small whatever its resolution.
"""

from math import pi

import torch
from torch import Tensor

from egan.backbones.philox import key_of, philox


def _box_muller(first: Tensor, second: Tensor) -> list[Tensor]:
    """Return two independent standard normals for two words of 32 uniform bits."""
    uniform = (first.float() + 0.5) * 2.0**-32  # in (0, 1]
    radius = (-2 * uniform.log()).sqrt()
    angle = second.float() * (2 * pi * 2.0**-32)
    return [radius * angle.cos(), radius * angle.sin()]


def normals(seeds: Tensor, count: int) -> Tensor:
    """Return standard normals (N, count), float32, row n a function of `seeds[n]` alone.

    `seeds` (N,) is int64; `count` is a multiple of 4. A longer row starts with the shorter one.
    """
    blocks = torch.arange(count // 4, device=seeds.device)[None]
    zero = torch.zeros_like(blocks[:, :1])
    a, b, c, d = philox((blocks, zero, zero, zero), key_of(seeds))
    return torch.stack(_box_muller(a, b) + _box_muller(c, d), dim=2).flatten(1)


def noise_images(seeds: Tensor, resolution: int) -> list[Tensor]:
    """Return the noise of every layer up to `resolution`: two (N, 1, r, r) for r = 4, 8, ...

    `seeds` (N,) is int64. A layer's noise is the same whatever the final resolution, so it stays
    as it is when a network grows.
    """
    sides = [2 ** (2 + layer // 2) for layer in range(2 * (resolution.bit_length() - 2))]
    sizes = [side * side for side in sides]
    parts = torch.split(normals(seeds, sum(sizes)), sizes, dim=1)
    return [part.view(-1, 1, side, side) for part, side in zip(parts, sides, strict=True)]
