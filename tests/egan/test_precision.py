"""execution.precision=bfloat16: near the float32 game, float32 at rest, and as deterministic."""

import pytest
import torch

from egan.data import open_source
from egan.engine import Engine
from egan.game import GameConfig
from egan.mutations import resolve
from egan.replica import EngineReplica
from egan.state import checksum
from populations.individual import Job

# bfloat16 keeps 8 bits of a number: 2^-9 is its relative rounding error, and a network of a few
# layers and a mean over the batch stays within a few of those.
TOLERANCE = 16 * 2**-9


def replica(precision: str) -> EngineReplica:
    config = GameConfig.model_validate(
        {
            "data": {"source": "digits"},
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
    Job(index, 0, name) for index, name in enumerate(("minimax", "heuristic", "least_squares"))
)


def test_scores_of_mixed_precision_are_near_those_of_float32():
    exact = replica("float32").step(0, None, JOBS).scores
    mixed = replica("bfloat16").step(0, None, JOBS).scores
    for index in range(len(JOBS)):
        assert mixed[index].values == pytest.approx(exact[index].values, rel=TOLERANCE)
        assert mixed[index].values != exact[index].values  # else nothing was mixed


def test_weights_and_moments_stay_float32_and_adam_moves_them_alike():
    states = {}
    for precision in ("float32", "bfloat16"):
        one = replica(precision)
        one.step(0, None, JOBS)
        one.step(1, (JOBS[1],), ())
        states[precision] = one.state
    start = replica("float32").state.parents[0].networks["generator"].weights.params
    exact, mixed = (
        states[precision].parents[0].networks["generator"] for precision in ("float32", "bfloat16")
    )
    assert mixed.weights.params.dtype == mixed.moments.second.dtype == torch.float32
    step, mixed_step = exact.weights.params - start, mixed.weights.params - start
    assert torch.nn.functional.cosine_similarity(step, mixed_step, dim=0) > 0.9


def test_mixed_precision_gives_the_same_bits_again_and_when_a_survivor_is_made_anew():
    first, second = replica("bfloat16"), replica("bfloat16")
    first.step(0, None, JOBS)
    first.step(1, (JOBS[2],), JOBS)
    second.restore(None, ((JOBS[2],),))
    assert checksum(first.state) == checksum(second.state)
