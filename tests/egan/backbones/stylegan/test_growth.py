"""The growth schedule against the published recurrence and a generation-by-generation walk."""

from math import floor, log2

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import ValidationError

from egan.backbones.progressive import progan
from egan.backbones.progressive.growth import (
    GrowthConfig,
    GrowthSchedule,
    Stage,
    at_stage,
    first_generation,
    images_shown,
    introduced,
    stage,
)
from egan.backbones.stylegan import networks as stylegan


@st.composite
def schedules(draw):
    first = draw(st.sampled_from([4, 8, 16]))
    steps = draw(st.integers(0, 4))
    batches = {first << step: draw(st.integers(2, 50)) for step in range(steps + 1)}
    training, transition = draw(st.integers(0, 400)), draw(st.integers(0, 400))
    return GrowthSchedule(batches, training or int(transition == 0), transition)


def level(found: Stage) -> float:
    return log2(found.resolution) - 1 + found.alpha


def published_level(images: int, schedule: GrowthSchedule) -> float:
    """The published code's level of detail, counted down to 0 at the full resolution."""
    phase = schedule.training + schedule.transition
    index, within = divmod(images, phase)
    lod = log2(schedule.resolutions[-1] / schedule.resolutions[0]) - index
    if schedule.transition:
        lod -= max(within - schedule.training, 0) / schedule.transition
    return max(lod, 0.0)


@given(schedules(), st.integers(0, 5000))
def test_the_stage_is_the_published_schedules(schedule, images):
    lod = published_level(images, schedule)
    found = stage(images, schedule)
    assert level(found) == pytest.approx(log2(schedule.resolutions[-1]) - lod)
    assert found.resolution == schedule.resolutions[-1] >> floor(lod)


@given(schedules(), st.integers(0, 3000), st.integers(0, 3000))
def test_growth_never_goes_back_and_alpha_is_a_fraction(schedule, images, more):
    before, after = stage(images, schedule), stage(images + more, schedule)
    assert level(before) <= level(after)
    assert 0 < before.alpha <= 1
    assert before.resolution in schedule.resolutions


@given(schedules(), st.integers(0, 3000))
def test_growth_is_continuous_where_there_is_a_transition(schedule, images):
    assume(schedule.transition)
    rise = level(stage(images + 1, schedule)) - level(stage(images, schedule))
    assert rise <= 1 / schedule.transition + 1e-9


@given(schedules())
def test_growth_starts_at_the_first_resolution_and_ends_at_the_last(schedule):
    phases = len(schedule.batches) * (schedule.training + schedule.transition)
    assert stage(0, schedule) == Stage(schedule.resolutions[0])
    assert stage(phases, schedule) == Stage(schedule.resolutions[-1])


@given(schedules(), st.integers(0, 300), st.integers(1, 3))
def test_images_shown_has_random_access(schedule, generation, updates):
    walked = 0
    for _ in range(generation):
        walked += updates * schedule.batches[stage(walked, schedule).resolution]
    assert images_shown(generation, schedule, updates) == walked


@given(schedules(), st.integers(1, 3))
def test_the_first_generation_of_a_resolution_is_where_it_is_first_seen(schedule, updates):
    def resolution(generation):
        return stage(images_shown(generation, schedule, updates), schedule).resolution

    for wanted in schedule.resolutions:
        first = first_generation(wanted, schedule, updates)
        assert resolution(first) >= wanted
        assert first == 0 or resolution(first - 1) < wanted


def test_the_published_schedule_fades_to_16_pixels_between_600_and_1200_thousand():
    schedule = GrowthConfig().schedule(1024, batch=16)
    assert stage(600_000, schedule) == Stage(8)
    assert stage(900_000, schedule) == Stage(16, 0.5)
    assert stage(1_200_000, schedule) == Stage(16)
    assert stage(8_400_000, schedule) == Stage(1024)


def test_impossible_requests_to_a_schedule_are_named():
    schedule = GrowthSchedule({8: 4, 16: 2}, 10, 10)
    with pytest.raises(ValueError, match="must not be negative, not -1"):
        stage(-1, schedule)
    with pytest.raises(ValueError, match="not -1 and 1"):
        images_shown(-1, schedule, 1)
    with pytest.raises(ValueError, match="ends at 16 pixels, below 32"):
        first_generation(32, schedule, 1)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"start": 12}, "12 is not a power of two"),
        ({"start": 2}, "2 is not a power of two from 4"),
        ({"batch": {8: 16, 32: 16}}, "names the resolutions 8, 32.*name 8, 16"),
        ({"batch": {16: 16, 32: 16}}, "growth starts at 8"),
        ({"batch": {8: 16, 24: 16}}, "24 is not a power of two"),
        ({"batch": {8: 1}}, "a batch is at least 2, not 1"),
        ({"training_kimg": 0, "transition_kimg": 0}, "must not both be 0"),
        ({"kimg": 3}, "Extra inputs"),
    ],
)
def test_a_growth_that_skips_a_stage_or_makes_no_sense_is_refused(values, message):
    with pytest.raises(ValidationError, match=message):
        GrowthConfig(**values)


@pytest.mark.parametrize(
    ("growth", "message"),
    [
        ({"start": 64}, "growth.start is 64, above the data's resolution of 32"),
        ({"batch": {8: 4, 16: 4}}, "ends at 16, but the data's resolution is 32"),
        ({"batch": {8: 4, 16: 4, 32: 4, 64: 4}}, "ends at 64, but the data's resolution is 32"),
    ],
)
@pytest.mark.parametrize("backbone", [progan.ProGANConfig, stylegan.StyleGANConfig])
def test_a_growth_that_does_not_lead_to_the_data_is_refused_when_built(growth, message, backbone):
    module = progan if backbone is progan.ProGANConfig else stylegan
    config = backbone(latent=4, fmap_max=4, growth=growth)
    with pytest.raises(ValueError, match=message):
        module.build(config, (3, 32, 32))


def test_a_growth_survives_its_own_json():
    growth = GrowthConfig(batch={8: 16, 16: 8})
    assert GrowthConfig.model_validate_json(growth.model_dump_json()) == growth


def test_reals_are_averaged_down_and_blended_with_their_next_lower_resolution(stream):
    images = torch.randn(2, 3, 32, 32, generator=stream)
    assert torch.equal(at_stage(images, Stage(32)), images)
    quarter = images.unflatten(3, (8, 4)).unflatten(2, (8, 4)).mean((3, 5))
    torch.testing.assert_close(at_stage(images, Stage(8)), quarter)
    coarse = images.unflatten(3, (4, 8)).unflatten(2, (4, 8)).mean((3, 5))
    repeated = coarse.repeat_interleave(2, 2).repeat_interleave(2, 3)
    torch.testing.assert_close(at_stage(images, Stage(8, 0.0)), repeated)
    torch.testing.assert_close(at_stage(images, Stage(8, 0.25)), 0.75 * repeated + 0.25 * quarter)


def test_reals_below_the_stage_are_refused():
    with pytest.raises(ValueError, match="16 pixels cannot be averaged down to the stage's 32"):
        at_stage(torch.zeros(1, 3, 16, 16), Stage(32))


def test_a_parameters_resolution_is_read_off_its_name():
    assert introduced("synthesis.blocks.16.first.bias") == 16
    assert introduced("synthesis.to_rgb.8.weight") == 8
    assert introduced("from_rgb.32.bias") == 32
    assert introduced("mapping.layers.7.weight") == 4
