"""Philox-4x32-10 in tensor operations: random bits as a function of a key and a counter.

Salmon et al., *Parallel random numbers: as easy as 1, 2, 3* (SC 2011). A counter-based generator
has no state, so a network's noise is a function of (the sample's seed, its place in the network)
and depends neither on the batch that a sample is made in nor on the device.
"""

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


def key_of(seeds: Tensor) -> tuple[Tensor, Tensor]:
    """Return the key of each of `seeds` (N,) int64, as two words (N, 1)."""
    return seeds[:, None] & MASK, seeds[:, None] >> 32 & MASK


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
