"""Whether samples are copies of training images: how near they are to the nearest of these.

A sample of a generator that has learnt images by heart is nearer to a training image than an image
that nobody trained on. So the distances of samples to their nearest training images are compared
with those of held-out reals; where none are held out, with those of training images to each other.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from fitness.metrics.tiles import TILE, distance_tiles
from fitness.statistics import check_features

QUANTILE = 0.05  # of the reals' distances, below which a sample counts as a copy


@dataclass(frozen=True, eq=False)
class Memorisation:
    """How near samples are to training images.

    Attributes:
        copies: the share of samples that are nearer to a training image than 95 % of the reals
            are; about .05 if the samples are like new reals.
        distance: the median distance of a sample to its nearest training image, divided by the
            reals' median; about 1 if the samples are like new reals, 0 if they are copies.
        nearest: each sample's nearest training image, (M,).
        order: the samples, the nearest to a training image first, (M,).
    """

    copies: float
    distance: float
    nearest: Tensor
    order: Tensor


def memorisation(trained: Tensor, fake: Tensor, held_out: Tensor | None = None) -> Memorisation:
    """Compare features of training images (N, D), samples (M, D) and held-out reals (K, D).

    Raises:
        ValueError: fewer than two training images, or numbers that are not finite.
    """
    if len(trained) < 2:
        raise ValueError(f"copies are looked for among 2 images or more; {len(trained)} arrived")
    for features in (trained, fake, *([] if held_out is None else [held_out])):
        check_features(features)
    nearness, nearest = nearest_rows(fake, trained)
    if held_out is None:
        of_reals, _ = nearest_rows(trained, trained, others=True)
    else:
        of_reals, _ = nearest_rows(held_out, trained)
    bound, middle = of_reals.quantile(QUANTILE), of_reals.median()
    return Memorisation(
        copies=float((nearness <= bound).double().mean()),
        distance=float(nearness.median() / middle) if middle else float(nearness.median() > 0),
        nearest=nearest,
        order=nearness.argsort(stable=True),
    )


def nearest_rows(
    a: Tensor, b: Tensor, others: bool = False, tile: int = TILE
) -> tuple[Tensor, Tensor]:
    """Return the distance (N,) of each row of `a` to the nearest row of `b`, and which it is, (N,).

    With `others`, where a and b are the same rows, a row is not its own nearest.
    """
    best = torch.full((len(a),), torch.inf, dtype=torch.float64, device=a.device)
    place = torch.zeros(len(a), dtype=torch.int64, device=a.device)
    for rows, columns, squared in distance_tiles(a, b, tile):
        if others:
            own = torch.arange(rows.start, rows.stop, device=a.device)[:, None]
            same = own == torch.arange(columns.start, columns.stop, device=a.device)
            squared = squared.masked_fill(same, torch.inf)
        least, index = squared.min(1)
        nearer = least < best[rows]
        best[rows] = torch.where(nearer, least, best[rows])
        place[rows] = torch.where(nearer, index + columns.start, place[rows])
    return best.sqrt(), place
