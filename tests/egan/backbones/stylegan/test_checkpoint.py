"""Activations computed again instead of kept: the same bits, less memory, wherever gradients go."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.autograd.graph import saved_tensors_hooks

from egan.config import GameConfig
from egan.data import ImageSource
from egan.engine import Engine
from egan.mutations import resolve
from egan.state import checksum
from populations.individual import Job

MUTATIONS = ("minimax", "heuristic", "least_squares")
IMAGES = np.random.default_rng(5).integers(0, 256, (60, 1, 32, 32), np.uint8)
STYLES = {"style": 5, "mapping_layers": 2}
OWN = {
    "stylegan": {"name": "stylegan", **STYLES},
    "progan": {"name": "progan"},
    "residual": {
        "name": "stylegan",
        **STYLES,
        "discriminator": "residual",
        "path_weight": 2.0,
    },
}
SMALL = {"latent": 6, "fmap_base": 64, "fmap_max": 8, "stddev_group": 2}
# 8 px, then fading into 16 px from generation 1 on, then 32 px.
GROWTH = {"start": 8, "training_kimg": 0.016, "transition_kimg": 0.048}


def engine_of(name: str, again: bool, precision: str = "float32", **backbone) -> Engine:
    config = GameConfig(
        seed=4,
        data={"source": "digits"},
        backbone={**OWN[name], **SMALL, "checkpoint": again, **backbone},
        population={"batch": 8, "survivors": 2, "mutations": MUTATIONS},
        fitness={"batch": 12},
        discriminator={"updates": 2, "r1": 1.0, "r2": 0.5},
    )
    mutations = {name: resolve(name) for name in MUTATIONS}
    return Engine(config, ImageSource("noise", IMAGES), mutations, torch.device("cpu"), precision)


JOBS = [Job(index, (index // 3,), MUTATIONS[index % 3]) for index in range(6)]


def played(engine: Engine, generations: int) -> list:
    """Every score, child and checksum of some generations."""
    state, record = engine.initial_state(), []
    for generation in range(generations):
        children = engine.vary(state, JOBS)
        scores = engine.evaluate(state, children)
        state, report = engine.advance(state, [children[generation % 6], children[5]])
        assert all(child.failure is None for child in children)
        record.append((scores, report, checksum(state)))
    return record


@pytest.mark.parametrize("name", ["stylegan", "progan", "residual"])
@pytest.mark.parametrize(
    ("growth", "precision", "generations"),
    [(None, "float32", 1), (GROWTH, "float32", 2), (GROWTH, "bfloat16", 2)],
    ids=["fixed", "growing", "growing-bfloat16"],
)
def test_a_game_has_the_same_bits(name, growth, precision, generations):
    """Six vector-Jacobian products over two shared graphs, evaluation, and R1's double backward."""
    kept, again = (
        played(engine_of(name, again, precision, growth=growth), generations)
        for again in (False, True)
    )
    assert kept == again


def kept_bytes(engine: Engine) -> int:
    """What the graph of a mutation's step keeps, weights and inputs left out."""
    context, state = engine.context(0), engine.initial_state()
    parent = state.parents[0].networks["generator"].weights
    leaf = replace(parent, params=parent.params.detach().requires_grad_())
    sizes: dict[int, int] = {}
    weights = {leaf.params.untyped_storage().data_ptr()}
    weights.add(state.critics["discriminator"].weights.params.untyped_storage().data_ptr())

    def keep(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            sizes[storage.data_ptr()] = storage.nbytes()
        return tensor

    with saved_tensors_hooks(keep, lambda tensor: tensor):
        inputs = engine.game.inputs(8, torch.Generator().manual_seed(0))
        fakes, _ = context.generate({"generator": leaf}, inputs)
        critic = state.critics["discriminator"].weights
        verdict, _ = context.judge("discriminator", critic, fakes, inputs)
    assert verdict["logits"].requires_grad
    return sum(sizes.values())


@pytest.mark.parametrize("name", ["stylegan", "progan"])
def test_less_is_kept(name):
    kept, again = (kept_bytes(engine_of(name, again)) for again in (False, True))
    assert again < 0.5 * kept


def test_a_penalty_on_the_slope_has_the_same_bits():
    engines = [engine_of("progan", again) for again in (False, True)]
    gradients = []
    for engine in engines:
        weights = engine.initial_state().critics["discriminator"].weights
        params = weights.params.detach().requires_grad_()
        images = torch.from_numpy(IMAGES[:8]).float().div(127.5).sub(1).requires_grad_()
        verdict, _ = engine.context(0).judge(
            "discriminator", replace(weights, params=params), {"x": images}, {}
        )
        (slope,) = torch.autograd.grad(verdict["logits"].sum(), images, create_graph=True)
        penalty = (slope.flatten(1).norm(dim=1) - 1).square().mean()
        gradients.append(torch.autograd.grad(penalty, params)[0])
    assert torch.equal(*gradients) and gradients[0].any()


def test_nothing_is_computed_again_without_gradients(monkeypatch):
    engine = engine_of("stylegan", True)
    # calling it would fail
    monkeypatch.setattr("egan.backbones.progressive.networks.checkpoint", None)
    parent = engine.initial_state().parents[0].networks["generator"].weights
    with torch.no_grad():
        inputs = engine.game.inputs(2, torch.Generator().manual_seed(0))
        fakes, _ = engine.context(0).generate({"generator": parent}, inputs)
        assert fakes["x"].shape == (2, 1, 32, 32)
