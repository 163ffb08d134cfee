"""Coverage of classes, as a classifier finds them, for data with equally frequent classes.

Srivastava et al., *VEEGAN*, arXiv 1705.07761, section 4.1: on stacked MNIST, how many of the 1,000
classes at least one sample is taken for, and KL(histogram of the classes || equal shares).
"""

import torch
from torch import Tensor


def classes_covered(histogram: Tensor) -> int:
    """Return how many classes of a histogram (K,) of counts are not empty."""
    return int((histogram > 0).sum())


def divergence_from_equal(histogram: Tensor) -> float:
    """Return KL(histogram (K,) of counts || 1 / K) in nats; 0 is ideal."""
    share = histogram.double() / histogram.sum()
    return float(torch.xlogy(share, share).sum() + torch.tensor(len(share)).double().log())
