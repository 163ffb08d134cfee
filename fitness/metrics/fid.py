"""The Fréchet distance of two Gaussians fitted to features: Heusel et al., arXiv 1706.08500.

In space `inception` this is FID, as pytorch-fid and torch-fidelity compute it.
"""

import numpy as np

from fitness.statistics import Statistics, check_comparable


def frechet_distance(real: Statistics, fake: Statistics) -> float:
    """d^2 = |m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2)), at least 0.

    S1 S2 has the eigenvalues of the symmetric R S2 R with R = S1^(1/2), so two symmetric
    eigenproblems give the trace: real by construction, and safe where a covariance is singular
    (fewer images than dimensions), where `scipy.linalg.sqrtm` may return complex or infinite
    numbers.

    Raises:
        ValueError: the two are of different spaces or weights.
    """
    check_comparable(real, fake.space, fake.identity, fake.mean.size)
    values, vectors = np.linalg.eigh(real.covariance)
    root = (vectors * np.sqrt(values.clip(min=0))) @ vectors.T
    product = root @ fake.covariance @ root
    cross = np.sqrt(np.linalg.eigvalsh((product + product.T) / 2).clip(min=0)).sum()
    shift = real.mean - fake.mean
    distance = shift @ shift + np.trace(real.covariance) + np.trace(fake.covariance) - 2 * cross
    return max(0.0, float(distance))
