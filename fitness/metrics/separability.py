"""Linear separability of a latent space: Karras et al., arXiv 1812.04948, section 4.2.

Images are classified by attribute; the half of which the classifier is surest is kept; a linear SVM
learns to tell the classes by the images' latents alone. H(Y|X) is the entropy of the classifier's
class Y that remains when the side X of the SVM's plane is known. The score is exp(sum_i H(Y_i|X_i))
over the attributes: 1 where a plane divides each of them, 2 per balanced attribute that no plane
tells anything of.

The paper's attributes have two classes. A classifier of K > 2 classes gives K attributes, each
class against the rest.
"""

import numpy as np
import torch
from torch import Tensor

KEPT = 0.5  # the share of images, the surest ones


def log_odds(logits: Tensor) -> Tensor:
    """Return the log-odds (N, A) of each attribute, float64, for logits (N, K).

    Of two classes the second against the first, A = 1; of more, each against the rest, A = K. Their
    size is how sure the classifier is, also where a probability would be rounded to 1.

    Raises:
        ValueError: fewer than two classes, or logits that are not finite.
    """
    if logits.ndim != 2 or logits.shape[1] < 2:
        raise ValueError(
            f"separability takes logits (N, K) of at least 2 classes; {tuple(logits.shape)} arrived"
        )
    if not torch.isfinite(logits).all():
        raise ValueError("logits for separability hold NaN or infinite numbers")
    logits = logits.double()
    if logits.shape[1] == 2:
        return logits[:, 1:] - logits[:, :1]
    rest = logits[:, None].expand(-1, logits.shape[1], -1).clone()  # (N, K, K)
    rest.diagonal(dim1=1, dim2=2).fill_(-torch.inf)
    return logits - rest.logsumexp(2)


def conditional_entropy(y: np.ndarray, x: np.ndarray) -> float:
    """Return H(Y|X) in nats of two boolean arrays (N,)."""
    joint = np.array([[np.mean((x == a) & (y == b)) for b in (False, True)] for a in (False, True)])
    marginal = np.broadcast_to(joint.sum(1, keepdims=True), joint.shape)  # p(x)
    there = joint > 0
    return float(-(joint[there] * np.log(joint[there] / marginal[there])).sum())


def attribute_entropy(points: np.ndarray, odds: np.ndarray) -> float:
    """Return H(Y|X) of one attribute, in nats.

    Args:
        points: latents (N, D).
        odds: the classifier's log-odds (N,); positive: it has the attribute.
    """
    surest = np.argsort(-np.abs(odds), kind="stable")[: max(1, int(KEPT * len(odds)))]
    points, y = points[surest], odds[surest] > 0
    if y.all() or not y.any():
        return 0.0  # nothing is left to know
    from sklearn.svm import LinearSVC

    # The published settings, LinearSVC's own; the primal problem has the same solution, and no
    # random order of the samples.
    svm = LinearSVC(dual=False, max_iter=10_000).fit(points, y)
    return conditional_entropy(y, svm.predict(points))


def separability(points: Tensor, odds: Tensor) -> float:
    """Return exp(sum_i H(Y_i|X_i)) of latents (N, D) and log-odds (N, A); at least 1.

    Raises:
        ValueError: another number of latents than of odds, or latents that are not finite.
    """
    if len(points) != len(odds) or points.ndim != 2 or odds.ndim != 2:
        raise ValueError(
            f"separability takes latents (N, D) and log-odds (N, A); "
            f"{tuple(points.shape)} and {tuple(odds.shape)} arrived"
        )
    if not torch.isfinite(points).all():
        raise ValueError("latents for separability hold NaN or infinite numbers")
    values, columns = points.double().numpy(), odds.double().numpy().T
    return float(np.exp(sum(attribute_entropy(values, column) for column in columns)))
