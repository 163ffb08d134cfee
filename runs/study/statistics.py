"""Statistics of a comparison, on plain numbers: nothing here knows of runs.

Larger values are better throughout; whoever has a metric where smaller is better negates it. NaN
stands for a result that is worse than every number (a generator that broke); a result that is not
known is left out by the caller.

Intervals: percentile bootstrap of the median. Tests: Wilcoxon's signed ranks where the seeds are
the same, Mann-Whitney's ranks where they differ, both exact or by permutation; Holm (1979) against
many pairs. Effect size: A of Vargha and Delaney (2000).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations

import numpy as np
from scipy import stats

Values = Sequence[float] | np.ndarray
ALPHA = 0.05
POWER = 0.8  # "would have been seen": in so many of repetitions
SIMULATED = 4000  # repetitions in a simulation of power
FARTHEST = 10.0  # standard deviations: no result of one is below any of the other
PERMUTATIONS = 10_000  # where ties forbid the exact distribution; all of them, if they are fewer


# --------------------------------------------------------------------------------------- one sample


@dataclass(frozen=True)
class Summary:
    """A strategy's results on one metric.

    Attributes:
        n: how many results there are, broken ones included.
        broken: how many of them are NaN.
        median, mean: of the finite ones; None if there is none.
        low, high: the bootstrap interval of the median; None below two finite results.
        best: the largest.
    """

    n: int
    broken: int
    median: float | None
    mean: float | None
    low: float | None
    high: float | None
    best: float | None


def summarise(values: Values) -> Summary:
    """Return the summary of results (n,)."""
    array = np.asarray(values, float)
    finite = array[np.isfinite(array)]
    if not finite.size:
        return Summary(array.size, array.size, None, None, None, None, None)
    low, high = bootstrap_interval(finite) or (None, None)
    return Summary(
        array.size,
        array.size - finite.size,
        float(np.median(finite)),
        float(finite.mean()),
        low,
        high,
        float(finite.max()),
    )


def bootstrap_interval(
    values: Values, confidence: float = 0.95, resamples: int = 9999, seed: int = 0
) -> tuple[float, float] | None:
    """Return the percentile bootstrap interval of the median of finite values; None below two."""
    array = np.asarray(values, float)
    if array.size < 2:
        return None
    if np.ptp(array) == 0:
        return float(array[0]), float(array[0])
    found = stats.bootstrap(
        (array,),
        np.median,
        confidence_level=confidence,
        n_resamples=resamples,
        method="percentile",
        rng=np.random.default_rng(seed),
    )
    return float(found.confidence_interval.low), float(found.confidence_interval.high)


# -------------------------------------------------------------------------------------------- pairs


@dataclass(frozen=True)
class Pair:
    """Two strategies compared on one metric.

    Attributes:
        one, other: the strategies' names.
        paired: whether the seeds were the same, so that Wilcoxon's test was used.
        n: how many seeds each has (the smaller number, where they differ).
        p: the test's two-sided p; None where there is nothing to test.
        holm: p after Holm's correction over all pairs that are tested.
        effect: A, the chance that a run of `one` is better than a run of `other`.
        detectable: the smallest A that would have been found with power 0.8; None if none would.
    """

    one: str
    other: str
    paired: bool
    n: int
    p: float | None
    holm: float | None
    effect: float | None
    detectable: float | None

    def differs(self, alpha: float = ALPHA) -> bool:
        """Return whether a difference was found."""
        return self.holm is not None and self.holm <= alpha


def compare_all(
    results: Mapping[str, Mapping[int, float]], control: str | None = None, alpha: float = ALPHA
) -> tuple[Pair, ...]:
    """Compare strategies by their results, `results[strategy][seed]`: every two, or with a control.

    The detectable effect is reckoned at alpha over the number of pairs: Holm's hardest step.
    """
    if control is None:
        names = list(combinations(results, 2))
    else:
        names = [(control, other) for other in results if other != control]
    tested = [_test(results[one], results[other]) for one, other in names]
    corrected = holm([p for _, p, _ in tested])
    pairs = []
    for (one, other), (paired, p, effect), adjusted in zip(names, tested, corrected, strict=True):
        n, m = len(results[one]), len(results[other])
        detectable = smallest_detectable(n, None if paired else m, alpha / len(names))
        pairs.append(Pair(one, other, paired, min(n, m), p, adjusted, effect, detectable))
    return tuple(pairs)


def _test(
    one: Mapping[int, float], other: Mapping[int, float]
) -> tuple[bool, float | None, float | None]:
    """Return whether the seeds are the same, the p of the fitting test, and A."""
    paired = set(one) == set(other)
    seeds = sorted(one)
    x = np.array([one[seed] for seed in seeds], float)
    y = np.array([other[seed] for seed in (seeds if paired else sorted(other))], float)
    if not x.size or not y.size:
        return paired, None, None
    x, y = rank_broken_last(x, y)
    return paired, wilcoxon(x, y) if paired else mann_whitney(x, y), vargha_delaney(x, y)


def rank_broken_last(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return both samples with NaN replaced by one number below every other.

    It lies so far below that a difference to it is larger than any other difference.
    """
    both = np.concatenate([x, y])
    finite = both[np.isfinite(both)]
    below = finite.min() - (np.ptp(finite) * 2 + 1) if finite.size else 0.0
    return np.where(np.isfinite(x), x, below), np.where(np.isfinite(y), y, below)


def wilcoxon(x: np.ndarray, y: np.ndarray) -> float:
    """Return the two-sided p of Wilcoxon's signed-rank test of x (n,) against y (n,), in pairs."""
    differences = x - y
    moved = differences[differences != 0]
    if not moved.size:
        return 1.0
    tied = np.unique(np.abs(moved)).size < moved.size
    method = _permutations() if tied else "exact"
    return float(stats.wilcoxon(moved, method=method).pvalue)


def mann_whitney(x: np.ndarray, y: np.ndarray) -> float:
    """Return the two-sided p of Mann and Whitney's rank test of x (n,) against y (m,)."""
    if np.ptp(np.concatenate([x, y])) == 0:
        return 1.0
    tied = np.unique(np.concatenate([x, y])).size < x.size + y.size
    if tied and min(x.size, y.size) < 2:
        return 1.0  # one result, and it is no other than some of the others
    method = _permutations() if tied else "exact"
    return float(stats.mannwhitneyu(x, y, method=method).pvalue)


def _permutations() -> stats.PermutationMethod:
    return stats.PermutationMethod(n_resamples=PERMUTATIONS, rng=np.random.default_rng(0))


def vargha_delaney(x: Values, y: Values) -> float:
    """Return A = P(X > Y) + P(X = Y) / 2 (Vargha and Delaney 2000); 0.5 is no difference."""
    one, other = np.asarray(x, float)[:, None], np.asarray(y, float)[None, :]
    return float((one > other).mean() + (one == other).mean() / 2)


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Return p-values corrected by Holm's step-down procedure (1979); None stays, uncounted."""
    order = sorted((p, place) for place, p in enumerate(p_values) if p is not None)
    corrected: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for rank, (p, place) in enumerate(order):
        largest = max(largest, min(1.0, p * (len(order) - rank)))
        corrected[place] = largest
    return corrected


# -------------------------------------------------------------------------------------------- power


def seeds_needed(pairs: int, alpha: float = ALPHA) -> int:
    """Return from how many seeds on Wilcoxon's test can reach alpha over `pairs` (Holm) at all.

    The smallest two-sided p of n pairs is 2 / 2^n.
    """
    n = 1
    while 2 / 2**n > alpha / max(1, pairs):
        n += 1
    return n


@lru_cache(maxsize=256)
def smallest_detectable(
    n: int, m: int | None, alpha: float, power: float = POWER, seed: int = 0
) -> float | None:
    """Return the smallest effect A that a test finds with a given power, or None if none is.

    By simulation of normal results of equal spread whose means lie d apart, where
    A = Phi(d / sqrt 2); the same draws for every d, so that the power grows with it. Results of the
    same seed are taken as independent: where they go together, smaller effects are found too.

    Args:
        n: results of one strategy.
        m: results of the other; None: as many, in pairs, by Wilcoxon's test.
        alpha: two-sided.
        power: the share of simulations in which the difference is found.
        seed: of the simulation.
    """
    if not n or m == 0:
        return None
    stream = np.random.default_rng(seed)
    x = stream.standard_normal((SIMULATED, n))
    y = stream.standard_normal((SIMULATED, n if m is None else m))

    def found(distance: float) -> float:
        if m is None:
            test = stats.wilcoxon(x + distance - y, axis=1, method="exact")
        else:
            test = stats.mannwhitneyu(x + distance, y, axis=1, method="exact")
        return float((test.pvalue <= alpha).mean())

    if found(FARTHEST) < power:
        return None
    low, high = 0.0, FARTHEST
    for _ in range(30):
        middle = (low + high) / 2
        low, high = (low, middle) if found(middle) >= power else (middle, high)
    return float(stats.norm.cdf(high / np.sqrt(2)))


# ------------------------------------------------------------------------------ selection's signal


@dataclass(frozen=True)
class Signal:
    """What selection had to go by in one generation.

    Attributes:
        spread: standard deviation of the children's true fitness, less what noise adds to it.
        noise: standard deviation of one draw's error in comparing children.
        agreement: how often two draws choose the same child.
        chance: how often they would if they chose blindly.
    """

    spread: float
    noise: float
    agreement: float
    chance: float

    @property
    def ratio(self) -> float:
        """Signal to noise: below 1 the draw decides more than the children do."""
        if self.noise == 0:
            return 0.0 if self.spread == 0 else float("inf")
        return self.spread / self.noise


def signal_of(fitness: np.ndarray) -> Signal | None:
    """Return the signal in fitness (R, C): R evaluation draws of the same C children.

    A two-way analysis of variance without repetition: what a draw adds to all children alike does
    not change who wins, so the noise is what is left after the children's and the draws' means. The
    variance of the means holds a share 1/R of it, which is taken off. A child without a finite
    fitness is left out; below two children or two draws there is nothing to tell, hence None.
    """
    fitness = fitness[:, np.isfinite(fitness).all(axis=0)]
    draws, children = fitness.shape
    if draws < 2 or children < 2:
        return None
    of_child = fitness.mean(axis=0, keepdims=True)  # (1, C)
    of_draw = fitness.mean(axis=1, keepdims=True)  # (R, 1)
    rest = fitness - of_child - of_draw + fitness.mean()
    noise = float((rest**2).sum() / ((draws - 1) * (children - 1)))
    spread = max(0.0, float(of_child.var(ddof=1)) - noise / draws)
    wins = np.bincount(fitness.argmax(axis=1), minlength=children)
    agreement = float((wins * (wins - 1)).sum() / (draws * (draws - 1)))
    return Signal(spread**0.5, noise**0.5, agreement, 1 / children)
