"""A bandit: which operator to use next, from how much each has improved lately.

Upper confidence bounds over a sliding window (Garivier and Moulines, arXiv 0805.3415), on the ranks
of the improvements, as in comparison-based operator selection (Fialho et al., GECCO 2010). Ranks
need no scale, and improvements shrink while a run goes on. It is a function of the past alone.
"""

import math
from collections.abc import Sequence

MEMORY = 10  # uses that are remembered, for each arm
XI = 0.5  # how much is explored


def choose(arms: int, past: Sequence[tuple[int, float]]) -> int:
    """Return the arm of the highest mean rank + sqrt(xi log n / n_arm) among the last n uses.

    An arm without a remembered use comes first; ties go to the lower number.

    Args:
        arms: how many there are.
        past: the arm and the improvement of each use, in order; more is better.
    """
    recent = past[-MEMORY * arms :]
    bounds = []
    for arm in range(arms):
        ranks = [_rank(value, recent) for used, value in recent if used == arm]
        if not ranks:
            return arm
        bonus = math.sqrt(XI * math.log(len(recent)) / len(ranks))
        bounds.append(sum(ranks) / len(ranks) + bonus)
    return bounds.index(max(bounds))


def _rank(value: float, recent: Sequence[tuple[int, float]]) -> float:
    """Return the share of the improvements that are smaller; equal ones count half."""
    return sum((value > other) + (value == other) / 2 for _, other in recent) / len(recent)


def improvement(before: float, after: float) -> float:
    """Return how much a fitness fell, (before - after) / (|before| + |after|), in [-1, 1].

    The lower a fitness, the better; one that is not finite is the worst.
    """
    if not (math.isfinite(before) and math.isfinite(after)):
        return float(math.isfinite(after)) - float(math.isfinite(before))
    scale = abs(before) + abs(after)
    return (before - after) / scale if scale else 0.0
