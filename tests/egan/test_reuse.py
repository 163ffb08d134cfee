"""A parent is varied on the fakes that the critics saw last: against plain ways, bit by bit."""

from collections import Counter

import pytest
import torch
from pydantic import ValidationError

from egan import gradients
from egan.config import GameConfig
from egan.context import Context
from egan.mutations import MUTATIONS
from egan.replica import EngineReplica, export_state
from egan.state import checksum, weights_of
from egan.streams import Purpose
from populations.individual import Job
from tests.egan.recording import Tracer, played

JOBS = [Job(i, (0,), name) for i, name in enumerate(("minimax", "heuristic", "least_squares"))]
KINDS = ("mlp", "dcgan")


@pytest.fixture
def build(engine_of):
    """Return a function that builds a game whose critics take two steps a generation."""

    def made(kind, reuse=True, **arguments):
        population = {"reuse_fakes": reuse}
        return engine_of(kind, population=population, discriminator={"updates": 2}, **arguments)

    return made


def last_inputs(engine, generation):
    """Return the noise of the critics' last update in a generation, from its stream."""
    context = engine.context(generation)
    return context.inputs(context.batch, Purpose.DISCRIMINATOR_NOISE, (1, 0), {})


@pytest.mark.parametrize("kind", KINDS)
def test_children_descend_their_loss_on_the_critics_last_fakes(kind, build):
    engine = build(kind)
    state = engine.initial_state()
    for generation, drawn_in in ((0, 0), (1, 0), (2, 1)):
        context, inputs = engine.context(generation), last_inputs(engine, drawn_in)
        parent = state.parents[0].networks["generator"]
        params = parent.weights.params.clone().requires_grad_()
        genes = {"generator": type(parent.weights)(params, parent.weights.buffers)}
        fakes, _ = context.generate(genes, inputs)
        critic = weights_of(state.critics)["discriminator"]
        logits = context.judge("discriminator", critic, fakes, inputs)[0]["logits"]
        children = engine.vary(state, JOBS)
        for child in children:
            loss = MUTATIONS[child.job.operator](logits)
            (gradient,) = torch.autograd.grad(loss, params, retain_graph=True)
            before = parent.moments.first
            beta = engine.config.optimizer.betas[0]
            moment = beta * before + (1 - beta) * gradient
            torch.testing.assert_close(child.networks["generator"].moments.first, moment)
        state, _ = engine.advance(state, [children[generation]])


@pytest.mark.parametrize("kind", KINDS)
def test_the_critics_are_trained_as_without(kind, build):
    one, other = build(kind), build(kind, reuse=False)
    state = one.initial_state()
    children = one.vary(state, JOBS)
    for child in children:
        after, expected = (engine.advance(state, [child])[0] for engine in (one, other))
        assert checksum(after) == checksum(expected)


@pytest.mark.parametrize("kind", KINDS)
def test_fakes_that_were_lost_are_made_again_with_the_same_bits(kind, build):
    kept, restored = (EngineReplica(build(kind)) for _ in range(2))
    survivors = None
    for generation in range(5):
        expected = kept.step(generation, survivors, JOBS)
        restored.restore(export_state(kept.state), [])
        other = EngineReplica(build(kind))
        other.restore(restored.export(), [])
        for replica, jobs in ((restored, JOBS), (other, JOBS[generation % 2 :])):
            found = replica.step(generation, None, jobs)
            assert found.checksum == expected.checksum
            assert found.scores == {job.index: expected.scores[job.index] for job in jobs}
        survivors = (JOBS[generation % 3],)


@pytest.mark.parametrize("kind", KINDS)
def test_recorded_steps_have_the_same_bits(kind, build):
    tracer = Tracer()
    assert played(build(kind, record=tracer), 8) == played(build(kind), 8)
    assert tracer.recordings and any(tracer.replays.values())


def test_a_generation_calls_the_generator_once_less(build, monkeypatch):
    calls = Counter()
    forward, fakes = gradients.forward, gradients.fakes
    monkeypatch.setattr(gradients, "forward", lambda *a: calls.update("v") or forward(*a))
    monkeypatch.setattr(gradients, "fakes", lambda *a: calls.update("d") or fakes(*a))
    found = {}
    for reuse in (True, False):
        engine = build("mlp", reuse)
        state = engine.initial_state()
        for generation in range(3):
            calls.clear()
            state, _ = engine.advance(state, engine.vary(state, JOBS[:1]))
            found[reuse, generation] = dict(calls)
    first = {"v": 2, "d": 1}  # nothing was kept before; then D's last fakes are those of variation
    assert [found[True, g] for g in range(3)] == [first, {"v": 1, "d": 1}, {"v": 1, "d": 1}]
    assert [found[False, g] for g in range(3)] == [{"v": 1, "d": 2}] * 3


def test_nothing_is_drawn_for_variation_alone(build, monkeypatch):
    seen = set()
    inputs = Context.inputs
    monkeypatch.setattr(Context, "inputs", lambda *a, **k: seen.add(a[2]) or inputs(*a, **k))
    played(build("dcgan"), 3)
    assert seen == {Purpose.DISCRIMINATOR_NOISE, Purpose.EVALUATION_NOISE}


PLAYABLE = {"data": {"source": "gaussians"}, "backbone": {"name": "mlp"}}


@pytest.mark.parametrize(
    ("population", "told"),
    [
        ({"survivors": 2}, "survivors is 2"),
        ({"steps": 3}, "steps is 3"),
        ({"noise": "fresh"}, "noise is fresh"),
        ({"crossover": "distillation"}, "crossover is distillation"),
        ({"steps": 2, "noise": "fresh"}, "steps is 2 and noise is fresh"),
    ],
)
def test_it_needs_one_parent_that_made_all_fakes(population, told):
    with pytest.raises(ValidationError, match=f"saw last, but {told}; leave reuse_fakes out"):
        GameConfig(**PLAYABLE, population={**population, "reuse_fakes": True})


@pytest.mark.parametrize("growth", [{}, {"batch": {8: 32}}])
def test_networks_that_grow_neither_reuse_fakes_nor_cross(growth):
    values = {"data": {"source": "digits"}, "backbone": {"name": "stylegan", "growth": growth}}
    refused = {"reuse_fakes": True}, {"crossover": "distillation"}
    for population in refused:
        with pytest.raises(ValidationError, match="backbone stylegan grows"):
            GameConfig.model_validate({**values, "population": population})
