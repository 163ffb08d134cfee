"""execution.precision: near the float32 game, float32 at rest, and as deterministic."""

import pytest
import torch

from egan.backbones.dcgan import winograd
from egan.config import GameConfig
from egan.data import open_source
from egan.engine import Engine
from egan.mutations import resolve
from egan.replica import EngineReplica
from egan.state import checksum
from populations.individual import Job

# bfloat16 keeps 8 bits of a number: 2^-9 is its relative rounding error, and a network of a few
# layers and a mean over the batch stays within a few of those.
TOLERANCE = {"bfloat16": 16 * 2**-9, "winograd": 1e-4}
MIXED = pytest.mark.parametrize("precision", list(TOLERANCE))


@pytest.fixture(autouse=True)
def small_layers_count(monkeypatch):
    """Let the small networks of these tests use what pays for wide ones."""
    monkeypatch.setattr(winograd, "NARROWEST", 8)


def replica(precision: str) -> EngineReplica:
    config = GameConfig.model_validate(
        {
            "data": {"source": "digits", "resolution": 16},
            "backbone": {"name": "dcgan", "width": 8, "latent": 8},
            "population": {"batch": 16},
            "fitness": {"batch": 32},
            "discriminator": {"updates": 2, "r1": 1.0},
        }
    )
    mutations = {name: resolve(name) for name in config.population.mutations}
    source, device = open_source(config.data), torch.device("cpu")
    return EngineReplica(Engine(config, source, mutations, device, precision))


JOBS = tuple(
    Job(index, (0,), name) for index, name in enumerate(("minimax", "heuristic", "least_squares"))
)


@MIXED
def test_scores_of_another_precision_are_near_those_of_float32(precision):
    exact = replica("float32").step(0, None, JOBS).scores
    mixed = replica(precision).step(0, None, JOBS).scores
    for index in range(len(JOBS)):
        assert mixed[index].values == pytest.approx(exact[index].values, rel=TOLERANCE[precision])
        assert mixed[index].values != exact[index].values  # else nothing was done


@MIXED
def test_weights_and_moments_stay_float32_and_adam_moves_them_alike(precision):
    states = {}
    for name in ("float32", precision):
        one = replica(name)
        one.step(0, None, JOBS)
        one.step(1, (JOBS[1],), ())
        states[name] = one.state
    start = replica("float32").state.parents[0].networks["generator"].weights.params
    exact, mixed = (
        states[name].parents[0].networks["generator"] for name in ("float32", precision)
    )
    assert mixed.weights.params.dtype == mixed.moments.second.dtype == torch.float32
    step, mixed_step = exact.weights.params - start, mixed.weights.params - start
    assert torch.nn.functional.cosine_similarity(step, mixed_step, dim=0) > 0.9


@MIXED
def test_the_same_bits_come_again_and_when_a_survivor_is_made_anew(precision):
    first, second = replica(precision), replica(precision)
    first.step(0, None, JOBS)
    first.step(1, (JOBS[2],), JOBS)
    second.restore(None, ((JOBS[2],),))
    assert checksum(first.state) == checksum(second.state)
