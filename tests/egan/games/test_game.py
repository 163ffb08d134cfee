"""The engine plays any game: several generators and critics, conditions, a fixed loss."""

from dataclasses import replace
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import softplus

from egan.backbones.function import NetworkFunction
from egan.backbones.mlp import initialise
from egan.config import GameConfig, with_settings
from egan.data import open_source
from egan.engine import Engine
from egan.games import joined, rows
from egan.mutations import heuristic, least_squares, resolve, takes_reals
from egan.replica import EngineReplica, export_state, import_state
from egan.state import checksum
from egan.streams import Purpose
from populations.individual import Job

CPU = torch.device("cpu")


def relativistic(fake, real):
    return softplus(real - fake).mean()


MUTATIONS = {"heuristic": heuristic, "least_squares": least_squares, "relativistic": relativistic}
JOBS = [Job(index, (0,), name) for index, name in enumerate(MUTATIONS)]


def linear(inputs, outputs):
    return NetworkFunction(lambda: nn.Linear(inputs, outputs), initialise)


class PairGame:
    """Two maps between the plane's points and their mirror images, judged with what they map."""

    conditioned = True
    pools: ClassVar[dict] = {}

    def __init__(self):
        self.generators = {"there": linear(3, 2), "back": linear(2, 2)}
        self.critics = {"judge_b": linear(4, 1), "judge_a": linear(2, 1)}

    def growth(self, batch):
        return None

    def reals(self, draws, generation, purpose):
        a = draws(generation, purpose)
        return {"a": a, "b": a.flip(1)}

    def at_stage(self, batch, stage, shown):
        assert stage is None
        return batch

    def marginal(self, draws, generation, purpose, index, count):
        return {}

    def inputs(self, count, stream):
        return {"noise": torch.randn(count, 1, generator=stream)}

    def conditions(self, reals):
        return {"a": reals["a"]}

    def generate(self, genes, inputs, stage=None, training=True):
        b, there = self.generators["there"](
            genes["there"], torch.cat([inputs["a"], inputs["noise"]], 1), training=training
        )
        again, back = self.generators["back"](genes["back"], b, training=training)
        return {"b": b, "again": again}, {"there": there, "back": back}

    def judge(self, role, critic, samples, inputs, stage=None):
        seen = samples.get("again", samples.get("a"))
        if role == "judge_b":
            seen = torch.cat([inputs["a"], samples["b"]], 1)
        logits, buffers = self.critics[role](critic, seen)
        return {"logits": logits}, buffers

    def fixed_loss(self, genes, inputs, fakes, verdicts, stage=None):
        return (fakes["again"] - inputs["a"]).abs().mean()

    def directions(self, step, count, stage):
        return None

    def critic_loss(self, role, real, verdict_real, inputs, verdict_fake):
        return None


@pytest.fixture
def engine(monkeypatch):
    monkeypatch.setattr("egan.engine.build_game", lambda *_: PairGame())
    config = GameConfig.model_validate(
        {
            "seed": 5,
            "data": {"source": "gaussians"},
            "backbone": {"name": "mlp"},
            "population": {"batch": 8, "survivors": 2, "steps": 2},
            "fitness": {"batch": 6},
            "discriminator": {"updates": 2},
            "optimizer": {"learning_rate": 0.01},
        }
    )
    return Engine(config, open_source(config.data), MUTATIONS, CPU)


def logits_of(engine, state, samples, inputs):
    return {
        role: engine.game.judge(role, critic.weights, samples, inputs)[0]["logits"]
        for role, critic in state.critics.items()
    }


def test_a_childs_gradient_is_the_sum_over_critics_and_the_fixed_loss(engine):
    state, context = engine.initial_state(), engine.context(0)
    engine.config = engine.config.model_copy(
        update={"population": engine.config.population.model_copy(update={"steps": 1})}
    )
    reals = rows(context.reals(Purpose.TRAIN_DATA), slice(0, 8))
    inputs = context.inputs(8, Purpose.TRAIN_NOISE, (0, 0), reals)
    for child in engine.vary(state, JOBS):
        genes = {
            role: replace(network.weights, params=network.weights.params.clone().requires_grad_())
            for role, network in state.parents[0].networks.items()
        }
        fakes, _ = engine.game.generate(genes, inputs)
        fake, real = (logits_of(engine, state, *pair) for pair in ((fakes, inputs), (reals, reals)))
        mutation = MUTATIONS[child.job.operator]
        losses = [
            mutation(fake[role], real[role]) if takes_reals(mutation) else mutation(fake[role])
            for role in fake
        ]
        loss = sum(losses) + (fakes["again"] - inputs["a"]).abs().mean()
        for role, gradient in zip(
            genes, torch.autograd.grad(loss, [own.params for own in genes.values()]), strict=True
        ):
            moment = child.networks[role].moments.first  # (1 - beta1) g after one step
            torch.testing.assert_close(moment, gradient / 2, rtol=1e-5, atol=1e-8)


def test_quality_is_the_mean_over_critics_and_diversity_of_their_joint_gradient(engine):
    state, context = engine.initial_state(), engine.context(0)
    (child,) = engine.vary(state, JOBS[:1])
    score = engine.evaluate(state, [child])[0]
    reals = context.reals(Purpose.EVALUATION_DATA)
    inputs = context.inputs(6, Purpose.EVALUATION_NOISE, (0, 0), reals)
    genes = {role: network.weights for role, network in child.networks.items()}
    fakes, _ = engine.game.generate(genes, inputs)
    qualities, squares = [], 0.0
    for role, critic in state.critics.items():
        own = replace(critic.weights, params=critic.weights.params.clone().requires_grad_())
        fake, real = (
            engine.game.judge(role, own, *pair)[0]["logits"]
            for pair in ((fakes, inputs), (reals, reals))
        )
        loss = softplus(-real).mean() + softplus(fake).mean()
        (gradient,) = torch.autograd.grad(loss, own.params)
        qualities.append(torch.sigmoid(fake).mean().item())
        squares += gradient.square().sum().item()
    assert score.values == pytest.approx((np.mean(qualities), -0.5 * np.log(squares)), rel=1e-5)


def test_every_critic_is_trained_and_each_replica_ends_in_the_same_bits(engine):
    one, two = EngineReplica(engine), EngineReplica(engine)
    survivors = None
    for generation in range(3):
        first = one.step(generation, survivors, JOBS)
        second = two.step(generation, survivors, JOBS[generation % 3 :])
        assert first.checksum == second.checksum
        assert first.scores | second.scores == first.scores
        survivors = (JOBS[generation % 3], JOBS[2])
    state = one.state
    assert list(state.critics) == ["judge_b", "judge_a"]
    assert {critic.moments.step for critic in state.critics.values()} == {4}
    again = import_state(export_state(state), CPU)
    assert checksum(again) == checksum(state)
    start = engine.initial_state()
    assert all(
        not torch.equal(state.critics[role].weights.params, start.critics[role].weights.params)
        for role in state.critics
    )


def test_settings_are_part_of_the_checksum_and_decide_the_bits(engine):
    state = engine.initial_state()
    changed = replace(state, settings={"optimizer.learning_rate": 0.02})
    assert checksum(changed) != checksum(state)
    assert import_state(export_state(changed), CPU).settings == changed.settings
    slow, fast = (engine.vary(s, JOBS[:1])[0].networks["there"] for s in (state, changed))
    assert not torch.equal(slow.weights.params, fast.weights.params)
    after, _ = engine.advance(changed, engine.vary(changed, JOBS[:1]) * 2)
    assert after.settings == changed.settings
    with pytest.raises(ValueError, match=r"population.batch cannot change .* optimizer"):
        with_settings(engine.config, {"population.batch": 4})


def test_joined_batches_have_the_rows_of_all():
    batch = {"x": torch.arange(6.0).view(3, 2), "label": torch.arange(3)}
    again = joined([rows(batch, slice(0, 1)), rows(batch, slice(1, 3))])
    assert all(torch.equal(again[name], batch[name]) for name in batch)


def none():
    return torch.zeros(())


def three(fake, real, other):
    return fake.mean()


def scaled(fake, *, weight):
    return weight * fake.mean()


@pytest.mark.parametrize("mutation", [none, three, scaled])
def test_a_mutation_of_other_arguments_is_refused(mutation):
    with pytest.raises(ValueError, match=r"must take the logits of fakes, \(fake\), or"):
        takes_reals(mutation)


def test_a_mutation_by_import_path_may_take_reals():
    assert takes_reals(relativistic) and not takes_reals(resolve("minimax"))
    assert not takes_reals(lambda fake, scale=2.0: fake.mean() * scale)
