"""Small games to test the engine with, and what every one of its tests must respect."""

import copy
import random
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import pytest
import sklearn.datasets  # noqa: F401  its import, not our use of it, moves `random`
import torch
from torch import Tensor, nn

from egan.backbones.function import NetworkFunction
from egan.config import GameConfig
from egan.cuda_graphs import Recorder
from egan.data import ImageSource, Source
from egan.data.config import GaussiansConfig
from egan.data.gaussians import open_gaussians
from egan.engine import Child, Engine
from egan.mutations import Mutation, resolve
from egan.state import EvolutionState, Weights
from populations.individual import Job
from populations.selection import SelectionConfig, build_selection

BACKBONES = {
    "mlp": {"name": "mlp", "latent": 3, "width": 8, "depth": 2},
    "dcgan": {"name": "dcgan", "latent": 5, "width": 4},
    "dcgan-plain-d": {
        "name": "dcgan",
        "latent": 5,
        "width": 4,
        "discriminator_norm": "none",
        "bias": True,
        "prior": "uniform",
    },
    "r3gan": {"name": "r3gan", "latent": 5, "width": 8, "blocks": 1, "group": 4},
}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def global_randomness_untouched() -> Iterator[None]:
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy()
    yield
    assert torch.equal(before[0], torch.get_rng_state()), "torch's global generator was used"
    assert before[1] == random.getstate(), "Python's global generator was used"
    assert np.array_equal(before[2], np.random.get_state()[1]), "numpy's global one was used"


@pytest.fixture(scope="session")
def sources() -> dict[str, Source]:
    """Return what the tiny games draw from, by their config's `data.source`."""
    images = np.random.default_rng(1).integers(0, 256, (120, 1, 16, 16), np.uint8)
    points = open_gaussians(GaussiansConfig())
    return {"gaussians": points, "digits": ImageSource("noise", images)}


@pytest.fixture(scope="session")
def engine_of(sources: dict[str, Source]) -> Callable[..., Engine]:
    """Return a function that builds a tiny game: points on a ring, or 16 x 16 images.

    At 8 x 8 the discriminator would have no batch normalisation to test.
    """

    def build(
        kind: str = "mlp",
        own: Mapping[str, Mutation] | None = None,
        seed: int = 3,
        record: Recorder | None = None,
        device: torch.device = torch.device("cpu"),
        **sections: dict[str, Any],
    ) -> Engine:
        population = {"batch": 8} | sections.pop("population", {})
        if own:
            population["mutations"] = ("heuristic",)
        config = GameConfig(
            seed=seed,
            data={"source": "gaussians" if kind == "mlp" else "digits"},
            backbone=BACKBONES[kind],
            population=population,
            fitness={"batch": 16} | sections.pop("fitness", {}),
            **sections,
        )
        source = sources[config.data.source]
        mutations = {name: resolve(name) for name in config.population.mutations}
        return Engine(config, source, mutations | dict(own or {}), device, record=record)

    return build


@pytest.fixture(scope="session")
def jobs_of() -> Callable[[Engine], list[Job]]:
    """Return a function that gives every job of a generation."""

    def jobs(engine: Engine) -> list[Job]:
        population = engine.config.population
        selection = build_selection(SelectionConfig(), population.survivors, 0.0)
        return selection.propose(population.operators, engine.config.seed, 0)

    return jobs


@pytest.fixture(scope="session")
def after() -> Callable[[Engine, int], EvolutionState]:
    """Return a function that plays some generations, so that no moment or buffer is zero."""

    def play(engine: Engine, generations: int) -> EvolutionState:
        state = engine.initial_state()
        names = engine.config.population.mutations
        for generation in range(generations):
            mutation = names[generation % len(names)]
            parents = range(len(state.parents))
            jobs = [Job(len(names) * p + names.index(mutation), (p,), mutation) for p in parents]
            state, _ = engine.advance(state, engine.vary(state, jobs))
        return state

    return play


@pytest.fixture(scope="session")
def ordinary() -> Callable[..., nn.Module]:
    """Return a function that makes an ordinary, stateful torch module of a network's weights."""

    def module_of(
        function: NetworkFunction, weights: Weights, dtype: torch.dtype = torch.float32
    ) -> nn.Module:
        module = copy.deepcopy(function.module).to_empty(device="cpu")
        nn.utils.vector_to_parameters(weights.params.clone(), module.parameters())
        for name, buffer in module.named_buffers():
            buffer.copy_(weights.buffers[name])
        return module.to(dtype).train()

    return module_of


@pytest.fixture(scope="session")
def bits() -> Callable[[Child], dict[str, Tensor]]:
    """Return a function that lists every tensor of a child, copied, and its Adam steps."""

    def tensors(child: Child) -> dict[str, Tensor]:
        listed: dict[str, Tensor] = {}
        for role, network in child.networks.items():
            listed[f"{role}.params"] = network.weights.params.clone()
            listed[f"{role}.first"] = network.moments.first.clone()
            listed[f"{role}.second"] = network.moments.second.clone()
            listed[f"{role}.step"] = torch.tensor(network.moments.step)
            for name, buffer in network.weights.buffers.items():
                listed[f"{role}.{name}"] = buffer.clone()
        return listed

    return tensors
