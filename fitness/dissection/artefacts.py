"""Which units make artefacts: 1811.10597, section 3.3, by the images that a unit is most active in.

People can mark such units; without them, the images in which a unit is most active are compared
with reals, as a set. The units whose images are farthest from the reals come first.
"""

from collections.abc import Callable

import torch
from torch import Tensor

MOST_ACTIVE = 0.1  # share of the images that a unit is judged by


def distances(
    peaks: Tensor,
    features: Tensor,
    distance: Callable[[Tensor], float],
    report: Callable[[int, int], None] | None = None,
) -> Tensor:
    """Return how far each unit's most active images are from the reals, float64 (U,).

    It is -infinity for a unit that is equally active in all images.

    Args:
        peaks: the largest value of each unit in each image, (N, U).
        features: of the images, (N, D).
        distance: of the features (n, D) of some images from the reals.
        report: called as `report(units done, units in all)`.
    """
    count, units = peaks.shape
    most = max(2, round(MOST_ACTIVE * count))
    order = peaks.argsort(dim=0, descending=True, stable=True)[:most]
    found = torch.full((units,), -torch.inf, dtype=torch.float64)
    for unit in range(units):
        if peaks[:, unit].min() < peaks[:, unit].max():
            found[unit] = distance(features[order[:, unit].to(features.device)])
        if report is not None:
            report(unit + 1, units)
    return found
