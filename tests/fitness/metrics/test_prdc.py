import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fitness.metrics.prdc import PRDC, precision_recall_density_coverage
from fitness.metrics.tiles import STRIP, distance_tiles, distance_tiles_within


def draw(count, dimension=4, seed=0, shift=0.0):
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.normal(shift, 1, (count, dimension)))


def brute_force(real, fake, k) -> PRDC:
    """The papers' definitions, one ball at a time."""
    real, fake = real.numpy(), fake.numpy()

    def radius(i, points):
        others = np.delete(points, i, axis=0)
        return np.sort(np.linalg.norm(others - points[i], axis=1))[k - 1]

    real_radius = [radius(i, real) for i in range(len(real))]
    fake_radius = [radius(j, fake) for j in range(len(fake))]

    def inside(point, centre, reach):
        return np.linalg.norm(point - centre) <= reach

    in_real = np.array([[inside(f, r, d) for r, d in zip(real, real_radius)] for f in fake])
    in_fake = np.array([[inside(r, f, d) for f, d in zip(fake, fake_radius)] for r in real])
    return PRDC(
        precision=in_real.any(axis=1).mean(),
        recall=in_fake.any(axis=1).mean(),
        density=in_real.sum() / (k * len(fake)),
        coverage=in_real.any(axis=0).mean(),
    )


@settings(deadline=None, max_examples=40)
@given(
    st.integers(4, 25),
    st.integers(4, 25),
    st.integers(1, 3),
    st.integers(1, 30),
    st.floats(0, 3),
    st.integers(0, 1000),
)
def test_all_four_follow_the_papers_whatever_the_tiles(n, m, k, tile, shift, seed):
    real, fake = draw(n, seed=seed), draw(m, seed=seed + 1, shift=shift)
    found = precision_recall_density_coverage(real, fake, k, tile)
    assert vars(found) == pytest.approx(vars(brute_force(real, fake, k)))


@pytest.mark.parametrize("dimension", [2, 300])
def test_a_set_in_another_order_scores_ideal(dimension):
    same = draw(STRIP + 200, dimension)
    found = precision_recall_density_coverage(same, same.flip(0), tile=STRIP + 70)
    assert (found.precision, found.recall, found.coverage) == (1, 1, 1)
    # k neighbours and the image itself, over k = 5. The farthest is on the edge of the ball.
    assert found.density == pytest.approx(1.2, abs=1e-9)


def test_sets_far_apart_score_nothing():
    found = precision_recall_density_coverage(draw(50), draw(50, shift=100.0))
    assert found == PRDC(0, 0, 0, 0)


def test_density_of_another_sample_of_the_same_distribution_is_one():
    found = precision_recall_density_coverage(draw(1500), draw(1500, seed=1))
    assert found.density == pytest.approx(1, abs=0.05)


def test_rows_repeated_are_at_distance_zero_exactly():
    rows = draw(30, 2048) * 100
    ((_, _, squared),) = distance_tiles(rows.float(), rows.flip(0).float())
    assert torch.equal(squared == 0, torch.eye(30).flip(0).bool())


@pytest.mark.parametrize("tile", [1000, STRIP + 20, 50])
def test_distances_within_a_set_are_half_of_all(tile):
    rows = draw(2 * STRIP + 40, 20)
    found = torch.full((len(rows), len(rows)), torch.nan, dtype=torch.float64)
    for left, right, squared in distance_tiles_within(rows, tile):
        assert right.start >= left.start
        found[left, right] = squared
    mirrored = torch.where(found.isnan(), found.T, found)
    expected = torch.cdist(rows, rows, compute_mode="donot_use_mm_for_euclid_dist").square()
    assert torch.allclose(mirrored, expected, rtol=1e-12, atol=1e-12)


def test_memory_does_not_grow_with_the_number_of_pairs(largest_tensor):
    real, fake = draw(1000), draw(900, seed=1)
    with largest_tensor as largest:
        precision_recall_density_coverage(real, fake, tile=64)
    # A tile of pairs, or the neighbours of every row; never the 900,000 pairs.
    assert largest.size <= max(64 * 64, 1000 * 6)


@pytest.mark.parametrize(
    ("real", "fake", "message"),
    [
        (torch.ones(5, 2), torch.ones(9, 2), "at least 6 images of each side; 5 real and 9"),
        (torch.ones(9, 2), torch.ones(9, 3), r"\(9, 2\) and \(9, 3\) arrived"),
        (torch.full((9, 2), torch.inf), torch.ones(9, 2), "9 of 9 images have NaN or infinite"),
    ],
)
def test_features_that_cannot_be_compared_are_refused(real, fake, message):
    with pytest.raises(ValueError, match=message):
        precision_recall_density_coverage(real, fake)
