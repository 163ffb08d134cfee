"""Schedules: their values, and an engine that follows them as if it were told each number."""

from math import cos, pi

import pytest
from pydantic import ValidationError

from egan.config import with_settings
from egan.discriminator import DiscriminatorConfig
from egan.optimizer import OptimizerConfig, Settings
from egan.ramp import Decay, Ramp
from egan.state import EvolutionState, checksum
from populations.individual import Job


@pytest.mark.parametrize(
    ("shape", "quarter", "half"),
    [("linear", 8.5, 7.0), ("cosine", 10 - 6 * (1 - cos(pi / 4)) / 2, 7.0)],
)
def test_a_ramp_waits_moves_and_stays(shape, quarter, half):
    ramp = Ramp.model_validate({"from": 10, "to": 4, "after": 1, "over": 2, "shape": shape})
    values = [ramp.at(images) for images in (0, 1000, 1500, 2000, 3000, 10**9)]
    assert values == pytest.approx([10, 10, quarter, half, 4, 4])
    assert ramp.at(3000) == 4.0 and ramp.at(0) == 10.0  # to the bit


def test_a_decay_falls_from_the_rate_to_nothing_unless_told_otherwise():
    assert [Decay(over=2).at(images) for images in (0, 500, 2000)] == [1, 0.75, 0]
    assert Decay(over=2, to=0.1).at(5000) == 0.1


def test_the_discriminator_may_have_settings_of_its_own_and_decays_with_the_generators():
    decay = {"over": 1, "to": 0.5}
    alike = OptimizerConfig(learning_rate=4.0, decay=decay)
    assert alike.at(0) == alike.at(0, critic=True) == Settings(4.0, (0.5, 0.99), 1e-8)
    own = OptimizerConfig(
        learning_rate=4.0,
        discriminator_learning_rate=2.0,
        discriminator_betas=(0, {"from": 0.9, "to": 0.99, "over": 1}),
        decay=decay,
    )
    assert own.at(1000) == Settings(2.0, (0.5, 0.99), 1e-8)
    assert own.at(1000, critic=True) == Settings(1.0, (0.0, 0.99), 1e-8)
    assert own.at(0, critic=True) == Settings(2.0, (0.0, 0.9), 1e-8)


def test_a_weight_that_reaches_0_is_left_out():
    config = DiscriminatorConfig(r1={"from": 2, "to": 0, "over": 1}, r2=0.5, r1_every=2)
    assert config.weights(0, 250) == {"r1": 2 * 1.5, "r2": 0.5}
    assert config.weights(1, 250) == {"r2": 0.5} == config.weights(0, 1000)


def test_r1_by_rule_follows_the_images_and_the_batch():
    config = DiscriminatorConfig(r1="auto")
    assert config.weights(0, 0, (3, 32, 32), 16)["r1"] == pytest.approx(0.0128)
    assert config.weights(0, 0, (1, 8, 16), 4)["r1"] == pytest.approx(0.0064)
    with pytest.raises(ValueError, match=r"discriminator\.r1: auto .* points; give a number"):
        config.weights(0, 0, (2,), 16)


def test_r1_by_rule_is_that_number_and_grows_with_the_images(engine_of):
    engine, told = (engine_of("dcgan", discriminator={"r1": r1}) for r1 in ("auto", 0.0064))
    state = engine.initial_state()  # 16 x 16 pixels, batch 8
    assert checksum(play(engine, state)) == checksum(play(told, state))


@pytest.mark.parametrize(
    "values",
    [
        {"decay": {}},
        {"decay": {"over": 0}},
        {"decay": {"over": 1, "from": -1}},
        {"decay": {"over": 1, "shape": "square"}},
        {"betas": (0, {"from": 0.9, "to": 1, "over": 1})},
        {"betas": ({"from": 0, "to": 0.5, "over": 1}, 0.9)},
    ],
)
def test_impossible_schedules_are_refused(values):
    with pytest.raises(ValidationError):
        OptimizerConfig(**values)


SCHEDULED = {
    "optimizer": {
        "learning_rate": 1e-3,
        "discriminator_learning_rate": 3e-3,
        "betas": (0.0, {"from": 0.9, "to": 0.99, "over": 0.032}),
        "decay": {"after": 0.008, "over": 0.032, "to": 0.25},
    },
    "discriminator": {"updates": 2, "r1": {"from": 1, "to": 0, "over": 0.064, "shape": "cosine"}},
}


def numbers(images: int) -> dict:
    """What SCHEDULED means after some images, by other formulas."""
    factor = 1 - 0.75 * min(max(images - 8, 0), 32) / 32
    return {
        "optimizer": {
            "learning_rate": 1e-3 * factor,
            "discriminator_learning_rate": 3e-3 * factor,
            "betas": (0.0, 0.9 * (1 - min(images, 32) / 32) + 0.99 * min(images, 32) / 32),
        },
        "discriminator": {"updates": 2, "r1": cos(pi * min(images, 64) / 128) ** 2},
    }


@pytest.fixture(scope="module")
def scheduled(engine_of):
    return engine_of("mlp", **SCHEDULED)


def play(engine, state: EvolutionState) -> EvolutionState:
    job = Job(0, (0,), "heuristic")
    return engine.advance(state, engine.vary(state, [job]))[0]


def test_a_schedule_plays_as_its_numbers_given_one_by_one(engine_of, scheduled):
    state = told = scheduled.initial_state()
    for generation in range(6):  # 16 images each
        state = play(scheduled, state)
        told = play(engine_of("mlp", **numbers(16 * generation)), told)
        for (name, one), (_, other) in zip(state.tensors(), told.tensors(), strict=True):
            assert one.tolist() == pytest.approx(other.tolist(), rel=1e-5, abs=1e-7), name


def test_a_setting_of_the_state_takes_a_schedules_place(scheduled):
    config = with_settings(scheduled.config, {"discriminator.r1": 0.5})
    assert config.discriminator.weights(0, 10**6) == {"r1": 0.5}
    config = with_settings(scheduled.config, {"optimizer.learning_rate": 1.0})
    assert config.optimizer.at(10**6).learning_rate == 0.25  # the decay is a factor


def test_recordings_serve_all_values_of_a_schedule(engine_of):
    """One recording for all weights: a new one each generation would never be used."""
    from tests.egan.recording import Tracer

    tracer = Tracer()
    engine = engine_of("mlp", record=tracer, **SCHEDULED)
    plain = engine_of("mlp", **SCHEDULED)
    state = told = plain.initial_state()
    for _ in range(6):
        state, told = play(engine, state), play(plain, told)
    assert checksum(state) == checksum(told)
    assert not engine._recordings._plain
    names = [key[0][0] for key in engine._recordings._known]
    assert names.count("critic_gradient") == 2  # with R1, and without
