"""The statistics against scipy, against enumeration, and on cases made by hand."""

from itertools import combinations, product
from math import nan

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from runs.study.statistics import (
    bootstrap_interval,
    compare_all,
    holm,
    mann_whitney,
    seeds_needed,
    signal_of,
    smallest_detectable,
    summarise,
    vargha_delaney,
    wilcoxon,
)

distinct = st.lists(
    st.integers(-1000, 1000).filter(bool), min_size=2, max_size=9, unique_by=abs
).map(lambda values: np.array(values, float))


def seeds(*values: float) -> dict[int, float]:
    return dict(enumerate(values))


# --------------------------------------------------------------------------------------- one sample


def test_a_summary_of_known_numbers():
    found = summarise([3.0, 1.0, 2.0, 10.0])
    assert (found.n, found.broken, found.median, found.mean, found.best) == (4, 0, 2.5, 4.0, 10.0)
    assert found.low <= found.median <= found.high


def test_equal_results_have_an_interval_of_no_width():
    found = summarise([0.5] * 5)
    assert (found.low, found.median, found.high) == (0.5, 0.5, 0.5)


def test_one_seed_has_a_median_and_no_interval():
    found = summarise([0.5])
    assert (found.median, found.low, found.high) == (0.5, None, None)


def test_broken_results_are_counted_and_kept_out_of_the_median():
    found = summarise([1.0, nan, 3.0])
    assert (found.n, found.broken, found.median, found.best) == (3, 1, 2.0, 3.0)


def test_nothing_but_broken_results_have_no_median():
    found = summarise([nan, nan])
    assert (found.n, found.broken, found.median, found.best) == (2, 2, None, None)


def test_no_result_is_no_error():
    assert summarise([]).n == 0


def test_an_outlier_moves_the_mean_and_not_the_median():
    plain, spoilt = summarise([1, 2, 3, 4, 5]), summarise([1, 2, 3, 4, 5000])
    assert plain.median == spoilt.median == 3
    assert spoilt.mean > 1000


def test_the_interval_is_that_of_all_resamples_counted_out():
    values = np.array([1.0, 2.0, 4.0, 8.0, 16.0])
    medians = sorted(np.median(chosen) for chosen in product(values, repeat=5))
    low, high = bootstrap_interval(values)
    assert low == pytest.approx(np.quantile(medians, 0.025))
    assert high == pytest.approx(np.quantile(medians, 0.975))


def test_the_interval_is_the_same_every_time():
    assert bootstrap_interval([1, 5, 2, 9]) == bootstrap_interval([1, 5, 2, 9])


# -------------------------------------------------------------------------------------------- tests


def test_wilcoxon_agrees_with_scipy_on_known_data():
    # Heights of cross- and self-fertilised corn plants, Darwin 1876: the data of scipy's own page.
    differences = np.array([6, 8, 14, 16, 23, 24, 28, 29, 41, -48, 49, 56, 60, -67, 75.0])
    assert wilcoxon(differences, np.zeros(15)) == pytest.approx(0.041259765625)


@given(distinct)
def test_wilcoxon_is_the_share_of_signs_at_least_as_extreme(differences):
    ranks = stats.rankdata(np.abs(differences))
    total = ranks.sum()
    seen = abs(2 * ranks[differences > 0].sum() - total)
    sums = [abs(2 * np.dot(signs, ranks) - total) for signs in product((0, 1), repeat=len(ranks))]
    expected = np.mean([value >= seen for value in sums])
    assert wilcoxon(differences, np.zeros_like(differences)) == pytest.approx(expected)


def test_wilcoxon_with_ties_counts_all_signs_of_the_shared_ranks():
    differences = np.array([1.0, 1.0, 1.0, -1.0, 2.0])
    ranks = stats.rankdata(np.abs(differences))
    seen = abs(ranks[differences > 0].sum() - ranks.sum() / 2)
    sums = [abs(np.dot(s, ranks) - ranks.sum() / 2) for s in product((0, 1), repeat=5)]
    expected = np.mean([value >= seen for value in sums])
    assert wilcoxon(differences, np.zeros(5)) == pytest.approx(expected)


def test_equal_samples_do_not_differ():
    same = np.array([1.0, 2.0, 3.0])
    assert wilcoxon(same, same) == 1.0
    assert mann_whitney(np.ones(4), np.ones(5)) == 1.0


def test_mann_whitney_is_the_share_of_orders_at_least_as_extreme():
    x, y = np.array([1.0, 4.0, 6.0, 7.0]), np.array([2.0, 3.0, 5.0])
    ranks = range(1, 8)
    sums = np.array([sum(chosen) for chosen in combinations(ranks, 4)])
    seen = stats.rankdata(np.concatenate([x, y]))[:4].sum()
    centre = 4 * 8 / 2
    expected = np.mean(np.abs(sums - centre) >= abs(seen - centre))
    assert mann_whitney(x, y) == pytest.approx(expected)


def test_five_pairs_cannot_reach_five_percent():
    assert wilcoxon(np.arange(1.0, 6.0), np.zeros(5)) == pytest.approx(2 / 2**5)


def test_holm_corrects_as_worked_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.01, None, 0.5]) == [0.02, None, 0.5]
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_vargha_delaney_counts_wins_and_half_the_ties():
    assert vargha_delaney([3, 4], [1, 2]) == 1.0
    assert vargha_delaney([1, 2], [3, 4]) == 0.0
    assert vargha_delaney([1, 1], [1, 1]) == 0.5
    assert vargha_delaney([1, 3], [2]) == 0.5


# -------------------------------------------------------------------------------------------- pairs


def test_the_same_seeds_are_paired_and_other_seeds_are_not():
    pairs = compare_all({"a": seeds(1, 2, 3), "b": seeds(1, 2, 4), "c": {0: 1, 7: 2, 8: 3}})
    assert [pair.paired for pair in pairs] == [True, False, False]


def test_a_missing_seed_leaves_the_smaller_number():
    (pair,) = compare_all({"a": seeds(1, 2, 3, 4), "b": seeds(5, 6, 7)})
    assert (pair.paired, pair.n, pair.effect) == (False, 3, 0.0)


def test_a_broken_result_loses_against_every_number():
    (pair,) = compare_all({"a": seeds(nan, nan, nan), "b": seeds(-9, -8, -7)})
    assert pair.effect == 0.0
    (ties,) = compare_all({"a": seeds(nan, nan), "b": seeds(nan, nan)})
    assert (ties.effect, ties.p) == (0.5, 1.0)


def test_a_broken_result_weighs_more_than_any_other_difference():
    better = seeds(1, 2, 3, 4, 5, 6)
    (one,) = compare_all({"a": better, "b": {**seeds(0, 0, 0, 0, 0), 5: nan}})
    assert one.p == pytest.approx(2 / 2**6)


def test_a_strategy_without_results_is_not_tested():
    (pair,) = compare_all({"a": seeds(1, 2), "b": {}})
    assert (pair.p, pair.holm, pair.effect) == (None, None, None)
    assert not pair.differs()


def test_a_clear_difference_with_many_seeds_is_found():
    rng = np.random.default_rng(0)
    noise, shifts = rng.normal(size=(3, 12)), np.array([[0], [0], [9]])
    results = {n: seeds(*row) for n, row in zip("abc", noise + shifts, strict=True)}
    ab, ac, bc = compare_all(results)
    assert not ab.differs() and ac.differs() and bc.differs()


def test_a_lone_strategy_makes_no_pairs():
    assert compare_all({"a": seeds(1, 2)}) == ()


# -------------------------------------------------------------------------------------------- power


def test_too_few_seeds_can_find_nothing():
    assert smallest_detectable(5, None, 0.05) is None
    assert smallest_detectable(6, None, 0.05) is not None
    assert smallest_detectable(1, 1, 0.05) is None
    assert seeds_needed(1) == 6
    assert seeds_needed(10) == 9


def test_more_seeds_find_smaller_differences():
    found = [smallest_detectable(n, None, 0.05) for n in (6, 10, 20, 40)]
    assert found == sorted(found, reverse=True)
    assert 0.5 < found[-1] < 0.75


@pytest.mark.parametrize("other", [None, 9])
def test_the_detectable_effect_has_the_power_that_it_claims(other):
    # By scipy's own tests on other draws.
    n, alpha = 10, 0.05
    effect = smallest_detectable(n, other, alpha)
    distance = stats.norm.ppf(effect) * np.sqrt(2)
    rng = np.random.default_rng(5)
    found = 0
    for _ in range(600):
        x, y = rng.normal(distance, 1, n), rng.normal(0, 1, other or n)
        p = mann_whitney(x, y) if other else wilcoxon(x, y)
        found += p <= alpha
    assert found / 600 == pytest.approx(0.8, abs=0.06)


# ------------------------------------------------------------------------------- selection's signal


def test_a_draw_that_moves_all_children_alike_is_no_noise():
    children = np.array([1.0, 2.0, 4.0])
    shifts = np.array([[0.0], [5.0], [-3.0], [9.0]])
    found = signal_of(children + shifts)
    assert found.noise == pytest.approx(0, abs=1e-12)
    assert found.spread == pytest.approx(children.std(ddof=1))
    assert found.agreement == 1.0


def test_the_spread_and_the_noise_that_were_put_in_are_found():
    rng = np.random.default_rng(1)
    children = rng.normal(0, 2.0, 400)
    fitness = children + rng.normal(0, 10, (64, 1)) + rng.normal(0, 0.5, (64, 400))
    found = signal_of(fitness)
    assert found.spread == pytest.approx(2.0, rel=0.1)
    assert found.noise == pytest.approx(0.5, rel=0.05)
    assert found.ratio == pytest.approx(4.0, rel=0.15)


def test_equal_children_win_by_chance():
    rng = np.random.default_rng(2)
    found = [signal_of(rng.normal(size=(32, 3))) for _ in range(200)]
    assert np.mean([one.agreement for one in found]) == pytest.approx(1 / 3, abs=0.02)
    assert np.median([one.ratio for one in found]) < 0.35


def test_a_failed_child_is_left_out_and_a_lone_one_tells_nothing():
    fitness = np.array([[1.0, nan, 2.0], [1.5, nan, 2.5]])
    assert signal_of(fitness).agreement == 1.0
    assert signal_of(fitness[:, :2]) is None
    assert signal_of(fitness[:1]) is None


def test_a_single_result_that_ties_is_no_difference():
    assert mann_whitney(np.array([2.0]), np.array([1.0, 2.0, 3.0])) == 1.0
    assert mann_whitney(np.array([1.0, 2.0, 3.0]), np.array([2.0])) == 1.0
    assert mann_whitney(np.array([0.0]), np.array([1.0, 2.0, 3.0])) == 0.5
