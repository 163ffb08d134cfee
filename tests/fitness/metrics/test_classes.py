import numpy as np
import pytest
import torch

from fitness.metrics.classes import (
    accuracy_by_class,
    frechet_by_class,
    kernel_by_class,
    split_by_class,
)
from fitness.metrics.fid import frechet_distance
from fitness.metrics.kid import kernel_distance
from fitness.statistics import Statistics


@pytest.fixture
def sides():
    """Features (60, 4) and labels of reals, and of as many fakes, of three classes."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(60) % 3
    real, fake = (torch.randn(60, 4, generator=generator) + labels[:, None] for _ in range(2))
    return real, labels, fake, labels.roll(1)


def moments(features):
    rows = features.double().numpy()
    return Statistics(rows.mean(0), np.cov(rows, rowvar=False), "")


def test_each_class_has_the_distance_of_its_own_rows_and_the_value_is_their_mean(sides):
    real, labels, fake, fake_labels = sides
    found = frechet_by_class(*sides)
    expected = {
        c: frechet_distance(moments(real[labels == c]), moments(fake[fake_labels == c]))
        for c in range(3)
    }
    assert found.classes == pytest.approx(expected)
    assert found.value == pytest.approx(np.mean(list(expected.values())))


def test_the_kernel_distance_is_taken_within_classes_too(sides):
    real, labels, fake, fake_labels = sides
    found = kernel_by_class(*sides)
    expected = {c: kernel_distance(real[labels == c], fake[fake_labels == c]) for c in range(3)}
    assert found.classes == pytest.approx(expected)
    assert found.value == pytest.approx(np.mean(list(expected.values())))


def test_a_class_without_fakes_is_refused(sides):
    real, labels, fake, _ = sides
    with pytest.raises(ValueError, match="class 2 has 20 real and 0 generated"):
        frechet_by_class(real, labels, fake, labels % 2)


def test_accuracy_is_the_share_of_right_predictions_of_all_and_of_each_class():
    found = accuracy_by_class(torch.tensor([0, 0, 5, 5]), torch.tensor([0, 0, 0, 5]))
    assert found.value == 0.75
    assert found.classes == {0: pytest.approx(2 / 3), 5: 1.0}


def test_halves_share_no_image_and_have_equal_numbers_of_each_class():
    labels = np.repeat([0, 1, 4], [9, 30, 61])
    one, other = split_by_class(labels, 100, np.random.default_rng(0))
    assert not set(one) & set(other)
    for half in (one, other):
        assert np.bincount(labels[half]).tolist() == [4, 15, 0, 0, 30]
        assert np.any(np.diff(labels[half]) < 0), "in mixed order"


def test_halves_of_a_part_are_of_that_size():
    labels = np.arange(1000) % 2
    one, other = split_by_class(labels, 100, np.random.default_rng(0))
    assert len(one) == len(other)
    assert 98 <= len(one) <= 100


def test_a_class_of_three_images_is_refused():
    with pytest.raises(ValueError, match="class 1 has 3 real images among 23"):
        split_by_class(np.repeat([0, 1], [20, 3]), 100, np.random.default_rng(0))
