"""The engine is a function of (state, seed): no hidden state, no global randomness."""

import random

import numpy as np
import pytest
import torch

from egan.state import checksum

KINDS = ("mlp", "dcgan", "r3gan")


def play(engine, jobs, generations: int, between=lambda: None):
    """Return the checksum and the scores of every generation; the best child survives."""
    state, log = engine.initial_state(), []
    for _ in range(generations):
        between()
        children = engine.vary(state, jobs)
        between()
        scores = engine.evaluate(state, children)
        best = max(children, key=lambda child: scores[child.job.index].values[0])
        between()
        state, report = engine.advance(state, [best])
        log.append((checksum(state), scores, report))
    return log


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("noise", ["common", "fresh"])
def test_the_same_seed_gives_the_same_bits_again(engine_of, jobs_of, kind, noise):
    settings = {"population": {"noise": noise, "steps": 2}, "discriminator": {"updates": 2}}
    one, other = engine_of(kind, **settings), engine_of(kind, **settings)
    assert play(one, jobs_of(one), 4) == play(other, jobs_of(other), 4)


@pytest.mark.parametrize("kind", KINDS)
def test_another_seed_gives_other_bits(engine_of, jobs_of, kind):
    one, other = engine_of(kind, seed=1), engine_of(kind, seed=2)
    assert play(one, jobs_of(one), 1) != play(other, jobs_of(other), 1)


@pytest.mark.parametrize("kind", KINDS)
def test_calling_a_step_twice_gives_the_same_bits(engine_of, jobs_of, after, bits, kind):
    engine = engine_of(kind, population={"survivors": 2}, discriminator={"gradient_penalty": 1.0})
    state = after(engine, 2)
    first, second = (engine.vary(state, jobs_of(engine)) for _ in range(2))
    for one, other in zip(first, second, strict=True):
        then, now = bits(one), bits(other)
        assert all(torch.equal(then[name], now[name]) for name in then)
    assert engine.evaluate(state, first) == engine.evaluate(state, second)
    one, report_one = engine.advance(state, first[:2])
    other, report_other = engine.advance(state, second[:2])
    assert checksum(one) == checksum(other) and report_one == report_other


@pytest.mark.parametrize("kind", KINDS)
def test_a_generation_can_be_played_out_of_turn(engine_of, jobs_of, after, bits, kind):
    """A replica that has just played generation 5 makes generation 1's children to the bit."""
    engine = engine_of(kind)
    early = after(engine, 1)
    children = [bits(child) for child in engine.vary(early, jobs_of(engine))]
    used = engine_of(kind)
    after(used, 5)
    for child, then in zip(used.vary(early, jobs_of(used)), children, strict=True):
        now = bits(child)
        assert all(torch.equal(now[name], then[name]) for name in then)


@pytest.mark.parametrize("kind", KINDS)
def test_global_generators_are_neither_read_nor_moved(engine_of, jobs_of, kind):
    engine = engine_of(kind, discriminator={"gradient_penalty": 1.0})
    quiet = play(engine, jobs_of(engine), 2)
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()
    seeds = iter(range(100))

    def reseed() -> None:
        seed = next(seeds)
        torch.manual_seed(seed)
        random.seed(seed)
        np.random.seed(seed)
        seen.append((torch.get_rng_state().sum().item(), random.getstate()))

    seen: list[object] = []
    try:
        assert play(engine, jobs_of(engine), 2, reseed) == quiet
        assert (torch.get_rng_state().sum().item(), random.getstate()) == seen[-1]
    finally:
        torch.set_rng_state(before[0])
        random.setstate(before[1])
        np.random.set_state(before[2])


def test_parents_of_generation_0_differ_and_so_do_their_seeds(engine_of):
    state = engine_of("mlp", population={"survivors": 3}).initial_state()
    vectors = [parent.networks["generator"].weights.params for parent in state.parents]
    assert len({tuple(vector.tolist()) for vector in vectors}) == 3
    for parent in state.parents:
        assert torch.equal(
            parent.average["generator"].params, parent.networks["generator"].weights.params
        )
    assert state.generation == 0
    assert set(state.steps().values()) == {0}


def test_the_first_parent_is_the_same_whatever_the_number_of_parents(engine_of):
    one, three = (
        engine_of("mlp", population={"survivors": count}).initial_state() for count in (1, 3)
    )
    assert torch.equal(
        one.parents[0].networks["generator"].weights.params,
        three.parents[0].networks["generator"].weights.params,
    )
    assert torch.equal(
        one.critics["discriminator"].weights.params, three.critics["discriminator"].weights.params
    )
