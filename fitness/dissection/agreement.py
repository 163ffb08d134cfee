"""How well a unit's region agrees with a class: 1811.10597, section 3.1.

The threshold of a unit u for a class c has the largest information quality ratio,
t(u, c) = argmax_t I(r_u > t; s_c) / H(r_u > t, s_c), on one set of images. The intersection over
union at that threshold is measured on another set.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from fitness.dissection.tally import Tally

LEAST_SHARE = 1e-3  # of the pixels, of a class that is looked for
LEAST_IOU = 0.05  # of a detector
LEAST_RATIO = 0.01  # information quality of a detector


@dataclass(frozen=True)
class Agreement:
    """Units U and classes K.

    Attributes:
        thresholds: of each unit for each class, (U, K).
        iou: the intersection over union of r > t and the class, (U, K).
        ratio: the information quality ratio, (U, K).
    """

    thresholds: Tensor
    iou: Tensor
    ratio: Tensor

    @property
    def labels(self) -> Tensor:
        """The class (U,) of largest IoU."""
        return self.iou.argmax(1)

    @property
    def detectors(self) -> Tensor:
        """Whether a unit detects its class, bool (U,)."""
        best = self.labels[:, None]
        iou, ratio = self.iou.gather(1, best)[:, 0], self.ratio.gather(1, best)[:, 0]
        return (iou > LEAST_IOU) & (ratio > LEAST_RATIO)


def agreement(thresholds: Tensor, choosing: Tally, scoring: Tally) -> Agreement:
    """Return how well units agree with classes.

    Thresholds that are not above 0 are no choice. A class that is rare, and a unit without a
    threshold above 0, agree with nothing.

    Args:
        thresholds: that were tried, rising, (U, L).
        choosing: the tally that the threshold of a unit for a class is chosen by.
        scoring: the tally of other images, by which the agreement is measured.
    """
    quality = information_quality(choosing).where((thresholds > 0)[:, :, None], -1)
    place = quality.argmax(1)  # (U, K)
    chosen = thresholds.gather(1, place)
    seen = (choosing.shares >= LEAST_SHARE) & (scoring.shares >= LEAST_SHARE)
    counts = (chosen > 0) & seen
    iou = intersection_over_union(scoring).gather(1, place[:, None])[:, 0]
    ratio = information_quality(scoring).gather(1, place[:, None])[:, 0]
    return Agreement(chosen, torch.where(counts, iou, 0), torch.where(counts, ratio, 0))


def intersection_over_union(tally: Tally) -> Tensor:
    """Return |r > t and c| / |r > t or c| for all thresholds and classes, float64 (U, L, K)."""
    both = tally.both
    either = tally.above[:, :, None] + tally.areas - both
    return both.double() / either.clamp(min=1)


def information_quality(tally: Tally) -> Tensor:
    """Return I(r > t; c) / H(r > t, c) for all thresholds and classes, float64 (U, L, K).

    It is 0 where both are certain.
    """
    n = tally.pixels.double()
    both = tally.both / n
    above = (tally.above / n)[:, :, None].expand_as(both)
    area = (tally.areas / n).expand_as(both)
    joint = _entropy(both, above - both, area - both, 1 - above - area + both)
    mutual = _entropy(above, 1 - above) + _entropy(area, 1 - area) - joint
    return torch.where(joint > 0, mutual.clamp(min=0) / joint.clamp(min=1e-300), 0)


def _entropy(*shares: Tensor) -> Tensor:
    """Return -sum p log p, in nats."""
    return -sum(
        (torch.xlogy(p, p) for p in (p.clamp(min=0) for p in shares)), start=torch.zeros(())
    )
