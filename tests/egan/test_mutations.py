"""Mutations: each one's equation and gradient, and the registry that users extend."""

import math
import sys
import types
from collections.abc import Callable, Iterator

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from egan import mutations
from egan.mutations import MUTATIONS, canonical, mutation, resolve

PUBLISHED = ("minimax", "heuristic", "least_squares")
finite_logits = st.lists(st.floats(-15, 15), min_size=1, max_size=10)


@pytest.fixture(autouse=True)
def registry_restored() -> Iterator[None]:
    before = dict(MUTATIONS)
    yield
    MUTATIONS.clear()
    MUTATIONS.update(before)


def probability(logit: float) -> float:
    return 1 / (1 + math.exp(-logit))


# Wang et al., 1803.00657, section 3.2, D(G(z)) a probability; and its derivative by the logit,
# with dD/dlogit = D (1 - D).
EQUATIONS: dict[str, tuple[Callable[[float], float], Callable[[float], float]]] = {
    "minimax": (
        lambda a: math.log(1 - probability(a)) / 2,
        lambda a: -probability(a) / 2,
    ),
    "heuristic": (
        lambda a: -math.log(probability(a)) / 2,
        lambda a: -(1 - probability(a)) / 2,
    ),
    "least_squares": (
        lambda a: (probability(a) - 1) ** 2,
        lambda a: 2 * (probability(a) - 1) * probability(a) * (1 - probability(a)),
    ),
    "least_squares_logit": (lambda a: (a - 1) ** 2, lambda a: 2 * (a - 1)),
    "wasserstein": (lambda a: -a, lambda a: -1.0),
    "no_adversary": (lambda a: 0.0, lambda a: 0.0),
}
EQUATIONS["blend"] = tuple(
    lambda a, part=part: sum(EQUATIONS[name][part](a) for name in PUBLISHED) / 3 for part in (0, 1)
)


@pytest.mark.parametrize("name", EQUATIONS)
@given(values=finite_logits)
def test_a_mutation_is_its_published_equation_and_so_is_its_gradient(name, values):
    loss_of, slope_of = EQUATIONS[name]
    logits = torch.tensor(values, dtype=torch.float64, requires_grad=True)
    loss = resolve(name)(logits)
    assert loss.shape == ()
    assert loss.item() == pytest.approx(sum(map(loss_of, values)) / len(values), rel=1e-6, abs=1e-9)
    (gradient,) = torch.autograd.grad(loss, logits)
    expected = torch.tensor([slope_of(a) / len(values) for a in values], dtype=torch.float64)
    assert torch.allclose(gradient, expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", PUBLISHED)
@given(values=finite_logits)
def test_descending_a_mutation_always_raises_what_d_thinks_of_the_fakes(name, values):
    logits = torch.tensor(values, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(resolve(name)(logits), logits)
    assert (gradient < 0).all()


def test_minimax_and_least_squares_saturate_where_d_rejects_and_heuristic_does_not():
    slopes = {}
    for name in PUBLISHED:
        logits = torch.full((4,), -12.0, requires_grad=True)
        (gradient,) = torch.autograd.grad(resolve(name)(logits), logits)
        slopes[name] = -gradient.sum().item()
    assert slopes["heuristic"] == pytest.approx(0.5, rel=1e-3)
    assert slopes["minimax"] < 1e-4
    assert slopes["least_squares"] < 1e-4


@pytest.mark.parametrize("name", EQUATIONS)
@pytest.mark.parametrize("logit", [-1e4, -100.0, 100.0, 1e4])
def test_no_mutation_overflows_where_d_is_certain(name, logit):
    logits = torch.full((3,), logit, requires_grad=True)
    loss = resolve(name)(logits)
    (gradient,) = torch.autograd.grad(loss, logits)
    assert loss.isfinite() and gradient.isfinite().all()


@given(pairs=st.lists(st.tuples(st.floats(-15, 15), st.floats(-15, 15)), min_size=1, max_size=10))
def test_relativistic_compares_each_fake_with_the_real_of_its_row(pairs):
    fake, real = torch.tensor(pairs, dtype=torch.float64).unbind(1)
    fake.requires_grad_()
    loss = resolve("relativistic")(fake, real)
    ahead = [probability(a - b) for a, b in pairs]
    expected = sum(-math.log(p) for p in ahead) / len(pairs)
    assert loss.item() == pytest.approx(expected, rel=1e-6, abs=1e-9)
    (gradient,) = torch.autograd.grad(loss, fake)
    slopes = torch.tensor([(p - 1) / len(pairs) for p in ahead], dtype=torch.float64)
    assert torch.allclose(gradient, slopes, rtol=1e-6, atol=1e-9)


# ------------------------------------------------------------------------------------- the registry


def test_the_spelling_minmax_is_minimax():
    assert canonical("minmax") == "minimax"
    assert resolve("minmax") is mutations.minimax


def test_a_hinges_generator_descends_the_critics_mean_logit():
    assert resolve("hinge") is mutations.wasserstein


def test_an_own_mutation_is_registered_by_the_decorator():
    @mutation
    def raised(logits):
        return -logits.mean()

    assert resolve("raised") is raised


def test_an_own_mutation_is_found_by_import_path(monkeypatch):
    module = types.ModuleType("own_objectives")
    module.critic = lambda logits: -logits.mean()
    module.number = 3
    monkeypatch.setitem(sys.modules, "own_objectives", module)
    assert resolve("own_objectives:critic") is module.critic
    with pytest.raises(ValueError, match=r"'own_objectives:number' is a int, not a function"):
        resolve("own_objectives:number")
    with pytest.raises(ValueError, match=r"'own_objectives:absent' cannot be imported.*absent"):
        resolve("own_objectives:absent")
    with pytest.raises(
        ValueError, match=r"'no_such_module_here:f' cannot be imported: .* PYTHONPATH"
    ):
        resolve("no_such_module_here:f")


def test_an_unknown_name_is_an_error_that_names_the_nearest():
    with pytest.raises(ValueError, match=r"no mutation 'heuristik'; did you mean 'heuristic'\?"):
        resolve("heuristik")
    with pytest.raises(ValueError, match=r"no mutation 'zzz'\. Known: minimax, heuristic, "):
        resolve("zzz")


def test_another_function_of_a_taken_name_is_refused():
    def heuristic(logits):
        return -logits.mean()

    with pytest.raises(ValueError, match="a mutation named 'heuristic' exists already"):
        mutation(heuristic)
    assert resolve("heuristic") is mutations.heuristic


def test_a_function_named_as_an_alias_is_refused():
    def minmax(logits):
        return -logits.mean()

    with pytest.raises(ValueError, match="a mutation named 'minmax' exists already"):
        mutation(minmax)
    assert "minmax" not in MUTATIONS


def test_a_reloaded_function_takes_the_place_of_its_old_self():
    def define():
        @mutation
        def own(logits):
            return -logits.mean()

        return own

    first, second = define(), define()
    assert first is not second
    assert resolve("own") is second
