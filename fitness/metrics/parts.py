"""How well the parts that images show are those that they should show, as the FCN score.

Long et al., arXiv 1411.4038, section 5: over the pixels of all images, pixel accuracy, and the
means over classes of accuracy and of intersection over union. Isola et al., 1611.07004, judge
translations of labels by it.
"""

import torch
from torch import Tensor


def agreement(seen: Tensor, wanted: Tensor, classes: int) -> dict[str, float]:
    """Return the metrics by name, each from 0 to 1, of masks (N, H, W), whole numbers of classes.

    Means are over those of the `classes` that are wanted anywhere.

    Raises:
        ValueError: masks of two shapes.
    """
    if seen.shape != wanted.shape:
        raise ValueError(f"masks {tuple(seen.shape)} and {tuple(wanted.shape)} cannot be compared")
    places = wanted.flatten().long() * classes + seen.flatten().long()
    table = torch.bincount(places, minlength=classes**2).view(classes, classes).double()
    right, there, said = table.diagonal(), table.sum(1), table.sum(0)
    known = there > 0
    return {
        "part-accuracy": float(right.sum() / table.sum()),
        "part-class-accuracy": float((right / there)[known].mean()),
        "part-iou": float((right / (there + said - right))[known].mean()),
    }
