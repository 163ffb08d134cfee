"""All pairs of two sets, a square at a time, so that memory does not grow with their number."""

from collections.abc import Iterator

import torch
from torch import Tensor

# 2048 x 2048 float64 pairs are 32 MiB.
TILE = 2048


def product_tiles(a: Tensor, b: Tensor, tile: int = TILE) -> Iterator[tuple[slice, slice, Tensor]]:
    """Inner products of the rows of `a` (N, D) and `b` (M, D), float64.

    Yields:
        Rows of a, rows of b, and their products (up to tile, up to tile); row after row.
    """
    for top in range(0, len(a), tile):
        rows = slice(top, min(top + tile, len(a)))
        left = a[rows].double()
        for start in range(0, len(b), tile):
            columns = slice(start, min(start + tile, len(b)))
            yield rows, columns, left @ b[columns].double().T


def distance_tiles(a: Tensor, b: Tensor, tile: int = TILE) -> Iterator[tuple[slice, slice, Tensor]]:
    """Squared Euclidean distances of the rows of `a` (N, D) and `b` (M, D), float64.

    |x - y|^2 = |x|^2 + |y|^2 - 2 x.y rounds; what is within rounding of zero is zero, so that equal
    rows are at distance 0 exactly.

    Yields:
        As `product_tiles`.
    """
    norm_a, norm_b = squared_norms(a), squared_norms(b)
    for rows, columns, products in product_tiles(a, b, tile):
        sums = norm_a[rows, None] + norm_b[columns]
        squared = products.mul_(-2).add_(sums)
        yield rows, columns, squared.masked_fill_(squared < 1e-12 * sums, 0)


def squared_norms(features: Tensor, tile: int = TILE) -> Tensor:
    """|x|^2 of each row, (N,), float64."""
    return torch.cat([part.double().square().sum(dim=1) for part in torch.split(features, tile)])
