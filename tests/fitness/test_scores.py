"""Fq and Fd as functions of logits and gradients, against their formulas."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from fitness.scores import OBJECTIVES, FitnessConfig, diversity, quality


@given(st.lists(st.floats(-30, 30, width=32), min_size=1, max_size=20))
def test_quality_is_the_mean_probability_that_fakes_are_real(logits):
    expected = sum(1 / (1 + math.exp(-a)) for a in logits) / len(logits)
    assert quality(torch.tensor(logits)).item() == pytest.approx(expected, rel=1e-5)
    assert 0 <= quality(torch.tensor(logits)).item() <= 1


@given(
    st.lists(st.floats(-(2**50), 2**50, width=32), min_size=1, max_size=20).filter(
        lambda g: any(abs(x) > 1e-15 for x in g)
    )
)
def test_diversity_is_minus_the_log_of_the_gradients_norm(gradient):
    expected = -math.log(math.sqrt(math.fsum(x * x for x in gradient)))
    assert diversity(torch.tensor(gradient)).item() == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_diversity_is_the_higher_the_less_the_discriminator_would_change():
    small, large = torch.full((10,), 1e-3), torch.full((10,), 1e3)
    assert diversity(small) > diversity(large)
    # doubling the gradient costs log 2, whatever its size
    assert (diversity(small) - diversity(2 * small)).item() == pytest.approx(math.log(2))


def test_diversity_of_a_large_gradient_does_not_overflow():
    assert diversity(torch.full((4,), 1e30)).item() == pytest.approx(-math.log(2e30))


def test_there_are_two_objectives_quality_first():
    assert FitnessConfig().objectives == ("quality", "diversity") == OBJECTIVES[:2]


@pytest.mark.parametrize(
    "values", [{"gamma": float("nan")}, {"gamma": float("inf")}, {"batch": 1}, {"gama": 1}]
)
def test_impossible_settings_are_refused(values):
    with pytest.raises(ValidationError):
        FitnessConfig(**values)
