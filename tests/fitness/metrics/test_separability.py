"""Latents of which a plane tells everything, or nothing."""

import math

import numpy as np
import pytest
import torch
from sklearn.svm import SVC

from fitness.metrics.separability import (
    attribute_entropy,
    conditional_entropy,
    log_odds,
    separability,
)


@pytest.fixture
def latents():
    return torch.randn(4000, 5, generator=torch.Generator().manual_seed(3), dtype=torch.float64)


def test_attributes_that_planes_divide_score_one(latents):
    directions = torch.randn(5, 3, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    assert separability(latents, latents @ directions) == pytest.approx(1, abs=1e-6)


def test_attributes_that_have_nothing_to_do_with_the_latents_score_two_each(latents):
    odds = torch.randn(4000, 2, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    assert separability(latents, odds[:, :1]) == pytest.approx(2, abs=0.01)
    assert separability(latents, odds) == pytest.approx(4, abs=0.04)


def test_an_attribute_in_a_shell_is_not_linear(latents):
    """Its classes are told apart by the distance from the origin, which no plane knows."""
    odds = latents.square().sum(1, keepdim=True) - 4.35  # the median of chi squared with 5
    assert separability(latents, odds) > 1.9


def test_the_less_sure_half_is_left_out(latents):
    """Errors of the classifier where it is unsure do not count."""
    sure = latents[:, 0].clone()
    unsure = sure.abs() < sure.abs().median()
    sure[unsure] *= -1
    assert separability(latents, sure[:, None]) == pytest.approx(1, abs=1e-6)
    wrong = latents[:, 0].clone()
    wrong[~unsure] *= torch.where(torch.arange(int((~unsure).sum())) % 2 == 0, 1.0, -1.0)
    assert separability(latents, wrong[:, None]) > 1.9


def test_a_part_of_the_errors_costs_what_the_entropy_says(latents):
    odds = latents[:, :1].sign() * 10
    flipped = torch.rand(4000, generator=torch.Generator().manual_seed(1)) < 0.1
    odds[flipped] *= -1
    y, x = (odds[:2000, 0] > 0).numpy(), (latents[:2000, 0] > 0).numpy()  # all equally sure
    expected = math.exp(conditional_entropy(y, x))
    assert expected <= separability(latents, odds) < 1.04 * expected  # the plane is fitted
    assert expected == pytest.approx(math.exp(0.325), rel=0.03)  # -.1 ln .1 - .9 ln .9


def test_the_plane_is_an_svms(latents):
    """Another solver of the same problem, on classes that overlap, gives the same entropy."""
    stream = torch.Generator().manual_seed(6)
    odds = latents[:600, 0] + 1.5 * torch.randn(600, generator=stream, dtype=torch.float64)
    kept = np.argsort(-odds.abs().numpy(), kind="stable")[:300]
    points, y = latents[kept].numpy(), (odds > 0).numpy()[kept]
    x = SVC(kernel="linear").fit(points, y).predict(points)
    found = attribute_entropy(latents[:600].numpy(), odds.numpy())
    assert found == pytest.approx(conditional_entropy(y, x), abs=0.02)
    assert found > 0.1


def test_an_attribute_that_all_images_have_leaves_nothing_to_know(latents):
    odds = torch.cat([latents[:, :1], torch.ones(4000, 1)], dim=1)
    assert separability(latents, odds) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize(
    ("joint", "nats"),
    [
        ([[0.5, 0.0], [0.0, 0.5]], 0),
        ([[0.0, 0.5], [0.5, 0.0]], 0),
        ([[0.25, 0.25], [0.25, 0.25]], math.log(2)),
        ([[0.0, 0.0], [0.5, 0.5]], math.log(2)),
        ([[0.4, 0.1], [0.2, 0.3]], 0.4 * math.log(1.25) + 0.1 * math.log(5) + 0.2 * math.log(2.5)
         + 0.3 * math.log(5 / 3)),
    ],
)  # fmt: skip
def test_the_entropy_is_that_of_the_definition(joint, nats):
    counts = (np.array(joint) * 100).round().astype(int)
    x, y = (
        np.concatenate([np.full(counts[a, b], (a, b)[which]) for a in (0, 1) for b in (0, 1)])
        for which in (0, 1)
    )
    assert conditional_entropy(y == 1, x == 1) == pytest.approx(nats)


def test_log_odds_are_those_of_the_softmax():
    logits = torch.randn(50, 4, generator=torch.Generator().manual_seed(0)).double()
    p = logits.softmax(1)
    torch.testing.assert_close(log_odds(logits), (p / (1 - p)).log())
    two = log_odds(logits[:, :2])
    p = logits[:, :2].softmax(1)[:, 1:]
    assert two.shape == (50, 1)
    torch.testing.assert_close(two, (p / (1 - p)).log())


def test_certainty_is_told_apart_where_probabilities_are_one():
    logits = torch.tensor([[100.0, 0.0, 0.0], [200.0, 0.0, 0.0]])
    assert log_odds(logits)[1, 0] > log_odds(logits)[0, 0] + 90


def test_what_cannot_be_scored_is_refused(latents):
    odds = torch.ones(4000, 1)
    with pytest.raises(ValueError, match="at least 2 classes"):
        log_odds(torch.zeros(4, 1))
    with pytest.raises(ValueError, match="logits for separability hold NaN"):
        log_odds(torch.full((4, 2), torch.nan))
    with pytest.raises(ValueError, match=r"\(3999, 5\) and \(4000, 1\) arrived"):
        separability(latents[1:], odds)
    with pytest.raises(ValueError, match="latents for separability hold NaN"):
        separability(latents * torch.nan, odds)
