"""Augmentation: each change against a slow, obvious reference; who sees it; its strength as state.

The references work pixel by pixel in plain Python, from the same drawn numbers.
"""

from dataclasses import replace
from math import floor

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from torch.autograd import gradcheck, gradgradcheck
from torch.nn.functional import softplus

from egan.augment import NORMALS, UNIFORMS, adapted, augmented, certainty, draw
from egan.config import STRENGTH, GameConfig
from egan.gradients import critic_gradient
from egan.replica import EngineReplica, export_state
from egan.state import checksum, weights_of
from egan.streams import Purpose

ADA = {"augment": "ada", "augment_strength": 0.5, "augment_kimg": 0.1}


def images(count=6, channels=3, side=8, seed=0):
    stream = torch.Generator().manual_seed(seed)
    return torch.rand(count, channels, side, side, generator=stream, dtype=torch.float64) * 2 - 1


def drawn(count=6, strength=1.0, seed=1):
    return {
        name: tensor.double()
        for name, tensor in draw(count, strength, torch.Generator().manual_seed(seed)).items()
    }


# ---------------------------------------------------------------------------------- the references


def slow_colour(image, brightness, saturation, contrast, order):
    """Return an image (C, H, W), in lists, after three changes of colour in an order."""
    channels, height, width = (len(image), len(image[0]), len(image[0][0]))
    every = [(c, y, x) for c in range(channels) for y in range(height) for x in range(width)]
    for change in order:
        flat = [image[c][y][x] for c, y, x in every]
        mean = sum(flat) / len(flat)
        new = [[[0.0] * width for _ in range(height)] for _ in range(channels)]
        for c, y, x in every:
            value = image[c][y][x]
            grey = sum(image[k][y][x] for k in range(channels)) / channels
            new[c][y][x] = {
                "brightness": value + brightness,
                "saturation": grey + (value - grey) * saturation,
                "contrast": mean + (value - mean) * contrast,
            }[change]
        image = new
    return image


def slow_read(image, c, y, x):
    """Return a channel's value between pixels by bilinear interpolation, 0 outside."""
    total = 0.0
    for j in (floor(y), floor(y) + 1):
        for i in (floor(x), floor(x) + 1):
            weight = (1 - abs(y - j)) * (1 - abs(x - i))
            if 0 <= j < len(image[0]) and 0 <= i < len(image[0][0]):
                total += weight * image[c][j][i]
    return total


def slow_diffaug(image, u, p):
    side = len(image[0])
    if u[0] < p:
        order = ("brightness", "saturation", "contrast")
        image = slow_colour(image, u[3] - 0.5, 2 * u[4], u[5] + 0.5, order)
    most = round(side / 8)
    by_y, by_x = (floor(each * (2 * most + 1)) - most if u[1] < p else 0 for each in u[6:8])
    size = side // 2
    top, left = (floor(each * (side + 1 - size % 2)) - size // 2 for each in u[8:10])
    out = []
    for channel in image:
        rows = []
        for y in range(side):
            row = []
            for x in range(side):
                inside = 0 <= y - by_y < side and 0 <= x - by_x < side
                value = channel[y - by_y][x - by_x] if inside else 0.0
                hole = u[2] < p and top <= y < top + size and left <= x < left + size
                row.append(0.0 if hole else value)
            rows.append(row)
        out.append(rows)
    return out


def slow_ada(image, u, n, p):
    """Mirror, turn, then read each pixel where the enlargement and the shift say, then colours."""
    side, centre = len(image[0]), (len(image[0]) - 1) / 2
    turned = torch.tensor(image)
    if u[1] < p:
        turned = torch.rot90(turned, int(4 * u[10]), (1, 2))
    if u[0] < p and u[9] < 0.5:
        turned = turned.flip(2)
    image = turned.tolist()
    zoom = 2 ** (0.2 * n[0]) if u[3] < p else 1.0
    wide = 2 ** (0.2 * n[1]) if u[4] < p else 1.0
    most = round(side / 8)
    shifts = []
    for coarse, fine in ((u[11], n[2]), (u[12], n[3])):
        shift = floor(coarse * (2 * most + 1)) - most if u[2] < p else 0
        shifts.append(shift + (side / 8 * fine if u[5] < p else 0))
    moved = [
        [
            [
                slow_read(
                    image,
                    c,
                    (y - centre - shifts[0]) / (zoom / wide) + centre,
                    (x - centre - shifts[1]) / (zoom * wide) + centre,
                )
                for x in range(side)
            ]
            for y in range(side)
        ]
        for c in range(len(image))
    ]
    brightness = 0.2 * n[4] if u[6] < p else 0.0
    contrast = 2 ** (0.5 * n[5]) if u[7] < p else 1.0
    saturation = 2 ** n[6] if u[8] < p else 1.0
    order = ("brightness", "contrast", "saturation")
    return slow_colour(moved, brightness, saturation, contrast, order)


@pytest.mark.parametrize("strength", [1.0, 0.5])
@pytest.mark.parametrize("channels", [1, 3])
def test_diffaug_is_the_published_policy(strength, channels):
    x, draws = images(channels=channels), drawn(strength=strength)
    slow = [
        slow_diffaug(image, u, strength)
        for image, u in zip(x.tolist(), draws["uniform"].tolist(), strict=True)
    ]
    assert torch.allclose(augmented("diffaug", x, draws), torch.tensor(slow).double(), atol=1e-9)


@pytest.mark.parametrize("strength", [1.0, 0.5])
@pytest.mark.parametrize("channels", [1, 3])
def test_ada_is_each_change_in_turn(strength, channels):
    x, draws = images(channels=channels), drawn(strength=strength)
    slow = [
        slow_ada(image, u, n, strength)
        for image, u, n in zip(
            x.tolist(), draws["uniform"].tolist(), draws["normal"].tolist(), strict=True
        )
    ]
    # A turned and mirrored image is read with the same numbers: the reference does so in turn.
    assert torch.allclose(augmented("ada", x, draws), torch.tensor(slow).double(), atol=1e-6)


@pytest.mark.parametrize("kind", ["diffaug", "ada"])
def test_without_strength_nothing_changes(kind):
    x = images()
    assert torch.allclose(augmented(kind, x, drawn(strength=0.0)), x, atol=1e-12)


@settings(max_examples=10)
@given(
    seed=st.integers(0, 10**6),
    side=st.sampled_from([8, 12]),
    strength=st.floats(0, 1),
    kind=st.sampled_from(["diffaug", "ada"]),
)
def test_changes_are_finite_and_within_their_ranges(seed, side, strength, kind):
    x, draws = images(4, 3, side, seed), drawn(4, strength, seed)
    out = augmented(kind, x, draws)
    assert out.shape == x.shape and out.isfinite().all()
    if kind == "diffaug":
        assert out.abs().max() <= (1 + 0.5) * 3 * 2  # brighter, then twice from a mean


@given(
    strength=st.floats(0, 1),
    sure=st.floats(-1, 1),
    images=st.integers(1, 10**7),
    kimg=st.floats(0.01, 1e4),
)
def test_the_strength_stays_in_range_and_moves_towards_the_target(strength, sure, images, kimg):
    after = adapted(strength, sure, 0.6, images, kimg)
    assert 0 <= after <= 1
    assert (after >= strength) if sure >= 0.6 else (after <= strength)
    assert abs(after - strength) <= images / (1000 * kimg) + 1e-12


def test_how_sure_a_critic_is_of_reals():
    real, fake = torch.tensor([1.0, 2.0, -1.0, 3.0]), torch.tensor([2.0, 1.0, -2.0, 4.0])
    assert certainty(real, fake, anchored=True) == 0.5
    assert certainty(real, fake, anchored=False) == 0.0  # two reals are above their fakes


@pytest.mark.parametrize("kind", ["diffaug", "ada"])
def test_gradients_flow_through_and_can_be_differentiated_again(kind):
    x, draws = images(1, 3, 4).requires_grad_(), drawn(1, seed=3)
    with torch.random.fork_rng():  # the checks draw directions from the global generator
        assert gradcheck(lambda y: augmented(kind, y, draws), x, fast_mode=True)
        assert gradgradcheck(lambda y: augmented(kind, y, draws).square(), x, fast_mode=True)


# ----------------------------------------------------------------------------------- in the engine


@pytest.mark.parametrize("kind", ["diffaug", "ada"])
def test_a_generator_descends_the_loss_of_its_augmented_fakes(engine_of, jobs_of, after, kind):
    engine = engine_of("dcgan-plain-d", discriminator={"augment": kind, "augment_strength": 0.9})
    state = after(engine, 1)
    context = engine.context(state.generation)
    draws = draw(8, 0.9, context.stream(Purpose.AUGMENT, 0, 0))
    inputs = context.inputs(8, Purpose.TRAIN_NOISE, (0, 0), {})
    weights = weights_of(state.parents[0].networks)
    leaf = replace(
        weights["generator"], params=weights["generator"].params.clone().requires_grad_()
    )
    fakes, _ = context.generate({"generator": leaf}, inputs)
    critic = weights_of(state.critics)["discriminator"]
    seen = {"x": augmented(kind, fakes["x"], draws)}
    logits = context.judge("discriminator", critic, seen, inputs)[0]["logits"]
    loss = -torch.nn.functional.logsigmoid(logits).mean() / 2  # the mutation `heuristic`
    (gradient,) = torch.autograd.grad(loss, leaf.params)
    job = next(job for job in jobs_of(engine) if job.operator == "heuristic")
    (child,) = engine.vary(state, [job])
    before = state.parents[0].networks["generator"].moments.first
    moment = child.networks["generator"].moments.first
    assert torch.allclose(moment, torch.lerp(before, gradient, 0.5), atol=1e-7)


def test_siblings_made_alone_have_the_bits_of_those_made_together(engine_of, jobs_of, after, bits):
    for noise in ("common", "fresh"):
        engine = engine_of("dcgan", discriminator=ADA, population={"noise": noise, "steps": 2})
        state, jobs = after(engine, 2), jobs_of(engine)
        together = [bits(child) for child in engine.vary(state, jobs)]
        alone = [bits(engine.vary(state, [job])[0]) for job in jobs]
        for one, other in zip(together, alone, strict=True):
            assert all(torch.equal(one[name], other[name]) for name in one)


def test_evaluation_never_sees_it(engine_of, jobs_of, after):
    plain, augmenting = (
        engine_of("dcgan", discriminator=each) for each in ({}, {"augment": "diffaug"})
    )
    state = after(plain, 1)
    children = plain.vary(state, jobs_of(plain))
    assert plain.evaluate(state, children) == augmenting.evaluate(state, children)
    params = [
        engine.vary(state, jobs_of(engine))[0].networks["generator"].weights.params
        for engine in (plain, augmenting)
    ]
    assert not torch.equal(*params)  # but training does


@pytest.mark.parametrize("kind", ["diffaug", "ada"])
def test_a_critics_loss_and_penalties_are_those_of_augmented_images(engine_of, after, kind):
    engine = engine_of("dcgan-plain-d")
    state = after(engine, 1)
    context, critic = engine.context(1), weights_of(state.critics)["discriminator"]
    draws = draw(8, 0.9, torch.Generator().manual_seed(5))
    x, fake = images(8, 1, 16).float(), images(8, 1, 16, seed=3).float()

    def slow(image):
        seen = {"x": augmented(kind, image, draws)}
        return context.judge("discriminator", critic, seen, {})[0]["logits"]

    leaf = x.clone().requires_grad_()
    (slope,) = torch.autograd.grad(slow(leaf).sum(), leaf)
    real, false = slow(x), slow(fake)
    wanted = softplus(-real).mean() + softplus(false).mean()
    wanted = wanted + 10 / 2 * slope.flatten(1).square().sum(1).mean()
    loss, gradient, _, sure = critic_gradient(
        context, critic, {"x": x}, {"x": fake}, {}, None, [torch.tensor(10.0)], draws,
        role="discriminator", loss="bce", due=("r1",), augment=kind,
    )  # fmt: skip
    assert torch.allclose(loss, wanted, rtol=1e-5) and gradient.isfinite().all()
    assert sure == torch.sign(real).mean()


def test_strength_is_state_where_it_adapts_and_only_there(engine_of, after):
    for augment in ("none", "diffaug"):
        assert after(engine_of("dcgan", discriminator={"augment": augment}), 2).settings == {}
    state = after(engine_of("dcgan", discriminator=ADA), 2)
    assert set(state.settings) == {STRENGTH}
    # 8 images of the 100 that take it from 0 to 1, two generations up or down
    assert min(abs(state.settings[STRENGTH] - each) for each in (0.34, 0.5, 0.66)) < 1e-9
    assert checksum(state) != checksum(replace(state, settings={STRENGTH: 0.1}))


def test_an_adapted_strength_is_used_and_goes_on_after_a_restore(engine_of, jobs_of, after):
    engine = engine_of("dcgan", discriminator=ADA)
    whole = after(engine, 4)
    half = export_state(after(engine_of("dcgan", discriminator=ADA), 2))
    replica = EngineReplica(engine)
    replica.restore(half, [])
    names = engine.config.population.mutations
    for generation in (2, 3):
        job = jobs_of(engine)[generation % len(names)]
        replica._advance((job,))
    assert checksum(replica.state) == checksum(whole)
    other = replace(whole, settings={STRENGTH: 0.0})
    one, two = (
        engine.vary(state, jobs_of(engine))[0].networks["generator"].weights.params
        for state in (whole, other)
    )
    assert not torch.equal(one, two)


@pytest.mark.parametrize("data", [{"source": "gaussians"}, {"source": "glyphs"}])
def test_what_is_no_image_from_noise_is_refused(data):
    backbone = {"name": "mlp" if data["source"] == "gaussians" else "unet"}
    with pytest.raises(ValidationError, match=r"discriminator\.augment is ada"):
        GameConfig(data=data, backbone=backbone, discriminator={"augment": "ada"})


def test_as_many_numbers_are_drawn_as_are_used():
    draws = drawn(2)
    assert draws["uniform"].shape == (2, UNIFORMS) and draws["normal"].shape == (2, NORMALS)
