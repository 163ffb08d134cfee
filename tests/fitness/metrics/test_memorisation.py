"""The search for copies: nearest neighbours by brute force, and what copies do to the numbers."""

import numpy as np
import pytest
import torch

from fitness.metrics.memorisation import memorisation, nearest_rows


def draw(count, seed=0, dimension=3):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(count, dimension)))


@pytest.mark.parametrize("tile", [1, 4, 100])
@pytest.mark.parametrize("others", [False, True])
def test_nearest_rows_are_those_of_all_pairs(tile, others):
    a = draw(11)
    b = a if others else draw(9, seed=1)
    found, place = nearest_rows(a, b, others, tile)
    for row in range(len(a)):
        pairs = [
            (float(np.linalg.norm(a[row] - b[column])), column)
            for column in range(len(b))
            if not (others and row == column)
        ]
        assert (pytest.approx(float(found[row])), int(place[row])) == min(pairs)


def test_copies_are_found_and_new_images_are_not():
    trained, new, held_out = draw(400), draw(400, seed=1), draw(300, seed=2)
    for reals in (None, held_out):
        fresh = memorisation(trained, new, reals)
        assert 0.02 < fresh.copies < 0.09 and fresh.distance == pytest.approx(1, abs=0.1)
        copied = memorisation(trained, trained[:50] + 1e-6, reals)
        assert copied.copies == 1 and copied.distance < 1e-3
        assert copied.nearest.tolist() == list(range(50))
    far = memorisation(trained, new + 100)
    assert far.copies == 0 and far.distance > 10


def test_half_of_the_samples_copied_is_a_share_of_a_half():
    trained = draw(400)
    half = torch.cat([draw(100, seed=1), trained[:100]])
    found = memorisation(trained, half)
    assert found.copies == pytest.approx(0.5 + 0.05 / 2, abs=0.03)
    assert set(found.order[:100].tolist()) <= set(range(100, 200))  # copies come first


def test_exact_copies_among_the_training_images_hide_nothing():
    trained = draw(20).repeat(2, 1)
    assert memorisation(trained, trained[:5]).copies == 1
    assert memorisation(trained, trained[:5]).distance == 0


def test_one_image_has_no_neighbour():
    with pytest.raises(ValueError, match="2 images or more; 1 arrived"):
        memorisation(draw(1), draw(3))
