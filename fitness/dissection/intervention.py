"""Interventions on units, and their average causal effect: Bau et al., 1811.10597, section 3.2."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

RATE = 0.01  # Adam's
PENALTY = 0.005  # lambda of the sum of squares, as in the authors' code; the paper says 100


def intervened(
    maps: Tensor, units: Tensor, shares: Tensor, scale: float, constants: Tensor, place: Tensor
) -> Tensor:
    """Return maps with some units changed: x <- (1 - a p) x + a p (scale x + c).

    Args:
        maps: of a layer, (N, U, h, w).
        units: numbers of the units, (k,).
        shares: a, in [0, 1], of each of them, (k,).
        scale: 0 ablates, less than 1 dampens, more boosts.
        constants: c, what is inserted, (k,).
        place: p, where, in [0, 1], (N, h, w) or (1, h, w).
    """
    own = maps[:, units]
    wanted = scale * own + constants[:, None, None]
    changed = torch.lerp(own, wanted, (shares[:, None, None] * place[:, None]).expand_as(own))
    return maps.index_copy(1, units, changed)


def on_grid(region: Tensor, height: int, width: int) -> Tensor:
    """Return the share of a region (N, H, W) in each cell of a layer's grid, (N, h, w)."""
    return F.adaptive_avg_pool2d(region.float()[:, None], (height, width))[:, 0]


def presence_in(sure: Tensor, region: Tensor) -> Tensor:
    """Return the mean presence (N, H, W) over a region, bool (N, H, W), of all images together."""
    return (sure * region).sum() / region.sum().clamp(min=1)


def optimised_shares(
    effect: Callable[[int, Tensor], Tensor],
    start: Tensor,
    steps: int,
    *,
    rate: float = RATE,
    penalty: float = PENALTY,
    report: Callable[[int, int], None] | None = None,
) -> Tensor:
    """Return the share a (U,) of each unit that causes a class most: argmin -ACE(a) + lambda a^2.

    Args:
        effect: the average causal effect () of shares (U,) at a step.
        start: the first shares, in [0, 1].
        steps: of Adam.
        rate: of learning.
        penalty: lambda.
        report: called as `report(steps done, steps in all)`.
    """
    shares = start.detach().clone().requires_grad_()
    optimizer = torch.optim.Adam([shares], rate)
    for step in range(steps):
        loss = penalty * shares.square().sum() - effect(step, shares)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        with torch.no_grad():
            shares.clamp_(0, 1)
        if report is not None:
            report(step + 1, steps)
    return shares.detach()
