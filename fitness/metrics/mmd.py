"""The maximum mean discrepancy of two samples: Gretton et al., JMLR 13 (2012), eq. 3, unbiased."""

from collections.abc import Callable

import torch
from torch import Tensor

from fitness.metrics.tiles import TILE, product_tiles, squared_norms
from fitness.statistics import check_features

SCALES = 12  # of the multiscale kernel at most
FINEST = 0.01  # the reals' mean similarity at its finest scale

# k(x.y, |x|^2, |y|^2), each broadcast to a tile.
Kernel = Callable[[Tensor, Tensor, Tensor], Tensor]


def polynomial_kernel(dimension: int) -> Kernel:
    """k(x, y) = (x.y / D + 1)^3, the kernel of KID."""
    return lambda product, _x, _y: (product / dimension + 1).pow(3)


def gaussian_kernel(bandwidth: float) -> Kernel:
    """k(x, y) = exp(-|x - y|^2 / (2 bandwidth^2))."""
    return lambda product, x, y: torch.exp((2 * product - x - y) / (2 * bandwidth**2))


def multiscale_kernel(reals: Tensor) -> Kernel:
    """The mean of Gaussian kernels of halving bandwidths, each divided by its mean over the reals.

    The widest has `mean_bandwidth`. It goes on while the reals' mean similarity is at least
    `FINEST`: a narrower kernel would see too few pairs. By the division all scales count alike:
    the wide ones see whether the mass is in the right places, the narrow ones its shape there,
    which would else be lost, since few pairs are so near.

    Raises:
        ValueError: all rows are equal.
    """
    bandwidth = mean_bandwidth(reals)
    weights: list[float] = []
    while len(weights) < SCALES:
        mean = similarity(reals, gaussian_kernel(bandwidth / 2 ** len(weights)))
        if weights and mean < FINEST:
            break
        weights.append(1 / mean)

    def kernel(product: Tensor, x: Tensor, y: Tensor) -> Tensor:
        value = torch.exp((2 * product - x - y).clamp(max=0) / (2 * bandwidth**2))
        total = weights[0] * value
        for weight in weights[1:]:
            value = value.square().square()  # exp(-d^2 / (2 (b / 2)^2)) = exp(-d^2 / (2 b^2))^4
            total = total + weight * value
        return total / len(weights)

    return kernel


def mean_bandwidth(features: Tensor) -> float:
    """sqrt(tr S), from the mean squared distance between rows, which is 2 tr S.

    The mean stands in for the usual median because it needs no pairs and no draw.

    Raises:
        ValueError: all rows are equal.
    """
    parts = torch.split(features, TILE)
    mean = torch.stack([part.double().sum(dim=0) for part in parts]).sum(dim=0) / len(features)
    scatter = sum(((part.double() - mean).square().sum().item() for part in parts), 0.0)
    if scatter <= 0:
        raise ValueError("all real features are equal, so they set no scale for the MMD's kernel")
    return float((scatter / (len(features) - 1)) ** 0.5)


def unbiased_mmd(
    x: Tensor, y: Tensor, kernel: Kernel, tile: int = TILE, within_x: float | None = None
) -> float:
    """MMD^2 of rows x (N, D) and y (M, D); around 0, also below, for samples of one distribution.

    All pairs take part, in float64 and tile by tile: no subsets are drawn, so the value depends on
    nothing but the two samples. `within_x` is `similarity(x, kernel)`, where it is known.

    Raises:
        ValueError: fewer than 2 rows, other widths, or numbers that are not finite.
    """
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1] or min(len(x), len(y)) < 2:
        raise ValueError(
            "MMD compares features (N, D) and (M, D), at least 2 rows each; "
            f"{tuple(x.shape)} and {tuple(y.shape)} arrived"
        )
    check_features(x)
    check_features(y)
    within_x = similarity(x, kernel, tile) if within_x is None else within_x
    within_y = similarity(y, kernel, tile)
    # sum_{i!=j} k(x_i, x_j) / n(n-1) + sum_{i!=j} k(y_i, y_j) / m(m-1) - 2 sum_ij k(x_i, y_j) / nm
    return within_x + within_y - 2 * _sum_between(x, y, kernel, tile) / (len(x) * len(y))


def between(x: Tensor, y: Tensor, kernel: Kernel, tile: int = TILE) -> float:
    """Mean of the kernel over all pairs of a row of x (N, D) and one of y (M, D)."""
    return _sum_between(x, y, kernel, tile) / (len(x) * len(y))


def _sum_between(x: Tensor, y: Tensor, kernel: Kernel, tile: int) -> float:
    norm_x, norm_y = squared_norms(x), squared_norms(y)
    return sum(
        float(kernel(products, norm_x[rows, None], norm_y[columns]).sum())
        for rows, columns, products in product_tiles(x, y, tile)
    )


def similarity(x: Tensor, kernel: Kernel, tile: int = TILE) -> float:
    """Mean of the kernel over ordered pairs of different rows; tiles below the diagonal mirror."""
    norms = squared_norms(x)
    total = 0.0
    for top in range(0, len(x), tile):
        rows = x[top : top + tile]
        for _, columns, products in product_tiles(rows, x[top:], tile):
            values = kernel(products, norms[top : top + len(rows), None], norms[top:][columns])
            if columns.start == 0:
                total += float(values.sum() - values.diagonal().sum())
            else:
                total += 2 * float(values.sum())
    return total / (len(x) * (len(x) - 1))
