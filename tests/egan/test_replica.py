"""A replica: idempotent steps, and the same bits whether it made the survivors itself or not."""

import random

import numpy as np
import pytest
import torch

from egan.config import GameConfig
from egan.mutations import resolve
from egan.replica import (
    EngineReplica,
    ExportedState,
    ReplicaFactory,
    export_state,
    import_state,
)
from egan.state import checksum
from populations.individual import Job

KINDS = ("mlp", "dcgan", "r3gan")


def history(engine, jobs, generations: int):
    """Some survivors of every generation, two parents."""
    rng = random.Random(4)
    return [tuple(rng.sample(jobs, 2)) for _ in range(generations)]


SCHEDULES = {  # over four generations of eight images
    "optimizer": {
        "decay": {"over": 0.032},
        "betas": (0.5, {"from": 0.9, "to": 0.99, "over": 0.02}),
    },
    "discriminator": {"r1": {"from": 1, "to": 0.1, "over": 0.032}},
}


@pytest.fixture(params=[*KINDS, "scheduled", "crossing"])
def pair(request, engine_of, jobs_of):
    """An engine with two parents, and its jobs."""
    kind, sections = request.param, {}
    population: dict = {"survivors": 2}
    if kind == "scheduled":
        kind, sections = "mlp", SCHEDULES
    if request.param == "crossing":  # of two mutants, and scored as in IE-GAN
        kind, sections = "mlp", {"fitness": {"name": "iegan"}}
        population["crossover"] = "distillation"
    engine = engine_of(kind, population=population, **sections)
    jobs = jobs_of(engine)
    if request.param == "crossing":
        jobs[5] = Job(6, (4, 2), "distillation")
    return engine, jobs


def test_advancing_with_children_that_others_made_has_the_same_bits(pair):
    engine, jobs = pair
    made_all, made_none, made_half = (EngineReplica(engine) for _ in range(3))
    survivors = None
    for generation, chosen in enumerate(history(engine, jobs, 4)):
        outcomes = [
            made_all.step(generation, survivors, jobs),
            made_none.step(generation, survivors, ()),
            made_half.step(generation, survivors, jobs[:3]),
        ]
        assert len({outcome.checksum for outcome in outcomes}) == 1
        assert outcomes[0].training == outcomes[1].training == outcomes[2].training
        assert outcomes[0].scores.keys() == {job.index for job in jobs}
        assert outcomes[2].scores == {i: outcomes[0].scores[i] for i in outcomes[2].scores}
        survivors = chosen


def test_a_step_may_be_asked_for_again(pair):
    engine, jobs = pair
    replica = EngineReplica(engine)
    replica.step(0, None, jobs)
    survivors = (jobs[1], jobs[4])
    first = replica.step(1, survivors, jobs[:2])
    second = replica.step(1, survivors, jobs)  # it is there already
    assert first.checksum == second.checksum
    assert {i: second.scores[i] for i in first.scores} == first.scores
    assert replica.state.generation == 1


def test_a_survivor_may_survive_twice(pair):
    engine, jobs = pair
    replica = EngineReplica(engine)
    replica.step(0, None, jobs[:1])
    replica.step(1, (jobs[5], jobs[5]), ())
    one, other = replica.state.parents
    assert torch.equal(
        one.networks["generator"].weights.params, other.networks["generator"].weights.params
    )


def test_replaying_the_survivors_gives_the_state_of_the_run_itself(pair):
    engine, jobs = pair
    past = history(engine, jobs, 4)
    lived = EngineReplica(engine)
    survivors, middle = None, None
    for generation, chosen in enumerate(past):
        lived.step(generation, survivors, jobs)
        if generation == 2:
            middle = lived.export()
        survivors = chosen
    end = lived.step(4, survivors, ()).checksum
    replayed = EngineReplica(engine)
    assert replayed.restore(None, past) == end
    assert replayed.restore(middle, past[2:]) == end
    assert replayed.restore(lived.export(), ()) == end
    # and both go on alike
    assert replayed.step(4, None, jobs).scores == lived.step(4, None, jobs).scores
    assert (
        replayed.step(5, (jobs[0], jobs[3]), ()).checksum
        == lived.step(5, (jobs[0], jobs[3]), ()).checksum
    )


def test_restoring_forgets_children_of_the_state_before(pair):
    """A child of an equal job but of another state must not be adopted."""
    engine, jobs = pair
    replica, fresh = EngineReplica(engine), EngineReplica(engine)
    past = [(jobs[0], jobs[3]), (jobs[4], jobs[1])]
    replica.step(0, None, jobs)
    exported = EngineReplica(engine)
    exported.restore(None, past)
    replica.restore(exported.export(), ())
    fresh.restore(exported.export(), ())
    survivors = (jobs[2], jobs[5])
    assert replica.step(3, survivors, ()).checksum == fresh.step(3, survivors, ()).checksum


def test_an_exported_state_is_copied_on_import_and_not_shared(pair):
    engine, jobs = pair
    replica = EngineReplica(engine)
    replica.restore(None, history(engine, jobs, 2))
    exported = replica.export()
    for array in exported.arrays.values():
        assert isinstance(array, np.ndarray)
    state = import_state(exported, torch.device("cpu"))
    assert checksum(state) == checksum(replica.state)
    for name, tensor in state.tensors():
        assert not np.shares_memory(tensor.numpy(), exported.arrays[name])


def test_arrays_in_another_order_import_to_the_same_bits_and_stay_so(pair):
    """A snapshot's file lists tensors by type and name, not in the state's order."""
    engine, jobs = pair
    replica = EngineReplica(engine)
    replica.restore(None, history(engine, jobs, 2))
    exported = export_state(replica.state)
    shuffled = ExportedState(
        dict(sorted(exported.arrays.items(), reverse=True)), exported.generation, exported.steps
    )
    other = EngineReplica(engine)
    survivors = (jobs[1], jobs[2])
    assert other.restore(shuffled, [survivors]) == replica.step(3, survivors, ()).checksum


def test_a_factory_sets_the_threads_and_builds_a_replica_of_real_data():
    config = GameConfig(
        data={"source": "digits", "resolution": 16},
        backbone={"name": "dcgan", "width": 4, "latent": 4},
        population={"batch": 4},
        fitness={"batch": 4},
    )
    from egan.mutations import MUTATIONS

    torch.set_num_threads(2)
    replica = ReplicaFactory(config, "cpu", 1, mutations=dict(MUTATIONS))()
    assert torch.get_num_threads() == 1
    outcome = replica.step(0, None, [Job(1, (0,), "heuristic")])
    assert outcome.scores[1].finite and outcome.generation == 0


def test_asked_for_graphs_a_replica_without_cuda_plays_the_same_game():
    config = GameConfig(
        data={"source": "gaussians"},
        backbone={"name": "mlp", "width": 8},
        population={"batch": 4},
        fitness={"batch": 4},
    )
    mutations = {name: resolve(name) for name in config.population.mutations}
    plain, asked = (
        ReplicaFactory(config, "cpu", 1, mutations, compile=compile_)()
        for compile_ in ("none", "graphs")
    )
    jobs = [Job(index, (0,), name) for index, name in enumerate(mutations)]
    for generation in range(4):
        survivors = (jobs[generation % 3],) if generation else None
        one, other = (replica.step(generation, survivors, jobs) for replica in (plain, asked))
        assert (one.checksum, one.scores) == (other.checksum, other.scores)


def test_a_factory_refuses_networks_that_do_not_fit_the_data():
    config = GameConfig(data={"source": "digits"}, backbone={"name": "mlp"})
    with pytest.raises(ValueError, match=r"backbone\.name: mlp makes points"):
        ReplicaFactory(config, "cpu", 1, mutations={})()
