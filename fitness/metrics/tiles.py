"""All pairs of two sets, a square at a time, so that memory does not grow with their number."""

from collections.abc import Iterator

import torch
from torch import Tensor

# 2048 x 2048 float64 pairs are 32 MiB.
TILE = 2048
STRIP = 128  # rows of a symmetric tile that are multiplied at a time
ROUNDING = 1e-12  # of |x|^2 + |y|^2: less than this may be the rounding of |x - y|^2


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
        yield rows, columns, _distances(products, norm_a[rows], norm_b[columns])


def distance_tiles_within(a: Tensor, tile: int = TILE) -> Iterator[tuple[slice, slice, Tensor]]:
    """Squared distances of the rows of `a` (N, D) to each other, as `distance_tiles`.

    Yields:
        As `product_tiles`, but only tiles whose columns are the rows or come after them: the other
        half mirrors these.
    """
    norms = squared_norms(a)
    for top in range(0, len(a), tile):
        rows = slice(top, min(top + tile, len(a)))
        left = a[rows].double()
        yield rows, rows, _distances(_gram(left), norms[rows], norms[rows])
        for start in range(rows.stop, len(a), tile):
            columns = slice(start, min(start + tile, len(a)))
            products = left @ a[columns].double().T
            yield rows, columns, _distances(products, norms[rows], norms[columns])


def _gram(rows: Tensor) -> Tensor:
    """Return the inner products (N, N) of rows (N, D); those below the diagonal mirror the rest."""
    count = len(rows)
    products = rows.new_empty((count, count))
    for start in range(0, count, STRIP):
        stop = min(start + STRIP, count)
        products[start:stop, start:] = rows[start:stop] @ rows[start:].T
        products[stop:, start:stop] = products[start:stop, stop:].T
    return products


def _distances(products: Tensor, norm_a: Tensor, norm_b: Tensor) -> Tensor:
    """Return the squared distances (N, M), in the memory of the inner products (N, M)."""
    sums = norm_a[:, None] + norm_b
    squared = products.mul_(-2).add_(sums)
    return squared.masked_fill_(squared < ROUNDING * sums, 0)


def squared_norms(features: Tensor) -> Tensor:
    """|x|^2 of each row, (N,), float64."""
    return torch.cat([part.double().square().sum(dim=1) for part in torch.split(features, STRIP)])
