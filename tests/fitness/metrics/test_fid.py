import numpy as np
import pytest
import scipy.linalg
import torch
from torch import nn

from fitness.metrics.fid import frechet_distance
from fitness.statistics import RunningStatistics, Statistics


def gathered(features, space="pixels", identity="a") -> Statistics:
    running = RunningStatistics(features.shape[1])
    running.update(features)
    return running.finish(space, identity, None)


def draw(count, dimension, seed, shift=0.0, scale=1.0):
    rng = np.random.default_rng(seed)
    mixing = np.random.default_rng(7).normal(size=(dimension, dimension)) / dimension**0.5
    return torch.from_numpy(rng.normal(shift, scale, (count, dimension)) @ mixing).float()


class Passing(nn.Module):
    """Features that come as they are."""

    num_features = 48

    def forward(self, x):
        return x


@pytest.mark.parametrize(("shift", "scale"), [(0.1, 1.0), (0.0, 1.5), (2.0, 0.3)])
def test_it_agrees_with_torchmetrics_on_the_same_features(shift, scale):
    from torchmetrics.image.fid import FrechetInceptionDistance

    real, fake = draw(500, 48, 1), draw(400, 48, 2, shift, scale)
    peer = FrechetInceptionDistance(feature=Passing())
    peer.update(real, real=True)
    peer.update(fake, real=False)
    found = frechet_distance(gathered(real), gathered(fake))
    assert found == pytest.approx(float(peer.compute()), rel=1e-6)


def test_it_agrees_with_the_matrix_square_root():
    real, fake = gathered(draw(300, 12, 1)), gathered(draw(300, 12, 2, 0.5, 1.3))
    root = scipy.linalg.sqrtm(real.covariance @ fake.covariance)
    expected = ((real.mean - fake.mean) ** 2).sum() + np.trace(
        real.covariance + fake.covariance - 2 * root.real
    )
    assert frechet_distance(real, fake) == pytest.approx(expected, rel=1e-9)


def test_known_gaussians_have_the_known_distance():
    def gaussian(mean, variances):
        return Statistics(np.array(mean), np.diag(variances), "pixels")

    # |m|^2 + sum (sqrt v1 - sqrt v2)^2
    distance = frechet_distance(gaussian([0.0, 0.0], [1.0, 4.0]), gaussian([3.0, 4.0], [9.0, 4.0]))
    assert distance == pytest.approx(25 + 4)


def test_identical_sets_are_at_no_distance_also_with_fewer_images_than_dimensions():
    for count in (500, 20):
        same = gathered(draw(count, 48, 1))
        assert frechet_distance(same, same) == pytest.approx(0, abs=1e-5)


def test_it_is_symmetric():
    a, b = gathered(draw(100, 8, 1)), gathered(draw(100, 8, 2, 1))
    assert frechet_distance(a, b) == pytest.approx(frechet_distance(b, a), rel=1e-9)


@pytest.mark.parametrize(
    ("space", "identity", "dimension", "message"),
    [
        ("inception", "a", 8, "of space 'pixels' cannot be compared with 'inception'"),
        ("pixels", "b", 8, "of other weights"),
        ("pixels", None, 9, "of 8 dimensions cannot be compared with 9"),
    ],
)
def test_statistics_of_another_space_are_refused(space, identity, dimension, message):
    with pytest.raises(ValueError, match=message):
        frechet_distance(
            gathered(draw(50, 8, 1)), gathered(draw(50, dimension, 1), space, identity)
        )
