"""`evaluate`: Fq and Fd against float64 references; nothing changes by it."""

import math

import pytest
import torch

from egan.data.draws import Draws
from egan.state import checksum
from egan.streams import Purpose
from populations.individual import Job
from populations.seeding import torch_seed

KINDS = ("mlp", "dcgan", "dcgan-plain-d")


def evaluation_noise(engine, state, child: int | None = None) -> torch.Tensor:
    index = 0 if child is None else 1 + child
    seed = torch_seed(engine.config.seed, state.generation, Purpose.EVALUATION_NOISE, 0, index)
    stream = torch.Generator().manual_seed(seed)
    shape = engine.config.fitness.batch, engine.config.backbone.latent
    if engine.config.backbone.prior == "uniform":
        return torch.rand(*shape, generator=stream) * 2 - 1
    return torch.randn(*shape, generator=stream)


def evaluation_reals(engine, source, state) -> torch.Tensor:
    counts = {
        Purpose.EVALUATION_DATA: engine.config.fitness.batch,
        Purpose.DISCRIMINATOR_DATA: engine.config.discriminator.updates
        * engine.config.population.batch,
    }
    return Draws(source, engine.config.seed, counts)(state.generation, Purpose.EVALUATION_DATA)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("noise", ["common", "fresh"])
def test_scores_are_fq_and_fd_of_the_paper(
    engine_of, jobs_of, after, ordinary, sources, kind, noise
):
    """One plain float64 pass per child: F_q = E D(G(z)), F_d = -log of D's gradient's norm."""
    engine = engine_of(kind, population={"noise": noise})
    state = after(engine, 2)
    reals = evaluation_reals(engine, sources[engine.config.data.source], state).double()
    children = engine.vary(state, jobs_of(engine))
    scores = engine.evaluate(state, children)
    for child in children:
        weights = child.networks["generator"].weights
        generator = ordinary(engine.game.generators["generator"], weights, torch.float64)
        discriminator = ordinary(
            engine.game.critics["discriminator"],
            state.critics["discriminator"].weights,
            torch.float64,
        )
        z = evaluation_noise(engine, state, child.job.index if noise == "fresh" else None)
        fakes = generator(z.double()).detach()
        d_real = torch.sigmoid(discriminator(reals))
        d_fake = torch.sigmoid(discriminator(fakes))
        loss = -d_real.log().mean() - (1 - d_fake).log().mean()
        gradient = torch.autograd.grad(loss, list(discriminator.parameters()))
        squares = sum(part.square().sum().item() for part in gradient)
        fq, fd = scores[child.job.index].values
        assert fq == pytest.approx(d_fake.mean().item(), rel=1e-5)
        assert fd == pytest.approx(-math.log(math.sqrt(squares)), rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_evaluation_changes_nothing(engine_of, jobs_of, after, bits, kind):
    engine = engine_of(kind, population={"survivors": 2})
    state = after(engine, 2)
    before = {name: tensor.clone() for name, tensor in state.tensors()}
    sum_before = checksum(state)
    children = engine.vary(state, jobs_of(engine))
    children_before = [bits(child) for child in children]
    engine.evaluate(state, children)
    assert checksum(state) == sum_before
    for name, tensor in state.tensors():
        assert torch.equal(tensor, before[name]), name
    for child, then in zip(children, children_before, strict=True):
        now = bits(child)
        assert all(torch.equal(now[name], then[name]) for name in then)


@pytest.mark.parametrize("kind", ("mlp", "dcgan"))
@pytest.mark.parametrize("noise", ["common", "fresh"])
def test_a_childs_score_depends_neither_on_its_siblings_nor_on_their_order(
    engine_of, jobs_of, after, kind, noise
):
    engine = engine_of(kind, population={"survivors": 2, "noise": noise})
    state = after(engine, 1)
    children = engine.vary(state, jobs_of(engine))
    together = engine.evaluate(state, children)
    assert engine.evaluate(state, children[::-1]) == together
    for child in children:
        assert engine.evaluate(state, [child]) == {child.job.index: together[child.job.index]}


@pytest.mark.parametrize("noise", ["common", "fresh"])
def test_equal_children_score_equal_unless_noise_is_fresh(engine_of, noise):
    engine = engine_of("mlp", population={"noise": noise})
    state = engine.initial_state()
    (child,) = engine.vary(state, [Job(0, (0,), "heuristic")])
    twin = type(child)(Job(1, (0,), "heuristic"), child.networks)
    scores = engine.evaluate(state, [child, twin])
    assert (scores[0] == scores[1]) == (noise == "common")


def test_a_child_whose_fakes_are_not_finite_is_not_finite(engine_of, bits):
    engine = engine_of("mlp")
    state = engine.initial_state()
    (child,) = engine.vary(state, [Job(0, (0,), "heuristic")])
    network = child.networks["generator"]
    broken = network.weights.params.clone()
    broken[:] = 3e38
    weights = type(network.weights)(broken, network.weights.buffers)
    wild = type(child)(child.job, {"generator": type(network)(weights, network.moments)})
    assert not engine.evaluate(state, [wild])[0].finite
