"""The conditional game: what fakes and critics are given, AC-GAN's loss, the ramp, the bits."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits, softplus

from egan.config import GameConfig
from egan.context import Context
from egan.data import ImageSource
from egan.engine import Engine
from egan.games import ConditionalGame, rows
from egan.mutations import resolve
from egan.replica import EngineReplica
from egan.state import weights_of
from egan.streams import Purpose
from populations.individual import Job
from tests.egan.recording import Tracer, played

CPU = torch.device("cpu")
NAMES = ("minimax", "heuristic", "least_squares")
JOBS = [Job(index, (0,), name) for index, name in enumerate(NAMES)]
COUNT = 60
RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.integers(0, 256, (COUNT, 1, 8, 8), np.uint8)
LABELS = np.sort(RANDOM.integers(0, 3, COUNT))
TAGS = RANDOM.integers(0, 2, (COUNT, 4)).astype(np.float32)
SOURCE = ImageSource("noise", IMAGES, LABELS, tags=TAGS, tag_names=tuple("abcd"))


def engine_of(condition="labels", record=None, **sections) -> Engine:
    config = GameConfig.model_validate(
        {
            "seed": 3,
            "data": {"source": "array", "path": "noise.npz", "condition": condition},
            "backbone": {"name": "dcgan", "latent": 4, "width": 4},
            "population": {"batch": 8},
            "fitness": {"batch": 6},
            "optimizer": {"learning_rate": 0.02},
        }
        | sections
    )
    return Engine(config, SOURCE, {name: resolve(name) for name in NAMES}, CPU, record=record)


@pytest.fixture(params=["labels", "tags"], scope="module")
def engine(request) -> Engine:
    return engine_of(request.param)


def own_rows(condition: str) -> torch.Tensor:
    return torch.eye(3)[LABELS] if condition == "labels" else torch.from_numpy(TAGS)


def taught(engine: Engine, generations: int = 3):
    """Return a state whose networks regard the condition."""
    state = engine.initial_state()
    for generation in range(generations):
        state, _ = engine.advance(state, engine.vary(state, JOBS[generation % 3 :][:1]))
    return state


# ------------------------------------------------------------------------------------- conditions


def test_reals_come_with_their_own_conditions(engine):
    kind = engine.config.data.condition
    reals = engine.context(2).reals(Purpose.DISCRIMINATOR_DATA)
    images = ((reals["x"] + 1) * 127.5).round().to(torch.uint8).numpy()
    for image, condition in zip(images, reals["condition"], strict=True):
        (place,) = np.flatnonzero((image == IMAGES).all((1, 2, 3)))
        assert torch.equal(condition, own_rows(kind)[place])


def test_fakes_conditions_are_rows_of_the_data_by_a_stream_of_their_own(engine):
    given = engine.context(1).inputs(8, Purpose.TRAIN_NOISE, (0, 0), {})["condition"]
    assert {*map(tuple, given.tolist())} <= {
        *map(tuple, own_rows(engine.config.data.condition).tolist())
    }
    again = engine.context(1).inputs(8, Purpose.TRAIN_NOISE, (0, 0), {})
    assert torch.equal(given, again["condition"])
    others = [
        engine.context(generation).inputs(8, purpose, index, {})["condition"]
        for generation, purpose, index in (
            (2, Purpose.TRAIN_NOISE, (0, 0)),
            (1, Purpose.TRAIN_NOISE, (1, 0)),
            (1, Purpose.EVALUATION_NOISE, (0, 0)),
            (1, Purpose.DISCRIMINATOR_NOISE, (0, 0)),
        )
    ]
    assert not any(torch.equal(given, other) for other in others)
    stream = torch.Generator().manual_seed(0)  # the noise is what it is without conditions
    plain = engine_of(None).game.inputs(8, stream)["noise"]
    assert torch.equal(plain, engine.game.inputs(8, stream.manual_seed(0))["noise"])


@pytest.mark.parametrize("noise", ["common", "fresh"])
@pytest.mark.parametrize("purpose", [Purpose.TRAIN_NOISE, Purpose.EVALUATION_NOISE])
def test_siblings_have_the_same_conditions_even_where_their_noise_is_their_own(noise, purpose):
    engine = engine_of(population={"batch": 8, "noise": noise})
    inputs = [engine._inputs(engine.context(0), purpose, job, {}, 0) for job in JOBS]
    assert all(torch.equal(inputs[0]["condition"], other["condition"]) for other in inputs)
    same = all(torch.equal(inputs[0]["noise"], other["noise"]) for other in inputs)
    assert same == (noise == "common")


def test_every_survivor_makes_fakes_for_conditions_of_its_own(monkeypatch):
    engine = engine_of(population={"batch": 8, "survivors": 2}, discriminator={"updates": 2})
    seen = []
    inputs = Context.inputs

    def watched(self, count, purpose, index, *rest):
        found = inputs(self, count, purpose, index, *rest)
        if purpose is Purpose.DISCRIMINATOR_NOISE:
            seen.append((index, found["condition"]))
        return found

    monkeypatch.setattr(Context, "inputs", watched)
    state = engine.initial_state()
    children = engine.vary(state, [Job(0, (0,), "minimax"), Job(3, (1,), "minimax")])
    engine.advance(state, children)
    assert [index for index, _ in seen] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert all(condition.shape == (4, 3) for _, condition in seen)
    assert len({tuple(condition.flatten().tolist()) for _, condition in seen}) > 1


# ------------------------------------------------------------------------------ judging with them


def test_quality_and_diversity_are_of_fakes_judged_with_their_conditions(engine):
    state = taught(engine)
    context = engine.context(state.generation)
    (child,) = engine.vary(state, JOBS[:1])
    score = engine.evaluate(state, [child])[0]
    inputs = context.inputs(6, Purpose.EVALUATION_NOISE, (0, 0), {})
    reals = context.reals(Purpose.EVALUATION_DATA)
    generator, critic = engine.game.generators["generator"], engine.game.critics["discriminator"]
    fakes, _ = generator(child.networks["generator"].weights, inputs["noise"], inputs["condition"])

    def objectives(condition):
        weights = state.critics["discriminator"].weights
        own = replace(weights, params=weights.params.clone().requires_grad_())
        real, _ = critic(own, reals["x"], reals["condition"])
        fake, _ = critic(own, fakes, condition)
        loss = softplus(-real).mean() + softplus(fake).mean()
        (gradient,) = torch.autograd.grad(loss, own.params)
        return torch.sigmoid(fake).mean().item(), -gradient.norm().log().item()

    assert score.values == pytest.approx(objectives(inputs["condition"]), rel=1e-4)
    assert score.values != pytest.approx(objectives(inputs["condition"].roll(1, 0)), rel=1e-4)


@pytest.mark.parametrize("condition", ["labels", "tags"])
def test_children_and_critic_descend_the_classification_loss_too(condition):
    """AC-GAN, Odena et al., 1610.09585, equations 2 and 3, beside the adversarial losses."""
    engine = engine_of(condition, game={"ac_weight": 0.5})
    assert isinstance(engine.game, ConditionalGame)
    state = taught(engine)
    context = engine.context(state.generation)
    generator, critic = engine.game.generators["generator"], engine.game.critics["discriminator"]

    def mistaken(said, asked):
        if condition == "labels":
            logs = said[:, 1:].log_softmax(1)
            return -(logs * asked).sum(1).mean()
        return binary_cross_entropy_with_logits(said[:, 1:], asked)

    inputs = context.inputs(8, Purpose.TRAIN_NOISE, (0, 0), {})
    weights = state.parents[0].networks["generator"].weights
    own = replace(weights, params=weights.params.clone().requires_grad_())
    fakes, _ = generator(own, inputs["noise"], inputs["condition"])
    said, _ = critic(state.critics["discriminator"].weights, fakes)
    loss = resolve("heuristic")(said[:, 0]) + 0.5 * mistaken(said, inputs["condition"])
    (gradient,) = torch.autograd.grad(loss, own.params)
    (child,) = engine.vary(state, JOBS[1:2])
    before = state.parents[0].networks["generator"].moments.first
    moment = child.networks["generator"].moments.first  # lerp(before, g, 1 - beta1)
    torch.testing.assert_close(2 * moment - before, gradient, rtol=1e-3, atol=1e-6)

    _, report = engine.advance(state, [child])
    made = context.inputs(8, Purpose.DISCRIMINATOR_NOISE, (0, 0), {})
    fakes, _ = generator(child.networks["generator"].weights, made["noise"], made["condition"])
    real = rows(context.reals(Purpose.DISCRIMINATOR_DATA), slice(0, 8))
    judge = state.critics["discriminator"].weights
    of_real, of_fake = critic(judge, real["x"])[0], critic(judge, fakes)[0]
    expected = softplus(-of_real[:, 0]).mean() + softplus(of_fake[:, 0]).mean()
    expected += 0.5 * (mistaken(of_real, real["condition"]) + mistaken(of_fake, made["condition"]))
    assert report["loss"] == pytest.approx(expected.item(), rel=1e-4)


# -------------------------------------------------------------------------------------- the ramp


@pytest.mark.parametrize("condition", ["labels", "tags"])
def test_conditions_fade_in_from_the_mean_of_the_data(condition):
    engine = engine_of(condition, game={"condition_ramp": 32})  # four generations
    data = own_rows(condition)
    whole = engine_of(condition)
    for generation, share in enumerate((0.0, 0.25, 0.5, 0.75, 1.0, 1.0)):
        ramped, plain = (each.context(generation) for each in (engine, whole))
        for get in (
            lambda context: context.reals(Purpose.DISCRIMINATOR_DATA)["condition"],
            lambda context: context.inputs(8, Purpose.TRAIN_NOISE, (0, 0), {})["condition"],
        ):
            expected = (1 - share) * data.mean(0) + share * get(plain)
            torch.testing.assert_close(get(ramped), expected)
    fresh = engine.initial_state()
    fakes = [
        engine.game.generate(
            weights_of(fresh.parents[0].networks),
            engine.context(0).inputs(8, Purpose.TRAIN_NOISE, (0, 0), {}),
        )[0]["x"]
    ]
    assert fakes[0].isfinite().all()


# -------------------------------------------------------------------------------------- the bits


@pytest.mark.parametrize("condition", ["labels", "tags"])
@pytest.mark.parametrize(
    "game", [{}, {"ac_weight": 1.0}, {"condition_ramp": 20}], ids=["plain", "ac", "ramp"]
)
def test_a_replica_that_joins_or_makes_survivors_again_has_the_same_bits(condition, game):
    population = {"batch": 8, "survivors": 2, "noise": "fresh"}
    jobs = [Job(3 * parent + j.index, (parent,), j.operator) for parent in (0, 1) for j in JOBS]
    one, other = (
        EngineReplica(engine_of(condition, game=game, population=population)) for _ in "ab"
    )
    survivors, history = None, []
    for generation in range(4):
        whole = one.step(generation, survivors, jobs)
        part = other.step(generation, survivors, jobs[generation % 3 :])
        assert whole.checksum == part.checksum
        assert whole.scores | part.scores == whole.scores
        if generation == 2:
            exported = one.export()
        survivors = (jobs[generation % 3], jobs[5 - generation])
        history.append(survivors)
    one.step(4, survivors, ())
    late = EngineReplica(engine_of(condition, game=game, population=population))
    final = one.step(4, None, ()).checksum
    assert late.restore(exported, history[2:]) == final
    assert late.restore(None, history) == final


@pytest.mark.parametrize("game", [{}, {"ac_weight": 1.0}])
def test_recorded_steps_have_the_same_bits(game):
    record = Tracer()
    plain, recorded = (engine_of("labels", each, game=game) for each in (None, record))
    assert played(recorded, 6) == played(plain, 6)
    assert not recorded._recordings._plain and record.replays


# -------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"game": {"ac_weight": 1}}, r"game\.ac_weight is 1\.0, but there are no conditions"),
        ({"game": {"condition_ramp": 9}}, r"game\.condition_ramp is 9, but there are no"),
        (
            {"backbone": {"name": "mlp", "condition": "concat"}},
            r"backbone\.condition is concat, but there are no conditions: set data\.condition",
        ),
    ],
)
def test_what_needs_conditions_is_refused_without(sections, message):
    with pytest.raises(ValueError, match=message):
        engine_of(None, **sections)


def test_a_game_without_conditions_is_the_game_of_noise():
    game = engine_of(None).game
    assert not isinstance(game, ConditionalGame)
