"""The discriminator's losses and penalties against slow float64 references."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import nn

from egan.discriminator import LOSSES, DiscriminatorConfig, penalties

logits = st.lists(st.floats(-15, 15), min_size=1, max_size=8)


def mean(values) -> float:
    values = list(values)
    return sum(values) / len(values)


def sigmoid(a: float) -> float:
    return 1 / (1 + math.exp(-a))


EQUATIONS = {
    "bce": lambda real, fake: (
        -mean(math.log(sigmoid(a)) for a in real) - mean(math.log(1 - sigmoid(a)) for a in fake)
    ),
    "least_squares": lambda real, fake: (
        mean((a - 1) ** 2 for a in real) / 2 + mean(a**2 for a in fake) / 2
    ),
    "hinge": lambda real, fake: (
        mean(max(0.0, 1 - a) for a in real) + mean(max(0.0, 1 + a) for a in fake)
    ),
    "wasserstein": lambda real, fake: mean(fake) - mean(real),
}


@pytest.mark.parametrize("name", EQUATIONS)
@given(real=logits, fake=logits)
def test_a_loss_is_its_published_equation(name, real, fake):
    loss = LOSSES[name](torch.tensor(real).double(), torch.tensor(fake).double())
    assert loss.item() == pytest.approx(EQUATIONS[name](real, fake), rel=1e-5, abs=1e-6)


@given(pairs=st.lists(st.tuples(st.floats(-15, 15), st.floats(-15, 15)), min_size=1, max_size=8))
def test_relativistic_compares_the_real_and_the_fake_of_each_row(pairs):
    real, fake = torch.tensor(pairs, dtype=torch.float64).unbind(1)
    loss = LOSSES["relativistic"](real, fake)
    expected = -mean(math.log(sigmoid(a - b)) for a, b in pairs)
    assert loss.item() == pytest.approx(expected, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("name", [*EQUATIONS, "relativistic"])
def test_descending_a_loss_raises_reals_and_lowers_fakes(name):
    real, fake = (torch.zeros(4, requires_grad=True) for _ in range(2))
    to_real, to_fake = torch.autograd.grad(LOSSES[name](real, fake), (real, fake))
    assert (to_real < 0).all()
    assert (to_fake > 0).all() or name == "least_squares"  # whose fakes are at their goal


def judge() -> nn.Module:
    stream = torch.Generator().manual_seed(5)
    first, last = (nn.utils.skip_init(nn.Linear, *size) for size in ((12, 6), (6, 1)))
    module = nn.Sequential(nn.Flatten(), first, nn.Tanh(), last).double()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=stream))
    return nn.Sequential(module, nn.Flatten(0))


def batches(count: int = 5) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    stream = torch.Generator().manual_seed(6)
    shape = (count, 3, 2, 2)
    real, fake = (torch.randn(shape, generator=stream).double() for _ in range(2))
    return real, fake, torch.rand(count, generator=stream).double()


def gradient_norm(module: nn.Module, sample: torch.Tensor) -> float:
    """||grad_x C(x)|| of one sample, by central differences."""
    step, total = 1e-6, 0.0
    for i in range(sample.numel()):
        shift = torch.zeros_like(sample).flatten()
        shift[i] = step
        shift = shift.view_as(sample)
        with torch.no_grad():
            rise = module((sample + shift)[None]) - module((sample - shift)[None])
        total += (rise.item() / (2 * step)) ** 2
    return math.sqrt(total)


def reference(module, config, real, fake, mix) -> float:
    between = [(1 - a) * x + a * y for x, y, a in zip(real, fake, mix, strict=True)]
    return (
        config.r1 / 2 * mean(gradient_norm(module, x) ** 2 for x in real)
        + config.r2 / 2 * mean(gradient_norm(module, x) ** 2 for x in fake)
        + config.gradient_penalty * mean((gradient_norm(module, x) - 1) ** 2 for x in between)
    )


def total(module, config: DiscriminatorConfig) -> torch.Tensor:
    real, fake, mix = batches()
    weights = {
        name: torch.tensor(weight, dtype=torch.float64)
        for name, weight in config.weights(0, 0).items()
    }
    return penalties(
        lambda samples, _: module(samples["x"]), weights, {"x": real}, {"x": fake}, {}, mix
    )


@pytest.mark.parametrize(
    "weights",
    [
        {"r1": 0.7},
        {"r2": 0.3},
        {"gradient_penalty": 10.0},
        {"r1": 1.0, "r2": 2.0, "gradient_penalty": 3.0},
    ],
)
def test_a_penalty_is_that_of_each_sample_by_itself(weights):
    module, config = judge(), DiscriminatorConfig(**weights)
    got = total(module, config)
    assert got.item() == pytest.approx(reference(module, config, *batches()), rel=1e-6)


@pytest.mark.parametrize("weights", [{"r1": 0.7}, {"r2": 0.3}, {"gradient_penalty": 10.0}])
def test_a_penaltys_gradient_reaches_the_discriminators_parameters(weights):
    module, config = judge(), DiscriminatorConfig(**weights)
    weight = module[0][1].weight
    (gradient,) = torch.autograd.grad(total(module, config), weight)
    step = 1e-6
    for row, column in [(0, 0), (2, 7), (5, 11)]:
        values = []
        for sign in (1, -1):
            with torch.no_grad():
                weight[row, column] += sign * step
            values.append(total(module, config).item())
            with torch.no_grad():
                weight[row, column] -= sign * step
        rise = (values[0] - values[1]) / (2 * step)
        assert gradient[row, column].item() == pytest.approx(rise, rel=1e-4, abs=1e-6)


def test_without_weights_there_is_no_penalty_and_no_pass_through_the_discriminator():
    def never(samples):
        raise AssertionError("the discriminator was asked")

    assert total(never, DiscriminatorConfig()).item() == 0


def test_a_penalty_where_the_gradient_vanishes_is_differentiable():
    weight = torch.zeros(12, dtype=torch.float64, requires_grad=True)
    config = DiscriminatorConfig(gradient_penalty=1.0)
    loss = total(lambda x: x.flatten(1) @ weight, config)
    (gradient,) = torch.autograd.grad(loss, weight)
    assert loss.item() == pytest.approx(1.0, abs=1e-5) and gradient.isfinite().all()


@pytest.mark.parametrize(
    "values",
    [{"updates": 0}, {"r1": -1}, {"r2": float("inf")}, {"loss": "w"}, {"r3": 1.0}],
)
def test_impossible_settings_are_refused(values):
    with pytest.raises(ValidationError):
        DiscriminatorConfig(**values)
