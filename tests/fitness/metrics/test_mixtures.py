import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fitness.metrics.mixtures import mixture_scores, nearest_modes, overlap

GRID = np.stack(np.meshgrid(range(-4, 5, 2), range(-4, 5, 2)), -1).reshape(-1, 2).astype(float)


def draw(modes, count=2500, deviation=0.05, seed=0):
    rng = np.random.default_rng(seed)
    return GRID[rng.choice(modes, count)] + rng.normal(0, deviation, (count, 2))


def test_true_samples_cover_all_modes_with_the_share_that_three_sigma_holds():
    scores = mixture_scores(draw(range(25)), GRID, 0.05)
    assert scores.modes == 25
    assert scores.high_quality == pytest.approx(1 - np.exp(-4.5), abs=0.006)  # in two dimensions
    assert scores.kl == pytest.approx(0, abs=0.01)


def test_dropped_modes_are_counted_and_their_divergence_known():
    scores = mixture_scores(draw(range(5), 50_000), GRID, 0.05)
    assert scores.modes == 5
    assert scores.kl == pytest.approx(np.log(5), abs=0.001)


def test_wide_samples_are_of_low_quality():
    assert mixture_scores(draw(range(25), deviation=0.5), GRID, 0.05).high_quality < 0.1


def test_a_mode_with_nothing_but_stray_samples_is_not_covered():
    samples = np.array([[0.0, 0.0], [2.0, 0.16]])
    scores = mixture_scores(samples, GRID, 0.05)
    assert (scores.modes, scores.high_quality) == (1, 0.5)


def test_unequal_true_weights_are_what_the_histogram_is_compared_with():
    centres = np.array([[0.0], [10.0]])
    samples = np.array([[0.0], [0.0], [0.0], [10.0]])
    assert mixture_scores(samples, centres, 1.0, np.array([0.75, 0.25])).kl == pytest.approx(0)
    expected = 0.75 * np.log(0.75 / 0.5) + 0.25 * np.log(0.25 / 0.5)
    assert mixture_scores(samples, centres, 1.0).kl == pytest.approx(expected)


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 30), st.integers(1, 6), st.integers(0, 10**6))
def test_it_follows_the_definition(count, modes, seed):
    rng = np.random.default_rng(seed)
    samples, centres = rng.normal(0, 3, (count, 3)), rng.normal(0, 3, (modes, 3))
    deviations = rng.uniform(0.2, 1.5, modes)
    good, nearest = [], []
    for sample in samples:
        distances = [np.linalg.norm(sample - c) / d for c, d in zip(centres, deviations)]
        nearest.append(int(np.argmin(distances)))
        good.append(min(distances) <= 3)
    found = mixture_scores(samples, centres, deviations)
    assert found.modes == len({m for m, g in zip(nearest, good) if g})
    assert found.high_quality == np.mean(good)
    shares = [nearest.count(m) / count for m in range(modes)]
    assert found.kl == pytest.approx(sum(s * np.log(s * modes) for s in shares if s))


@pytest.mark.parametrize(
    ("samples", "deviation", "weights", "message"),
    [
        (np.zeros((5, 3)), 1, None, r"\(5, 3\) and \(25, 2\) arrived"),
        (np.zeros((0, 2)), 1, None, "none may be empty"),
        (np.array([[0, 0], [np.nan, 0]]), 1, None, "1 of 2 samples are NaN"),
        (np.zeros((5, 2)), 0, None, "deviations must be positive"),
        (np.zeros((5, 2)), 1, np.ones(25), "add up to 1"),
        (np.zeros((5, 2)), 1, np.ones(3) / 3, "25 positive shares"),
    ],
)
def test_what_cannot_be_scored_is_refused(samples, deviation, weights, message):
    with pytest.raises(ValueError, match=message):
        mixture_scores(samples, GRID, deviation, weights)


def test_overlap_is_the_mass_that_the_histograms_share():
    true = overlap(draw(range(25), 100_000), GRID, 0.05)
    assert true == pytest.approx(1 - 0.4 * np.sqrt(400 / 100_000), abs=0.005)
    half = overlap(draw(range(10), 100_000), GRID, 0.05)
    assert half == pytest.approx(10 / 25, abs=0.005)  # 10 modes have their mass, and more
    narrow = overlap(draw(range(25), 100_000, 0.0001), GRID, 0.05)
    assert narrow == pytest.approx(1 / 4, abs=0.005)  # all in the inmost of four shells
    shifted = draw(range(25), 100_000)
    shifted[:, 0] = GRID[nearest_modes(shifted, GRID, 0.05)][:, 0] + 0.01
    assert overlap(shifted, GRID, 0.05) < 0.56  # one half-plane of each mode is empty


def test_overlap_follows_the_definition_with_unequal_modes():
    rng = np.random.default_rng(0)
    centres, deviations = np.array([[0.0], [100.0]]), np.array([1.0, 2.0])
    samples = np.r_[rng.normal(0, 1, (30, 1)), rng.normal(100, 3, (20, 1))]
    weights = np.array([0.75, 0.25])
    edges = [-1.1503, -0.6745, -0.3186, 0.0, 0.3186, 0.6745, 1.1503]  # eighths of N(0, 1)
    expected = 0.0
    for centre, deviation, weight in zip(centres, deviations, weights):
        own = samples[abs(samples[:, 0] - centre) < 50, 0]
        for low, high in zip([-np.inf, *edges], [*edges, np.inf]):
            inside = ((own - centre) / deviation > low) & ((own - centre) / deviation <= high)
            expected += min(inside.sum() / 50, weight / 8)
    assert overlap(samples, centres, deviations, weights) == pytest.approx(expected)
