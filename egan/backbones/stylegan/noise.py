"""Per-pixel noise as a function of a seed: Philox-4x32-10 in tensor operations.

Salmon et al., *Parallel random numbers: as easy as 1, 2, 3* (SC 2011). A counter-based generator
has no state: a pixel's noise is a function of (the sample's seed, the pixel's place), so an image
depends neither on the batch that it is made in nor on the device, apart from the rounding of
log and cos, and the inputs of a network stay small whatever its resolution.
"""

from math import pi

import torch
from torch import Tensor

MASK = 0xFFFFFFFF
MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
WEYL = (0x9E3779B9, 0xBB67AE85)
ROUNDS = 10

Words = tuple[Tensor, Tensor, Tensor, Tensor]


def _multiply(constant: int, word: Tensor) -> tuple[Tensor, Tensor]:
    """Return the high and the low 32 bits of the 64-bit product; int64 wraps, the bits stay."""
    product = word * constant
    return product >> 32 & MASK, product & MASK


def philox(counter: Words, key: tuple[Tensor, Tensor]) -> Words:
    """Return four words of 32 random bits for a counter of four and a key of two such words.

    Words are int64 tensors of values in [0, 2^32); counter and key broadcast together.
    """
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(ROUNDS):
        high0, low0 = _multiply(MULTIPLIERS[0], c0)
        high1, low1 = _multiply(MULTIPLIERS[1], c2)
        c0, c1, c2, c3 = high1 ^ c1 ^ k0, low1, high0 ^ c3 ^ k1, low0
        k0, k1 = k0 + WEYL[0] & MASK, k1 + WEYL[1] & MASK
    return c0, c1, c2, c3


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
    key = (seeds[:, None] & MASK, seeds[:, None] >> 32 & MASK)
    a, b, c, d = philox((blocks, zero, zero, zero), key)
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
