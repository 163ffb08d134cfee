"""Path length regularisation: Karras et al., arXiv 1912.04958, section 3.2.

    E_{w, y} (||J_w^T y||_2 - a)^2,   J_w = dG(w) / dw,   y ~ N(0, I) / sqrt(pixels)

A step in W of a given size shall change the image equally, wherever it starts and in whichever
direction it goes. a is the running mean of the lengths ||J_w^T y||. As in the published code, each
layer has a style of its own, and a length is the root of the mean over layers.
"""

import torch
from torch import Tensor

RATE = 0.01  # how far a moves towards the mean of a batch


def path_penalty(
    images: Tensor, offsets: Tensor, directions: Tensor, mean: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the penalty (), and the running mean of the lengths (), moved towards them.

    Args:
        images: (N, C, r, r), made from styles to which `offsets` were added.
        offsets: zeros (N, layers, style).
        directions: y before it is divided, (N, C, r, r).
        mean: a before.
    """
    along = (images * directions).sum() / images.shape[-1]  # sqrt(pixels) is r
    (gradient,) = torch.autograd.grad(along, offsets, create_graph=True)  # (N, layers, style)
    lengths = gradient.square().sum(2).mean(1).sqrt()
    mean = mean.lerp(lengths.detach().mean(), RATE)
    return (lengths - mean).square().mean(), mean
