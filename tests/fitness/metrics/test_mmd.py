import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fitness.metrics.kid import kernel_distance
from fitness.metrics.mmd import (
    gaussian_kernel,
    mean_bandwidth,
    multiscale_kernel,
    polynomial_kernel,
    similarity,
    unbiased_mmd,
)


def draw(count, dimension=6, seed=0, shift=0.0):
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.normal(shift, 1, (count, dimension)))


def brute_force(x, y, kernel) -> float:
    """Every pair by itself."""
    x, y = x.numpy(), y.numpy()
    within = [
        sum(kernel(a[i], a[j]) for i in range(len(a)) for j in range(len(a)) if i != j)
        / (len(a) * (len(a) - 1))
        for a in (x, y)
    ]
    return sum(within) - 2 * np.mean([kernel(a, b) for a in x for b in y])


@settings(deadline=None, max_examples=25)
@given(st.integers(2, 17), st.integers(2, 17), st.integers(1, 20), st.integers(0, 1000))
def test_kid_is_the_sum_over_all_pairs_whatever_the_tiles(n, m, tile, seed):
    x, y = draw(n, seed=seed), draw(m, seed=seed + 1, shift=1.0)
    expected = brute_force(x, y, lambda a, b: (a @ b / 6 + 1) ** 3)
    found = unbiased_mmd(x, y, polynomial_kernel(6), tile)
    assert found == pytest.approx(expected, rel=1e-10, abs=1e-10)


@settings(deadline=None, max_examples=25)
@given(st.integers(2, 12), st.integers(2, 12), st.integers(1, 14), st.integers(0, 1000))
def test_gaussian_mmd_is_the_sum_over_all_pairs_whatever_the_tiles(n, m, tile, seed):
    x, y = draw(n, seed=seed), draw(m, seed=seed + 1, shift=1.0)
    expected = brute_force(x, y, lambda a, b: np.exp(-((a - b) ** 2).sum() / (2 * 1.5**2)))
    found = unbiased_mmd(x, y, gaussian_kernel(1.5), tile)
    assert found == pytest.approx(expected, rel=1e-10, abs=1e-10)


def test_kid_agrees_with_torchmetrics_on_a_single_subset_of_everything():
    from torchmetrics.image.kid import poly_mmd

    x, y = draw(200), draw(200, seed=1, shift=0.3)
    assert kernel_distance(x, y) == pytest.approx(float(poly_mmd(x, y)), rel=1e-9)


def test_kid_is_the_expectation_of_the_papers_random_subsets():
    x, y = draw(400), draw(400, seed=1, shift=0.3)
    generator = torch.Generator().manual_seed(0)
    subsets = [
        kernel_distance(
            x[torch.randperm(400, generator=generator)[:100]],
            y[torch.randperm(400, generator=generator)[:100]],
        )
        for _ in range(200)
    ]
    error = np.std(subsets) / len(subsets) ** 0.5
    assert abs(np.mean(subsets) - kernel_distance(x, y)) < 4 * error


def test_samples_of_one_distribution_scatter_around_zero():
    values = [kernel_distance(draw(100, seed=s), draw(100, seed=s + 500)) for s in range(40)]
    assert abs(np.mean(values)) < 4 * np.std(values) / len(values) ** 0.5
    assert min(values) < 0 < max(values)


def test_float32_features_lose_nothing_in_the_sums():
    x, y = draw(50).float(), draw(50, seed=1).float()
    assert kernel_distance(x, y) == kernel_distance(x.double(), y.double())


def test_memory_does_not_grow_with_the_number_of_pairs(largest_tensor):
    x, y = draw(1000), draw(900, seed=1)
    with largest_tensor as largest:
        unbiased_mmd(x, y, gaussian_kernel(1.0), tile=64)
    # A tile of pairs, or one pass over the features; never the 900,000 pairs.
    assert largest.size <= max(64 * 64, 1000 * 6)


def test_the_bandwidth_squared_is_half_the_mean_squared_distance():
    x = draw(60)
    squared = torch.cdist(x, x).square().sum() / (60 * 59)
    assert mean_bandwidth(x) ** 2 == pytest.approx(float(squared) / 2)


def test_equal_features_set_no_bandwidth():
    with pytest.raises(ValueError, match="all real features are equal"):
        mean_bandwidth(torch.ones(5, 2))


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (torch.ones(1, 2), torch.ones(3, 2), "at least 2 rows"),
        (torch.ones(3, 2), torch.ones(3, 4), r"\(3, 2\) and \(3, 4\) arrived"),
        (torch.ones(3, 2), torch.full((3, 2), torch.nan), "3 of 3 images have NaN"),
    ],
)
def test_features_that_cannot_be_compared_are_refused(x, y, message):
    with pytest.raises(ValueError, match=message):
        kernel_distance(x, y)


def test_a_multiscale_mmd_is_the_mean_over_halving_bandwidths_in_units_of_the_reals_similarity():
    rng = np.random.default_rng(0)
    places = rng.integers(0, 5, (40, 2)) * 4.0
    x = torch.from_numpy(places + rng.normal(0, 0.5, (40, 2)))
    y = torch.from_numpy(rng.uniform(0, 16, (30, 2)))
    bandwidth, terms = mean_bandwidth(x), []
    for scale in range(12):
        width = bandwidth / 2**scale

        def kernel(a, b, width=width):
            return np.exp(-((a - b) ** 2).sum() / (2 * width**2))

        rows = x.numpy()
        mean = np.mean([kernel(rows[i], rows[j]) for i in range(40) for j in range(40) if i != j])
        if mean < 0.01:
            break
        terms.append(brute_force(x, y, kernel) / mean)
    assert len(terms) >= 4
    found = unbiased_mmd(x, y, multiscale_kernel(x))
    assert found == pytest.approx(np.mean(terms), rel=1e-9)
    within = similarity(x, multiscale_kernel(x))
    assert within == pytest.approx(1.0)
    assert unbiased_mmd(x, y, multiscale_kernel(x), within_x=within) == found


def test_a_multiscale_mmd_sees_shapes_that_few_pairs_are_near_enough_to_show():
    """Of modes that are blurred a single wide kernel sees little."""
    rng = np.random.default_rng(0)
    centres = rng.integers(0, 5, (2, 1000, 2)) * 2.0
    real = torch.from_numpy(centres[0] + rng.normal(0, 0.2, (1000, 2)))
    blurred = torch.from_numpy(rng.uniform(-1, 9, (1000, 2)))
    same = torch.from_numpy(centres[1] + rng.normal(0, 0.2, (1000, 2)))
    kernel = multiscale_kernel(real)
    assert abs(unbiased_mmd(real, same, kernel)) < 0.01  # 10 / samples
    assert unbiased_mmd(real, blurred, kernel) > 0.1
