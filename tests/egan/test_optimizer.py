"""Adam on flat vectors: the bits of `torch.optim.Adam`, and nothing changed in place."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from egan.optimizer import OptimizerConfig, Settings, adam
from egan.state import Moments


@given(
    st.integers(0, 2**31),
    st.floats(1e-5, 1.0),
    st.tuples(st.floats(0, 0.999), st.floats(0, 0.9999)),
    st.sampled_from([1e-8, 1e-4]),
)
def test_several_steps_have_the_bits_of_torchs_own(seed, rate, betas, eps):
    stream = torch.Generator().manual_seed(seed)
    params = torch.randn(50, generator=stream)
    theirs = torch.nn.Parameter(params.clone())
    optimizer = torch.optim.Adam([theirs], rate, betas, eps, foreach=False)
    moments = Moments.zeros_like(params)
    for _ in range(5):
        gradient = torch.randn(50, generator=stream) * 10.0 ** torch.randint(
            -6, 3, (50,), generator=stream
        )
        theirs.grad = gradient.clone()
        optimizer.step()
        params, moments = adam(params, gradient, moments, Settings(rate, betas, eps))
        assert torch.equal(params, theirs)
    state = optimizer.state[theirs]
    assert torch.equal(moments.first, state["exp_avg"])
    assert torch.equal(moments.second, state["exp_avg_sq"])
    assert moments.step == int(state["step"])


def test_a_step_follows_algorithm_1_of_the_paper():
    params, gradient = torch.tensor([1.0, -2.0]).double(), torch.tensor([0.5, 4.0]).double()
    first, second = torch.tensor([0.1, -0.2]).double(), torch.tensor([0.3, 0.4]).double()
    got, moments = adam(
        params, gradient, Moments(first, second, 6), Settings(0.01, (0.5, 0.99), 1e-8)
    )
    m = 0.5 * first + 0.5 * gradient
    v = 0.99 * second + 0.01 * gradient**2
    m_hat, v_hat = m / (1 - 0.5**7), v / (1 - 0.99**7)
    assert torch.allclose(got, params - 0.01 * m_hat / (v_hat.sqrt() + 1e-8), rtol=1e-12, atol=0)
    assert torch.allclose(moments.first, m, rtol=1e-12) and moments.step == 7
    assert torch.allclose(moments.second, v, rtol=1e-12)


def test_a_step_changes_nothing_in_place():
    params, gradient = torch.ones(4), torch.full((4,), 2.0)
    moments = Moments(torch.ones(4), torch.ones(4), 3)
    adam(params, gradient, moments, Settings(0.1, (0.5, 0.99), 1e-8))
    assert torch.equal(params, torch.ones(4)) and torch.equal(gradient, torch.full((4,), 2.0))
    assert torch.equal(moments.first, torch.ones(4)) and torch.equal(moments.second, torch.ones(4))


@pytest.mark.parametrize(
    "values",
    [
        {"learning_rate": 0},
        {"learning_rate": float("inf")},
        {"betas": (0.5, 1.0)},
        {"betas": (float("nan"), 0.9)},
        {"eps": 0},
        {"rate": 1e-3},
    ],
)
def test_impossible_settings_are_refused(values):
    with pytest.raises(ValidationError):
        OptimizerConfig(**values)
