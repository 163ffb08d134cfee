"""How much of the fakes is real, and how much of the reals is covered.

Precision and recall: Kynkäänniemi et al., *Improved Precision and Recall Metric for Assessing
Generative Models*, arXiv 1904.06991. Density and coverage: Naeem et al., *Reliable Fidelity and
Diversity Metrics for Generative Models*, arXiv 2002.09797.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from fitness.metrics.names import NEAREST
from fitness.metrics.tiles import (
    ROUNDING,
    TILE,
    distance_tiles,
    distance_tiles_within,
    squared_norms,
)
from fitness.statistics import check_features


@dataclass(frozen=True)
class PRDC:
    """The four shares; all in 0..1 save density, which may exceed 1.

    Attributes:
        precision: fakes within some real image's neighbourhood.
        recall: reals within some fake's neighbourhood; easily raised by a few outlying fakes.
        density: real neighbourhoods around a fake, as a share of those expected.
        coverage: reals whose neighbourhood holds a fake; catches dropped modes and repeats.
    """

    precision: float
    recall: float
    density: float
    coverage: float


def radii(features: Tensor, nearest: int = NEAREST, tile: int = TILE) -> Tensor:
    """Squared distance (N,) of each row to its `nearest`-th neighbour, itself not counted.

    It is rounded up, so that a row at the same distance is not left out for its rounding.
    """
    wanted = nearest + 1  # each row is its own nearest, at distance 0
    best = torch.full(
        (len(features), wanted), torch.inf, dtype=torch.float64, device=features.device
    )

    def compare(rows: slice, squared: Tensor) -> None:
        least = squared.topk(min(wanted, squared.shape[1]), dim=1, largest=False).values
        both = torch.cat([best[rows], least], dim=1)
        best[rows] = both.topk(wanted, dim=1, largest=False).values

    for rows, columns, squared in distance_tiles_within(features, tile):
        compare(rows, squared)
        if columns != rows:
            compare(columns, squared.T)
    farthest = best.amax(dim=1)
    return farthest + ROUNDING * (squared_norms(features) + farthest)


def precision_recall_density_coverage(
    real: Tensor, fake: Tensor, nearest: int = NEAREST, tile: int = TILE
) -> PRDC:
    """All four from features (N, D) and (M, D) in one set of neighbourhoods, tile by tile.

    A row's neighbourhood is the closed ball that reaches its k-th nearest neighbour in its own set.

    Raises:
        ValueError: not more than `nearest` rows, other widths, or numbers that are not finite.
    """
    if real.ndim != 2 or fake.ndim != 2 or real.shape[1] != fake.shape[1]:
        raise ValueError(
            "precision and recall compare features (N, D) and (M, D); "
            f"{tuple(real.shape)} and {tuple(fake.shape)} arrived"
        )
    if min(len(real), len(fake)) <= nearest:
        raise ValueError(
            f"neighbourhoods of {nearest} need at least {nearest + 1} images of each side; "
            f"{len(real)} real and {len(fake)} generated arrived"
        )
    check_features(real)
    check_features(fake)
    real_radius, fake_radius = radii(real, nearest, tile), radii(fake, nearest, tile)
    balls_around_fake = torch.zeros(len(fake), dtype=torch.int64, device=fake.device)
    balls_around_real = torch.zeros(len(real), dtype=torch.int64, device=real.device)
    covered = torch.zeros(len(real), dtype=torch.bool, device=real.device)
    for rows, columns, squared in distance_tiles(real, fake, tile):
        in_real_ball = squared <= real_radius[rows, None]  # fake j in the ball of real i
        balls_around_fake[columns] += in_real_ball.sum(dim=0)
        covered[rows] |= in_real_ball.any(dim=1)
        balls_around_real[rows] += (squared <= fake_radius[columns]).sum(dim=1)
    return PRDC(
        precision=float((balls_around_fake > 0).double().mean()),
        recall=float((balls_around_real > 0).double().mean()),
        density=float(balls_around_fake.double().mean() / nearest),
        coverage=float(covered.double().mean()),
    )
