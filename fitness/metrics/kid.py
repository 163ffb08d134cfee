"""The kernel Inception distance: Bińkowski et al., *Demystifying MMD GANs*, arXiv 1801.01401."""

from torch import Tensor

from fitness.metrics.mmd import polynomial_kernel, unbiased_mmd


def kernel_distance(real: Tensor, fake: Tensor) -> float:
    """Unbiased MMD^2 under (x.y / D + 1)^3 of features (N, D) and (M, D).

    The paper averages this over random subsets of 1,000; over all pairs it has the same
    expectation, less variance, and nothing random.

    Raises:
        ValueError: as `fitness.metrics.mmd.unbiased_mmd`.
    """
    return unbiased_mmd(real, fake, polynomial_kernel(real.shape[1]))
