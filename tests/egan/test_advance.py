"""`advance`: the survivors become parents, and the discriminator trains on all of them."""

import math
from collections import Counter
from dataclasses import replace

import pytest
import torch
from torch import nn

from egan.data.draws import Draws
from egan.discriminator import LOSSES
from egan.engine import Diverged
from egan.state import Network, checksum
from egan.streams import Purpose
from populations.individual import Job
from populations.seeding import torch_seed


def seeded(engine, generation: int, purpose: Purpose, *index: int) -> torch.Generator:
    return torch.Generator().manual_seed(
        torch_seed(engine.config.seed, generation, purpose, *index)
    )


def reals_of(engine, sources, generation: int) -> torch.Tensor:
    """Every real image that the discriminator sees in a generation, update by update."""
    source = sources[engine.config.data.source]
    wanted = engine.config.discriminator.updates * engine.config.population.batch
    counts = {
        Purpose.EVALUATION_DATA: engine.config.fitness.batch,
        Purpose.DISCRIMINATOR_DATA: wanted,
    }
    draws = Draws(source, engine.config.seed, counts)
    return draws(generation, Purpose.DISCRIMINATOR_DATA).view(
        engine.config.discriminator.updates, engine.config.population.batch, *source.shape
    )


def fakes_of(engine, ordinary, generation: int, children, counts, update: int) -> torch.Tensor:
    fakes = []
    for index, (child, count) in enumerate(zip(children, counts, strict=True)):
        generator = ordinary(
            engine.game.generators["generator"], child.networks["generator"].weights
        )
        stream = seeded(engine, generation, Purpose.DISCRIMINATOR_NOISE, update, index)
        with torch.no_grad():
            fakes.append(
                generator(torch.randn(count, engine.config.backbone.latent, generator=stream))
            )
    return torch.cat(fakes)


def flat(module: nn.Module) -> torch.Tensor:
    return nn.utils.parameters_to_vector(module.parameters()).detach()


@pytest.mark.parametrize("kind", ["mlp", "dcgan"])
@pytest.mark.parametrize("loss", ["bce", "least_squares", "hinge"])
def test_the_discriminator_takes_ordinary_adam_steps_on_fresh_reals_and_fakes(
    engine_of, jobs_of, ordinary, sources, kind, loss
):
    """Two generations of two updates have the bits of one persistent torch.optim.Adam."""
    engine = engine_of(
        kind,
        population={"survivors": 2},
        discriminator={"updates": 2, "loss": loss},
        optimizer={"learning_rate": 1e-3, "discriminator_learning_rate": 3e-3},
    )
    state = engine.initial_state()
    discriminator = ordinary(
        engine.game.critics["discriminator"], state.critics["discriminator"].weights
    )
    optimizer = torch.optim.Adam(discriminator.parameters(), 3e-3, (0.5, 0.99), foreach=False)
    for generation in range(2):
        children = engine.vary(state, [jobs_of(engine)[1], jobs_of(engine)[3]])
        losses = []
        for update, real in enumerate(reals_of(engine, sources, generation)):
            fake = fakes_of(engine, ordinary, generation, children, (4, 4), update)
            value = LOSSES[loss](discriminator(real), discriminator(fake))
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
            losses.append(value.item())
        state, report = engine.advance(state, children)
        assert torch.equal(state.critics["discriminator"].weights.params, flat(discriminator))
        assert state.critics["discriminator"].moments.step == 2 * (generation + 1)
        moments = [optimizer.state[p] for p in discriminator.parameters()]
        first = torch.cat([m["exp_avg"].flatten() for m in moments])
        second = torch.cat([m["exp_avg_sq"].flatten() for m in moments])
        assert torch.equal(state.critics["discriminator"].moments.first, first)
        assert torch.equal(state.critics["discriminator"].moments.second, second)
        for name, buffer in discriminator.named_buffers():  # reals, then fakes, went through
            assert torch.equal(state.critics["discriminator"].weights.buffers[name], buffer)
        assert report["loss"] == pytest.approx(sum(losses) / 2, rel=1e-6)
    assert state.generation == 2


@pytest.mark.parametrize("regulariser", ["r1", "r2", "gradient_penalty"])
def test_the_gradient_with_a_penalty_is_that_of_a_float64_reference(
    engine_of, jobs_of, ordinary, sources, regulariser
):
    weight = 0.5
    engine = engine_of("dcgan-plain-d", discriminator={regulariser: weight})
    state = engine.initial_state()
    children = engine.vary(state, jobs_of(engine)[:1])
    advanced, _ = engine.advance(state, children)
    gradient = advanced.critics["discriminator"].moments.first.double() / 0.5  # (1 - beta1) g

    module = ordinary(
        engine.game.critics["discriminator"], state.critics["discriminator"].weights, torch.float64
    )
    real = reals_of(engine, sources, 0)[0].double()
    stream = seeded(engine, 0, Purpose.DISCRIMINATOR_NOISE, 0, 0)
    generator = ordinary(
        engine.game.generators["generator"], children[0].networks["generator"].weights
    )
    with torch.no_grad():
        fake = generator(torch.rand(8, 5, generator=stream) * 2 - 1).double()
    mix = torch.rand(8, generator=seeded(engine, 0, Purpose.PENALTY, 0)).double()

    def squared_norm(sample: torch.Tensor) -> torch.Tensor:
        sample = sample[None].clone().requires_grad_()
        (slope,) = torch.autograd.grad(module(sample).sum(), sample, create_graph=True)
        return slope.square().sum()

    if regulariser == "r1":
        penalty = torch.stack([squared_norm(x) for x in real]).mean() / 2
    elif regulariser == "r2":
        penalty = torch.stack([squared_norm(x) for x in fake]).mean() / 2
    else:
        between = [(1 - a) * x + a * y for x, y, a in zip(real, fake, mix, strict=True)]
        penalty = torch.stack([(squared_norm(x).sqrt() - 1) ** 2 for x in between]).mean()
    d_real, d_fake = torch.sigmoid(module(real)), torch.sigmoid(module(fake))
    loss = -d_real.log().mean() - (1 - d_fake).log().mean() + weight * penalty
    expected = torch.autograd.grad(loss, list(module.parameters()), allow_unused=True)
    expected = torch.cat(
        [
            (torch.zeros_like(p) if part is None else part).flatten()
            for part, p in zip(expected, module.parameters(), strict=True)
        ]
    )
    error = torch.linalg.vector_norm(gradient - expected)
    assert error < 1e-4 * torch.linalg.vector_norm(expected)


def test_a_penalty_leaves_batch_statistics_alone(engine_of, jobs_of):
    """R1's passes through the discriminator are no training passes."""
    states = []
    for r1 in (0.0, 0.5):
        engine = engine_of("dcgan", discriminator={"r1": r1})
        state = engine.initial_state()
        states.append(engine.advance(state, engine.vary(state, jobs_of(engine)[:1]))[0])
    plain, penalised = (state.critics["discriminator"].weights for state in states)
    assert not torch.equal(plain.params, penalised.params)
    for name, buffer in plain.buffers.items():
        assert torch.equal(buffer, penalised.buffers[name])


# ------------------------------------------------------------------------------------------- shares


def counted(engine, monkeypatch) -> list[int]:
    """Note how many fakes are asked for in each call."""
    counts: list[int] = []
    draw = engine.game.inputs

    def inputs(count, generator):
        counts.append(count)
        return draw(count, generator)

    monkeypatch.setattr(engine.game, "inputs", inputs)
    return counts


def test_every_survivor_gives_an_equal_share_of_fakes_and_the_remainder_goes_round(
    engine_of, jobs_of, monkeypatch
):
    engine = engine_of("mlp", population={"survivors": 3}, discriminator={"updates": 2})
    state = engine.initial_state()
    jobs = [jobs_of(engine)[index] for index in (0, 4, 8)]
    total: Counter[int] = Counter()
    for _ in range(3):
        children = engine.vary(state, jobs)
        counts = counted(engine, monkeypatch)
        state, _ = engine.advance(state, children)
        monkeypatch.undo()
        for update in range(2):
            shares = counts[3 * update : 3 * update + 3]
            assert sum(shares) == 8 and sorted(shares) == [2, 3, 3]
            total.update(dict(enumerate(shares)))
    assert len(set(total.values())) == 1  # 6 updates over 3 parents: exactly equal


def test_the_remainder_goes_round_even_with_one_update_a_generation(
    engine_of, jobs_of, monkeypatch
):
    engine = engine_of("mlp", population={"survivors": 3})
    state = engine.initial_state()
    total: Counter[int] = Counter()
    for _ in range(3):
        children = engine.vary(state, [jobs_of(engine)[index] for index in (0, 4, 8)])
        counts = counted(engine, monkeypatch)
        state, _ = engine.advance(state, children)
        monkeypatch.undo()
        total.update(dict(enumerate(counts)))
    assert set(total.values()) == {8}


@pytest.mark.parametrize("changed", [0, 1, 2])
def test_the_discriminator_learns_from_every_survivor(engine_of, jobs_of, after, changed):
    engine = engine_of("mlp", population={"survivors": 3})
    state = after(engine, 1)
    jobs = jobs_of(engine)
    survivors = engine.vary(state, [jobs[0], jobs[3], jobs[6]])
    other = engine.vary(state, [jobs[3 * changed + 1]])[0]
    exchanged = [other if i == changed else child for i, child in enumerate(survivors)]
    one, _ = engine.advance(state, survivors)
    two, _ = engine.advance(state, exchanged)
    assert not torch.equal(
        one.critics["discriminator"].moments.first, two.critics["discriminator"].moments.first
    )


def test_survivors_become_parents_in_their_order_with_their_moments(engine_of, jobs_of):
    engine = engine_of("mlp", population={"survivors": 2})
    state = engine.initial_state()
    children = engine.vary(state, [jobs_of(engine)[4], jobs_of(engine)[1]])
    advanced, _ = engine.advance(state, children)
    assert [parent.networks for parent in advanced.parents] == [c.networks for c in children]


def test_advance_leaves_the_state_before_as_it_was(engine_of, jobs_of, after):
    engine = engine_of("dcgan", population={"survivors": 2})
    state = after(engine, 2)
    before = {name: tensor.clone() for name, tensor in state.tensors()}
    engine.advance(state, engine.vary(state, jobs_of(engine)[1:3]))
    assert state.generation == 2
    for name, tensor in state.tensors():
        assert torch.equal(tensor, before[name]), name


# ------------------------------------------------------------------------------------------ average


@pytest.mark.parametrize("kind", ["mlp", "dcgan"])
def test_the_average_follows_its_own_lineage_with_a_warm_up(engine_of, jobs_of, kind):
    engine = engine_of(kind, population={"survivors": 2, "average": 0.25})
    state = engine.initial_state()
    jobs = jobs_of(engine)
    averages = [p.networks["generator"].weights.params.double() for p in state.parents]
    for generation, picks in enumerate([(0, 4), (5, 1), (3, 2), (1, 2)]):  # lineages cross and end
        children = engine.vary(state, [jobs[pick] for pick in picks])
        decay = min(0.25, (1 + generation) / (10 + generation))
        averages = [
            decay * averages[child.job.parents[0]]
            + (1 - decay) * child.networks["generator"].weights.params.double()
            for child in children
        ]
        old = state.parents
        state, _ = engine.advance(state, children)
        for index, child in enumerate(children):
            average = state.parents[index].average["generator"]
            assert torch.allclose(average.params.double(), averages[index], atol=1e-6)
            for name, buffer in child.networks["generator"].weights.buffers.items():
                then = old[child.job.parents[0]].average["generator"].buffers[name]
                expected = decay * then + (1 - decay) * buffer
                if not buffer.is_floating_point():
                    expected = buffer  # a count of batches has no mean
                assert torch.allclose(average.buffers[name], expected, atol=1e-6)


def test_an_average_with_decay_0_is_the_generator_itself(engine_of, jobs_of):
    engine = engine_of("dcgan", population={"average": 0.0})
    state = engine.initial_state()
    state, _ = engine.advance(state, engine.vary(state, jobs_of(engine)[:1]))
    parent = state.parents[0]
    assert torch.equal(
        parent.average["generator"].params, parent.networks["generator"].weights.params
    )


# --------------------------------------------------------------------------------------- divergence


def test_a_discriminator_whose_loss_is_not_finite_is_named_with_generation_and_update(
    engine_of, jobs_of, after
):
    engine = engine_of(
        "mlp", discriminator={"updates": 3}, optimizer={"discriminator_learning_rate": 1e30}
    )
    state = replace(after(engine_of("mlp"), 0), generation=7)
    children = engine.vary(state, [Job(0, (0,), "heuristic")])
    before = checksum(state)
    with pytest.raises(
        Diverged, match=r"generation 7: the discriminator's loss is (nan|inf) in update 2 of 3"
    ):
        engine.advance(state, children)
    assert checksum(state) == before


def test_weights_that_the_last_update_breaks_are_noticed(engine_of):
    engine = engine_of("mlp", discriminator={"r1": 1e30})  # its gradient's square overflows
    state = engine.initial_state()
    children = engine.vary(state, [Job(0, (0,), "heuristic")])
    with pytest.raises(
        Diverged, match=r"generation 0: the discriminator's weights or moments .* after update 1"
    ):
        engine.advance(state, children)


def test_a_state_with_broken_weights_cannot_be_advanced(engine_of):
    engine = engine_of("mlp")
    state = engine.initial_state()
    children = engine.vary(state, [Job(0, (0,), "heuristic")])
    weights = state.critics["discriminator"].weights
    broken = replace(weights, params=torch.full_like(weights.params, math.nan))
    state = replace(
        state, critics={"discriminator": Network(broken, state.critics["discriminator"].moments)}
    )
    with pytest.raises(Diverged, match="loss is nan in update 1 of 1"):
        engine.advance(state, children)
