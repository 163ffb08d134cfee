"""`vary`: a child is its parent after ordinary training steps, independent of its siblings."""

import re
from itertools import permutations

import pytest
import torch
from torch import nn

from egan.engine import Child
from egan.mutations import resolve
from egan.state import EvolutionState, checksum
from egan.streams import Purpose
from populations.individual import Job
from populations.seeding import torch_seed

KINDS = ("mlp", "dcgan")
NAMES = ("minimax", "heuristic", "least_squares")
EQUATIONS = {
    "minimax": lambda d: (1 - d).log().mean() / 2,
    "heuristic": lambda d: -d.log().mean() / 2,
    "least_squares": lambda d: (d - 1).square().mean(),
}


def train_noise(engine, state, step: int, *, child: int | None = None) -> torch.Tensor:
    """z of a step, from the stream that the seed gives it."""
    index = 0 if child is None else 1 + child
    seed = torch_seed(engine.config.seed, state.generation, Purpose.TRAIN_NOISE, step, index)
    stream = torch.Generator().manual_seed(seed)
    shape = engine.config.population.batch, engine.config.backbone.latent
    if engine.config.backbone.prior == "uniform":
        return torch.rand(*shape, generator=stream) * 2 - 1
    return torch.randn(*shape, generator=stream)


def optimizer_of(engine, module: nn.Module) -> torch.optim.Adam:
    settings = engine.config.optimizer
    return torch.optim.Adam(
        module.parameters(), settings.learning_rate, settings.betas, settings.eps, foreach=False
    )


def flat(module: nn.Module) -> torch.Tensor:
    return nn.utils.parameters_to_vector(module.parameters()).detach()


def assert_same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert one.keys() == other.keys()
    for name in one:
        assert torch.equal(one[name], other[name]), name


@pytest.mark.parametrize("kind", (*KINDS, "dcgan-plain-d"))
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("noise", ["common", "fresh"])
def test_a_child_is_its_parent_after_ordinary_adam_steps(
    engine_of, jobs_of, ordinary, kind, name, steps, noise
):
    engine = engine_of(kind, population={"steps": steps, "noise": noise})
    state = engine.initial_state()
    job = jobs_of(engine)[NAMES.index(name)]
    (child,) = engine.vary(state, [job])

    parent = state.parents[0].networks["generator"].weights
    generator = ordinary(engine.game.generators["generator"], parent)
    optimizer = optimizer_of(engine, generator)
    for step in range(steps):
        discriminator = ordinary(
            engine.game.critics["discriminator"], state.critics["discriminator"].weights
        ).requires_grad_(False)
        z = train_noise(engine, state, step, child=job.index if noise == "fresh" else None)
        loss = resolve(name)(discriminator(generator(z)))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    made = child.networks["generator"]
    assert torch.equal(made.weights.params, flat(generator))
    assert made.moments.step == steps
    moments = [optimizer.state[p] for p in generator.parameters()]
    assert torch.equal(made.moments.first, torch.cat([m["exp_avg"].flatten() for m in moments]))
    assert torch.equal(made.moments.second, torch.cat([m["exp_avg_sq"].flatten() for m in moments]))
    for buffer_name, buffer in generator.named_buffers():
        assert torch.equal(made.weights.buffers[buffer_name], buffer)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", NAMES)
def test_the_gradient_is_that_of_the_published_equation_in_float64(
    engine_of, jobs_of, ordinary, kind, name
):
    engine = engine_of(kind)
    state = engine.initial_state()
    (child,) = engine.vary(state, [jobs_of(engine)[NAMES.index(name)]])
    first = child.networks["generator"].moments.first  # (1 - beta1) g after the first step
    gradient = first.double() / (1 - engine.config.optimizer.betas[0])

    weights = state.parents[0].networks["generator"].weights
    generator = ordinary(engine.game.generators["generator"], weights, torch.float64)
    discriminator = ordinary(
        engine.game.critics["discriminator"], state.critics["discriminator"].weights, torch.float64
    )
    d = torch.sigmoid(discriminator(generator(train_noise(engine, state, 0).double())))
    expected = torch.autograd.grad(EQUATIONS[name](d), list(generator.parameters()))
    expected = torch.cat([part.flatten() for part in expected])
    assert torch.linalg.vector_norm(gradient - expected) < 1e-5 * torch.linalg.vector_norm(expected)


def test_a_child_fools_the_discriminator_more_than_its_parent(engine_of, jobs_of, ordinary):
    engine = engine_of("mlp", optimizer={"learning_rate": 1e-4})
    state = engine.initial_state()
    discriminator = ordinary(
        engine.game.critics["discriminator"], state.critics["discriminator"].weights
    )
    z = train_noise(engine, state, 0)

    def fooled(weights) -> float:
        generator = ordinary(engine.game.generators["generator"], weights)
        with torch.no_grad():
            return torch.sigmoid(discriminator(generator(z)).double()).mean().item()

    before = fooled(state.parents[0].networks["generator"].weights)
    for child in engine.vary(state, jobs_of(engine)):
        assert fooled(child.networks["generator"].weights) > before


@pytest.mark.parametrize("kind", KINDS)
def test_moments_are_inherited_over_generations(engine_of, jobs_of, ordinary, kind):
    """One lineage has the bits of one persistent torch.optim.Adam, its losses alternating."""
    engine = engine_of(kind)
    state = engine.initial_state()
    weights = state.parents[0].networks["generator"].weights
    generator = ordinary(engine.game.generators["generator"], weights)
    optimizer = optimizer_of(engine, generator)
    for generation in range(6):
        job = jobs_of(engine)[generation % 3]
        discriminator = ordinary(
            engine.game.critics["discriminator"], state.critics["discriminator"].weights
        )
        loss = resolve(job.operator)(discriminator(generator(train_noise(engine, state, 0))))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        state, _ = engine.advance(state, engine.vary(state, [job]))
        network = state.parents[0].networks["generator"]
        assert torch.equal(network.weights.params, flat(generator))
        assert network.moments.step == generation + 1
        for name, buffer in generator.named_buffers():
            assert torch.equal(network.weights.buffers[name], buffer)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("noise", ["common", "fresh"])
def test_children_that_share_a_forward_pass_have_the_bits_of_children_made_one_at_a_time(
    engine_of, jobs_of, after, bits, kind, steps, noise
):
    engine = engine_of(kind, population={"survivors": 2, "steps": steps, "noise": noise})
    state = after(engine, 2)
    jobs = jobs_of(engine)
    together = {child.job: bits(child) for child in engine.vary(state, jobs)}
    assert len(together) == 6
    for job in jobs:
        (alone,) = engine.vary(state, [job])
        assert_same(together[job], bits(alone))


@pytest.mark.parametrize("kind", KINDS)
def test_children_do_not_depend_on_the_order_they_are_made_in(
    engine_of, jobs_of, after, bits, kind
):
    engine = engine_of(kind)
    state = after(engine, 1)
    jobs = jobs_of(engine)
    first = {child.job: bits(child) for child in engine.vary(state, jobs)}
    for order in permutations(jobs):
        for child in engine.vary(state, order):
            assert_same(bits(child), first[child.job])


@pytest.mark.parametrize("kind", KINDS)
def test_siblings_differ_from_each_other_and_from_their_parent(engine_of, jobs_of, after, kind):
    engine = engine_of(kind)
    state = after(engine, 1)
    vectors = [c.networks["generator"].weights.params for c in engine.vary(state, jobs_of(engine))]
    vectors.append(state.parents[0].networks["generator"].weights.params)
    for i, one in enumerate(vectors):
        assert not any(torch.equal(one, other) for other in vectors[:i])


@pytest.mark.parametrize("noise", ["common", "fresh"])
def test_siblings_share_their_noise_unless_it_is_fresh(engine_of, noise):
    """Two jobs of one mutation are twins under common noise, and not where noise is fresh."""
    engine = engine_of("mlp", population={"noise": noise})
    state = engine.initial_state()
    twins = engine.vary(state, [Job(0, (0,), "heuristic"), Job(1, (0,), "heuristic")])
    one, other = (child.networks["generator"].weights.params for child in twins)
    assert torch.equal(one, other) == (noise == "common")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("steps", [1, 3])
def test_varying_changes_neither_parents_nor_discriminator_nor_any_buffer(
    engine_of, jobs_of, after, kind, steps
):
    engine = engine_of(kind, population={"survivors": 2, "steps": steps})
    state = after(engine, 2)
    before = {name: tensor.clone() for name, tensor in state.tensors()}
    steps_before, sum_before = state.steps(), checksum(state)
    children = engine.vary(state, jobs_of(engine))
    assert_same(dict(state.tensors()), before)
    assert state.steps() == steps_before and checksum(state) == sum_before
    shared = {tensor.untyped_storage().data_ptr() for _, tensor in state.tensors()}
    for child in children:
        params = child.networks["generator"].weights.params
        assert params.untyped_storage().data_ptr() not in shared


def test_a_child_inherits_batch_statistics_and_updates_its_own(engine_of, jobs_of, after):
    engine = engine_of("dcgan", population={"steps": 2})
    state = after(engine, 1)
    parent = state.parents[0].networks["generator"].weights.buffers
    for child in engine.vary(state, jobs_of(engine)):
        buffers = child.networks["generator"].weights.buffers
        for name, buffer in buffers.items():
            if name.endswith("num_batches_tracked"):
                assert buffer == parent[name] + 2
            else:
                assert not torch.equal(buffer, parent[name])


# ----------------------------------------------------------------------------------------- failures


def nan_loss(logits):
    return logits.mean() * float("nan")


def infinite_loss(logits):
    return logits.mean() / 0


def raising(logits):
    raise ZeroDivisionError("no such thing")


def vector_loss(logits):
    return logits * 2


def number_loss(logits):
    return 3.0


def constant_loss(logits):
    return torch.ones((), requires_grad=True)


def nan_gradient(logits):
    return ((logits - logits) ** 2).sqrt().mean()  # 0, and its derivative 0 / 0


def overflowing_moment(logits):
    return logits.mean() * 1e25  # Adam's second moment overflows: a weight would never move again


@pytest.mark.parametrize(
    ("own", "reason"),
    [
        (nan_loss, "loss is nan at step 0"),
        (infinite_loss, "loss is -?inf at step 0"),
        (raising, "ZeroDivisionError: no such thing"),
        (vector_loss, "RuntimeError: grad can be implicitly created only for scalar outputs"),
        (number_loss, "float"),
        (constant_loss, "RuntimeError: .* not have been used in the graph"),
        (nan_gradient, "weights or moments are not finite after step 0"),
        (overflowing_moment, "weights or moments are not finite after step 0"),
    ],
)
def test_a_mutation_that_goes_wrong_fails_its_own_child_alone(
    engine_of, jobs_of, bits, own, reason
):
    engine = engine_of("mlp", own={"own": own})
    state = engine.initial_state()
    good, bad, other = Job(0, (0,), "heuristic"), Job(1, (0,), "own"), Job(2, (0,), "heuristic")
    children = engine.vary(state, [good, bad, other])
    assert [bool(child.failure) for child in children] == [False, True, False]
    (alone,) = engine.vary(state, [good])
    assert_same(bits(children[0]), bits(alone))
    assert_same(bits(children[2]), bits(alone))
    scores = engine.evaluate(state, children)
    assert scores[0].finite and scores[2].finite and not scores[1].finite
    assert re.search(reason, scores[1].failure)


def test_a_child_that_fails_in_a_later_step_takes_no_further_one(engine_of):
    calls = []

    def fails_second_time(logits):
        calls.append(1)
        return logits.mean() * (float("nan") if len(calls) == 2 else 1.0)

    engine = engine_of("mlp", own={"own": fails_second_time}, population={"steps": 4})
    (child,) = engine.vary(engine.initial_state(), [Job(0, (0,), "own")])
    assert child.failure == "loss is nan at step 1"
    assert len(calls) == 2


def test_a_mutation_that_works_in_place_does_not_reach_its_siblings(engine_of, bits):
    def in_place(logits):
        return -logits.mul_(3).mean()

    engine = engine_of("mlp", own={"own": in_place})
    state = engine.initial_state()
    own, good = Job(0, (0,), "own"), Job(1, (0,), "heuristic")
    together: list[Child] = engine.vary(state, [own, good])
    (alone,) = engine.vary(state, [good])
    assert not together[0].failure
    assert_same(bits(together[1]), bits(alone))


def test_no_jobs_make_no_children(engine_of):
    engine = engine_of("mlp")
    state: EvolutionState = engine.initial_state()
    assert engine.vary(state, []) == []
