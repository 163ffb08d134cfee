import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fitness.statistics import RunningStatistics, Statistics


def statistics(features, space="pixels", identity="a", shape=None) -> Statistics:
    running = RunningStatistics(features.shape[1])
    running.update(features)
    return running.finish(space, identity, shape)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(1, 40), min_size=2, max_size=6), st.integers(0, 2**31))
def test_a_stream_gives_the_moments_of_the_whole_however_it_is_cut(sizes, seed):
    features = np.random.default_rng(seed).normal(100, 1, (sum(sizes), 5))
    running = RunningStatistics(5)
    for part in torch.from_numpy(features).split(sizes):
        running.update(part)
    found = running.finish("pixels", None, None)
    np.testing.assert_allclose(found.mean, features.mean(0), rtol=1e-12)
    np.testing.assert_allclose(found.covariance, np.cov(features, rowvar=False), atol=1e-10)
    assert found.count == len(features)


def test_a_large_offset_does_not_cancel_the_variance():
    features = 1e6 + torch.tensor([[0.0], [1.0], [2.0], [3.0]], dtype=torch.float64)
    assert statistics(features.repeat(500, 1)).covariance[0, 0] == pytest.approx(2500 / 1999)


def test_memory_does_not_grow_with_the_number_of_images(largest_tensor):
    running = RunningStatistics(20)
    with largest_tensor as largest:
        for _ in range(100):
            running.update(torch.ones(30, 20))
    assert running.count == 3000
    # The covariance, or a batch and one row more.
    assert largest.size <= max(20 * 20, 31 * 20)


def test_features_that_are_not_finite_are_counted_and_refused():
    features = torch.ones(5, 2)
    features[1, 0], features[4, 1] = torch.nan, torch.inf
    with pytest.raises(ValueError, match="2 of 5 images have NaN or infinite features"):
        RunningStatistics(2).update(features)


def test_one_image_has_no_covariance():
    with pytest.raises(ValueError, match="at least 2 images; 1 arrived"):
        statistics(torch.ones(1, 3))


def test_a_covariance_that_would_fill_the_memory_is_refused():
    with pytest.raises(ValueError, match="12,288 dimensions is too large"):
        RunningStatistics(12_288)
