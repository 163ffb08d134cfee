"""Perceptual path length: Karras et al., arXiv 1812.04948, section 4.1.

    l = E[ d(G(walk(a, b; t)), G(walk(a, b; t + epsilon))) / epsilon^2 ]

a and b are two latents, d is a perceptual distance, epsilon is 1e-4. The walk is an arc in z and a
line in w; t is uniform in [0, 1] ("full") or 0 ("end"). As in the published code, lengths below the
1st and above the 99th percentile are left out of the mean, and images are not cut off at 0 and 255.
"""

from collections.abc import Callable
from typing import Literal

import numpy as np
import torch
from torch import Tensor

EPSILON = 1e-4
Route = Literal["arc", "line"]


def arc(start: Tensor, end: Tensor, t: Tensor) -> Tensor:
    """Return the points (N, D) at t (N,) on the arcs from start to end, (N, D) each, float64.

    The direction turns at constant speed, as published; the length, which a mapping network that
    normalises z does not see, goes linearly from one to the other.
    """
    start, end, t = start.double(), end.double(), t.double()[:, None]
    length_a = torch.linalg.vector_norm(start, dim=1, keepdim=True)
    length_b = torch.linalg.vector_norm(end, dim=1, keepdim=True)
    a, b = start / length_a, end / length_b
    cosine = (a * b).sum(1, keepdim=True).clamp(-1, 1)
    across = b - cosine * a
    across = across / torch.linalg.vector_norm(across, dim=1, keepdim=True).clamp(min=1e-300)
    turned = t * cosine.acos()
    direction: Tensor = a * turned.cos() + across * turned.sin()
    return direction * torch.lerp(length_a, length_b, t)


def line(start: Tensor, end: Tensor, t: Tensor) -> Tensor:
    """Return the points (N, D) at t (N,) on the lines from start to end, (N, D) each, float64."""
    return torch.lerp(start.double(), end.double(), t.double()[:, None])


def path_lengths(
    start: Tensor,
    end: Tensor,
    t: Tensor,
    route: Route,
    make: Callable[[Tensor], Tensor],
    distance: Callable[[Tensor, Tensor], Tensor],
    epsilon: float = EPSILON,
) -> Tensor:
    """Return d / epsilon^2 of each pair (N,), float64.

    Args:
        start, end: latents (N, D).
        t: where on the walk, (N,).
        route: an arc for z, a line for w.
        make: latents (N, D), float64, to images (N, C, H, W) of 0..255, floats not rounded. What
            else an image depends on must be the same in both calls.
        distance: of two such batches, (N,).
        epsilon: the step.

    Raises:
        ValueError: a distance is not finite.
    """
    walk = arc if route == "arc" else line
    here, there = (make(walk(start, end, at)) for at in (t, t.double() + epsilon))
    lengths = distance(here, there).double() / epsilon**2
    if bad := int((~torch.isfinite(lengths)).sum()):
        raise ValueError(f"{bad} of {len(lengths)} path lengths are NaN or infinite")
    return lengths


def perceptual_path_length(lengths: Tensor) -> float:
    """Return the mean of lengths (N,) from the 1st to the 99th percentile, both included.

    Raises:
        ValueError: there is none.
    """
    if not len(lengths):
        raise ValueError("a perceptual path length needs at least 1 pair of latents; none arrived")
    values = lengths.double().numpy()
    low = np.percentile(values, 1, method="lower")
    high = np.percentile(values, 99, method="higher")
    return float(values[(low <= values) & (values <= high)].mean())
