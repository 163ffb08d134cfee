"""Growing networks in the engine: stages, draws, Adam's ages, averages, replay across a step."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from egan import gradients
from egan.backbones.progressive.growth import Stage, at_stage, first_generation, introduced
from egan.backbones.stylegan.styles import map_latents
from egan.config import GameConfig
from egan.data import ImageSource
from egan.data.draws import Draws
from egan.discriminator import DiscriminatorConfig
from egan.engine import Engine
from egan.mutations import resolve
from egan.optimizer import Late, Settings, adam, corrections
from egan.replica import EngineReplica
from egan.state import Moments, checksum
from egan.streams import Purpose
from populations.individual import Job

# Two updates of 8 reals: 8 px for generations 0 to 2, fading into 16 px (of 4) up to 6, then 16 px.
GROWTH = {"start": 8, "training_kimg": 0.032, "transition_kimg": 0.064}
STAGES = {0: Stage(8), 2: Stage(8), 3: Stage(16, 0.25), 5: Stage(16, 0.75), 6: Stage(16)}
SMALL = {"latent": 6, "fmap_base": 32, "fmap_max": 6, "stddev_group": 2}
STYLES = {"style": 5, "mapping_layers": 2}
IMAGES = np.random.default_rng(5).integers(0, 256, (150, 1, 16, 16), np.uint8)
MUTATIONS = ("minimax", "heuristic")


def game(name="stylegan", growth=GROWTH, **sections) -> GameConfig:
    backbone = {"name": name, **SMALL, **(STYLES if name == "stylegan" else {}), "growth": growth}
    population = {"batch": 8, "survivors": 2, "mutations": MUTATIONS}
    return GameConfig(
        seed=4,
        data={"source": "digits"},
        backbone=backbone | sections.pop("backbone", {}),
        population=population | sections.pop("population", {}),
        fitness={"batch": 12},
        discriminator={"updates": 2, "r1": 1.0} | sections.pop("discriminator", {}),
        **sections,
    )


def engine_of(name="stylegan", **sections) -> Engine:
    source = ImageSource("noise", IMAGES)
    mutations = {name: resolve(name) for name in MUTATIONS}
    return Engine(game(name, **sections), source, mutations, torch.device("cpu"))


def jobs(*chosen: int) -> list[Job]:
    return [Job(index, (index // 2,), MUTATIONS[index % 2]) for index in chosen or range(4)]


def play(engine, state, generations):
    for _ in range(generations):
        chosen = jobs(state.generation % 4, (state.generation + 1) % 4)
        state, _ = engine.advance(state, engine.vary(state, chosen))
    return state


@pytest.fixture(scope="module", params=["stylegan", "progan"])
def engine(request):
    return engine_of(request.param)


@pytest.fixture(scope="module")
def states(engine):
    """The state of every generation from 0 to 7."""
    torch.set_num_threads(1)  # made before the fixture of every single test
    states = [engine.initial_state()]
    for _ in range(7):
        states.append(play(engine, states[-1], 1))
    return states


# ------------------------------------------------------------------------------ stages and draws


def test_a_generation_computes_at_the_stage_of_the_images_shown_before_it(engine):
    for generation, stage in STAGES.items():
        context = engine.context(generation)
        assert context.stage == stage
        assert context.shown == generation * 2 * 8


def test_reals_are_the_draws_brought_to_the_stage(engine):
    counts = {Purpose.EVALUATION_DATA: 12, Purpose.DISCRIMINATOR_DATA: 16}
    draws = Draws(ImageSource("noise", IMAGES), 4, counts)
    for generation, stage in STAGES.items():
        for purpose, count in counts.items():
            reals = engine.context(generation).reals(purpose)["x"]
            assert reals.shape == (count, 1, stage.resolution, stage.resolution)
            assert torch.equal(reals, at_stage(draws(generation, purpose), stage))


def test_every_stage_draws_in_its_own_batch():
    growth = GROWTH | {"batch": {8: 16, 16: 4}}
    engine = engine_of(growth=growth)
    assert [engine.context(generation).batch for generation in range(4)] == [16, 16, 4, 4]
    for generation in range(12):
        context = engine.context(generation)
        assert context.batch == growth["batch"][context.stage.resolution]
        assert len(context.reals(Purpose.DISCRIMINATOR_DATA)["x"]) == 2 * context.batch
        again = engine_of(growth=growth).context(generation)
        assert torch.equal(
            context.reals(Purpose.EVALUATION_DATA)["x"],
            again.reals(Purpose.EVALUATION_DATA)["x"],
        )
    state = play(engine, engine.initial_state(), 4)
    assert state.generation == 4


@pytest.mark.parametrize("generation", [0, 3, 6])
def test_siblings_made_together_have_the_bits_of_each_made_alone(engine, states, generation):
    state = states[generation]
    together = engine.vary(state, jobs())
    scores = engine.evaluate(state, together)
    for job, child in zip(jobs(), together, strict=True):
        (alone,) = engine.vary(state, [job])
        assert child.failure is None
        ours, theirs = child.networks["generator"], alone.networks["generator"]
        assert torch.equal(ours.weights.params, theirs.weights.params)
        assert torch.equal(ours.moments.second, theirs.moments.second)
        assert engine.evaluate(state, [alone])[job.index] == scores[job.index]


# ------------------------------------------------------------------------------- layers that wait


def ages(engine, role):
    schedule = engine.game.growth(8)
    function = getattr(engine.game.networks, role)
    return {name: first_generation(introduced(name), schedule, 2) for name, _ in function.layout}


def networks_of(state):
    return {
        "generator": state.parents[0].networks["generator"],
        "discriminator": state.critics["discriminator"],
    }


def test_a_layer_keeps_its_initial_bits_until_it_comes_in_and_moves_from_then_on(engine, states):
    for role in ("generator", "discriminator"):
        function = getattr(engine.game.networks, role)
        assert set(ages(engine, role).values()) == {0, 3}
        for generation in (2, 3, 4):
            before, after = (networks_of(states[at])[role] for at in (generation, generation + 1))
            old, new = (function.named(net.weights.params) for net in (before, after))
            moments = function.named(after.moments.second)
            for name, first in ages(engine, role).items():
                if generation < first:
                    assert torch.equal(old[name], new[name]) and not moments[name].any()
            if generation == 3 and role == "discriminator":
                late = [name for name, first in ages(engine, role).items() if first == 3]
                assert all(not torch.equal(old[name], new[name]) for name in late)


@pytest.mark.parametrize("betas", [(0.0, 0.99), (0.5, 0.2)])
def test_a_late_layer_learns_as_with_an_adam_of_its_own(betas):
    stream = torch.Generator().manual_seed(1)
    params = torch.randn(9, generator=stream)
    late, settings = Late(torch.tensor([0.0] * 5 + [4.0] * 4), 4), Settings(0.1, betas, 1e-8)
    parts = [torch.nn.Parameter(params[:5].clone()), torch.nn.Parameter(params[5:].clone())]
    theirs = [torch.optim.Adam([part], 0.1, betas) for part in parts]
    moments = Moments.zeros_like(params)
    for step in range(20):
        gradient = torch.randn(9, generator=stream)
        gradient[5:] *= step >= 4
        own = corrections(betas, step + 1, late)
        params, moments = adam(params, gradient, moments, settings, own)
        for part, optimizer, own in zip(parts, theirs, gradient.split([5, 4]), strict=True):
            part.grad = own.clone()
            if part is parts[0] or step >= 4:
                optimizer.step()
        torch.testing.assert_close(params, torch.cat([part.detach() for part in parts]))


def test_ages_count_the_optimisers_steps():
    engine = engine_of(population={"steps": 3})
    late = engine._late["generator"], engine._late["discriminator"]
    assert [part.before.unique().tolist() for part in late] == [[0, 9], [0, 6]]
    assert [part.most for part in late] == [9, 6]
    assert engine_of(growth=None)._late["generator"] is None
    assert engine_of(growth={"start": 16})._late["generator"] is None


@given(st.floats(0, 0.999), st.integers(1, 60), st.integers(0, 30))
def test_corrections_that_are_left_out_are_1_to_the_bit(beta, step, most):
    """Dividing by a correction of 1 changes nothing, so leaving it out changes no bit."""
    before = torch.tensor([0.0, most])
    found = corrections((beta, beta), step, Late(before, most))
    plain = 1 - beta ** (step - before).clamp_(min=1)
    for own in (found.first, found.second):
        assert torch.equal(torch.ones(2) if own is None else own, plain)


def test_a_fixed_size_is_played_without_a_stage():
    engine = engine_of(growth=None)
    assert engine.context(5).stage is None
    state = play(engine, engine.initial_state(), 1)
    assert engine.evaluate(state, engine.vary(state, jobs(0)))[0].finite


# ----------------------------------------------------------------------------- replay and replicas


@pytest.mark.parametrize("generation", [2, 3, 5])
def test_a_replica_that_joins_at_any_stage_has_the_same_bits(engine, states, generation):
    survivors = [tuple(jobs(at % 4, (at + 1) % 4)) for at in range(generation, 7)]
    other = EngineReplica(engine_of(engine.config.backbone.name))
    other._held = states[generation], {}
    exported = other.export()
    joined = EngineReplica(engine_of(engine.config.backbone.name))
    assert joined.restore(exported, survivors) == checksum(states[7])


# ---------------------------------------------------------------------- the mean of w, and averages


def test_the_mean_of_w_is_tracked_in_training_alone():
    engine = engine_of(backbone={"mean_decay": 0.5})
    state = play(engine, engine.initial_state(), 4)
    mean = state.parents[0].networks["generator"].weights.buffers["mapping.mean"].clone()
    children = engine.vary(state, jobs())
    kept = {
        c.job: c.networks["generator"].weights.buffers["mapping.mean"].clone() for c in children
    }
    engine.evaluate(state, children)
    after, _ = engine.advance(state, [children[1], children[2]])
    assert torch.equal(mean, state.parents[0].networks["generator"].weights.buffers["mapping.mean"])
    for parent, child in zip(after.parents, (children[1], children[2]), strict=True):
        adopted = parent.networks["generator"].weights.buffers["mapping.mean"]
        assert torch.equal(adopted, kept[child.job])
        assert not torch.equal(adopted, mean)


def test_the_averages_mean_of_w_is_that_of_its_own_mapping():
    engine = engine_of(backbone={"mean_decay": 0.8})
    state = play(engine, engine.initial_state(), 12)
    average = state.parents[0].average["generator"]
    z = torch.randn(4000, 6, generator=torch.Generator().manual_seed(0))
    true = map_latents(engine.game.networks.generator, average, z).mean(0)
    spread = map_latents(engine.game.networks.generator, average, z).std()
    assert (average.buffers["mapping.mean"] - true).abs().max() < 0.3 * spread


# --------------------------------------------------------------------------------------- lazy R1


def test_lazy_r1_comes_every_so_often_and_as_much_heavier():
    lazy = DiscriminatorConfig(r1=2.0, r1_every=4)
    assert [lazy.weights(update, 0).get("r1", 0) for update in range(6)] == [8, 0, 0, 0, 8, 0]
    assert DiscriminatorConfig(r1=2.0).weights(3, 0) == {"r1": 2}


def test_lazy_r1_counts_updates_through_the_generations(monkeypatch):
    eager, lazy, none = (
        engine_of(growth=None, discriminator={"r1": r1, "r1_every": every})
        for r1, every in ((12.0, 1), (4.0, 3), (0.0, 1))
    )
    state = play(none, none.initial_state(), 1)  # generation 1 has the updates 2 and 3
    gradient, penalties = gradients.critic_gradient, []

    def watched(*arguments, **constants):
        penalties.append((arguments[-2], constants))
        return gradient(*arguments, **constants)

    monkeypatch.setattr(gradients, "critic_gradient", watched)

    def after(engine):
        penalties.clear()
        play(engine, state, 1)
        real, fake = torch.zeros(4, 1, 16, 16), torch.ones(4, 1, 16, 16)
        weights, context = state.critics["discriminator"].weights, engine.context(1)
        return [
            gradient(
                context,
                weights,
                {"x": real},
                {"x": fake},
                {},
                torch.zeros(4),
                strengths,
                None,
                **constants,
            )[1]
            for strengths, constants in penalties
        ]

    of_eager, of_lazy, of_none = map(after, (eager, lazy, none))
    assert torch.equal(of_lazy[0], of_none[0])
    assert torch.equal(of_lazy[1], of_eager[1])
    assert not torch.equal(of_lazy[1], of_none[1])


# ------------------------------------------------------------------------------------ bad requests


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"population": {"batch": 7, "survivors": 1}}, r"population\.batch: 7 does not divide"),
        ({"growth": GROWTH | {"batch": {8: 8, 16: 5}}}, r"growth\.batch\.16: 5 does not divide"),
        (
            {"growth": GROWTH | {"batch": {8: 8, 16: 2}}},
            r"growth\.batch\.16 is 2, but .* survivors",
        ),
        ({"growth": GROWTH | {"batch": {8: 8, 32: 8}}}, r"names the resolutions 8, 32, .* gap"),
        ({"growth": {"start": 12}}, r"growth\.start: 12 is not a power of two"),
        ({"name": "dcgan"}, r"latent|growth"),
    ],
)
def test_batches_and_schedules_that_cannot_be_are_refused_before_the_data_are_read(
    sections, message
):
    with pytest.raises(ValidationError, match=message):
        game(**sections)


def test_a_schedule_that_ends_elsewhere_than_the_data_is_refused():
    with pytest.raises(ValueError, match=r"growth\.start is 32, above the data's resolution of 16"):
        engine_of(growth={"start": 32})
    with pytest.raises(ValueError, match=r"growth\.batch ends at 8, but the data's resolution"):
        engine_of(growth=GROWTH | {"batch": {8: 8}})
