"""Path lengths of generators whose lengths are known."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fitness.features.pixels import PixelSpace
from fitness.metrics.lpips import distance_in
from fitness.metrics.ppl import EPSILON, arc, line, path_lengths, perceptual_path_length

SHAPE, LATENT = (3, 4, 4), 6
PIXELS = distance_in(PixelSpace(SHAPE))


@pytest.fixture
def stream():
    return torch.Generator().manual_seed(5)


@pytest.fixture
def matrix(stream):
    """A linear generator A (48, 6): latents to images, in units of 0..1."""
    return torch.randn(math.prod(SHAPE), LATENT, generator=stream, dtype=torch.float64)


def linear(matrix):
    return lambda points: 255 * (points @ matrix.T).view(-1, *SHAPE)


def pairs(stream, count=40):
    return torch.randn(2, count, LATENT, generator=stream, dtype=torch.float64)


@pytest.mark.parametrize("epsilon", [EPSILON, 1e-3, 0.1])
@pytest.mark.parametrize("end", [False, True])
def test_a_linear_generators_length_in_w_is_that_of_a_times_the_difference(
    matrix, stream, epsilon, end
):
    """|A (b - a)|^2, summed over channels and averaged over the 16 positions, for any epsilon."""
    a, b = pairs(stream)
    t = torch.zeros(40) if end else torch.rand(40, generator=stream)
    found = path_lengths(a, b, t, "line", linear(matrix), PIXELS, epsilon)
    expected = ((b - a) @ matrix.T).square().sum(1) / 16
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=0)


def test_a_linear_generators_length_in_z_is_that_of_the_arcs_derivative(matrix, stream):
    a, b = pairs(stream)
    b = b / b.norm(dim=1, keepdim=True) * a.norm(dim=1, keepdim=True)  # of one length
    t = torch.rand(40, generator=stream, dtype=torch.float64)
    found = path_lengths(a, b, t, "arc", linear(matrix), PIXELS)
    angle = torch.nn.functional.cosine_similarity(a, b).acos()[:, None]
    at = t[:, None] * angle
    # Shoemake's slerp, differentiated by t.
    speed = angle * (at.cos() * b - (angle - at).cos() * a) / angle.sin()
    expected = (speed @ matrix.T).square().sum(1) / 16
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=0)


def test_a_float32_generator_is_exact_enough(matrix, stream):
    """What the step of 1e-4 loses to rounding is small against the length."""
    a, b = (x.float() for x in pairs(stream))
    t = torch.rand(40, generator=stream)
    wide = linear(matrix)
    found = path_lengths(a, b, t, "arc", lambda z: wide(z.float().double()).float(), PIXELS)
    exact = path_lengths(a, b, t, "arc", wide, PIXELS)
    torch.testing.assert_close(found, exact, rtol=2e-2, atol=0)
    assert perceptual_path_length(found) == pytest.approx(perceptual_path_length(exact), rel=2e-3)


def test_a_constant_generator_has_no_length(stream):
    a, b = pairs(stream)
    image = torch.rand(1, *SHAPE, generator=stream).expand(40, -1, -1, -1)
    lengths = path_lengths(a, b, torch.rand(40, generator=stream), "arc", lambda z: image, PIXELS)
    assert perceptual_path_length(lengths) == 0


def test_a_bent_generator_is_longer_than_a_straight_one(matrix, stream):
    """The end points are the same; the way in between is not."""
    a, b = torch.randn(2, 400, LATENT, generator=stream, dtype=torch.float64)
    t = torch.rand(400, generator=stream, dtype=torch.float64)
    straight = linear(matrix)

    def bent(points):  # turned by up to a radian on the way, and back at its ends
        along = ((points - a) * (b - a)).sum(1) / (b - a).square().sum(1)
        return straight(points) + 255 * torch.sin(2 * math.pi * along)[:, None, None, None]

    lengths = [path_lengths(a, b, t, "line", make, PIXELS).mean() for make in (straight, bent)]
    assert lengths[1] > lengths[0] + 30


@given(st.integers(0, 2**31), st.integers(2, 9), st.floats(0, 1))
def test_an_arc_turns_at_constant_speed_and_its_length_goes_linearly(seed, size, t):
    a, b = torch.randn(2, 1, size, generator=torch.Generator().manual_seed(seed)).double()
    if min(a.norm(), b.norm()) < 1e-2:
        return
    (point,) = arc(a, b, torch.tensor([t]))
    a, b = a[0], b[0]
    angle = torch.nn.functional.cosine_similarity(a, b, dim=0).clamp(-1, 1).acos()
    if min(angle, math.pi - angle) < 1e-2:
        return
    turned = torch.nn.functional.cosine_similarity(a, point, dim=0).clamp(-1, 1).acos()
    assert turned.item() == pytest.approx(t * angle.item(), abs=1e-6)
    assert point.norm().item() == pytest.approx((1 - t) * a.norm().item() + t * b.norm().item())


def test_ways_begin_and_end_with_the_latents(stream):
    a, b = pairs(stream)
    for way in (arc, line):
        torch.testing.assert_close(way(a, b, torch.zeros(40)), a)
        torch.testing.assert_close(way(a, b, torch.ones(40)), b)


def test_an_arc_between_parallel_latents_is_straight():
    a = torch.tensor([[1.0, 2.0]])
    torch.testing.assert_close(arc(a, 3 * a, torch.tensor([0.5])), 2 * a.double())


def test_outliers_are_left_out_as_published():
    """Independently: sort, take the percentiles' neighbours outside, average what lies between."""
    lengths = np.random.default_rng(0).exponential(size=333)
    lengths[:2] = 1e9
    ordered = np.sort(lengths)
    low, high = ordered[math.floor(332 * 0.01)], ordered[math.ceil(332 * 0.99)]
    expected = lengths[(lengths >= low) & (lengths <= high)].mean()
    assert perceptual_path_length(torch.from_numpy(lengths)) == pytest.approx(expected)
    assert perceptual_path_length(torch.tensor([3.0])) == 3


def test_lengths_that_are_not_finite_are_refused(stream):
    a, b = pairs(stream, 4)
    with pytest.raises(ValueError, match="2 of 4 path lengths are NaN or infinite"):
        path_lengths(
            a,
            b,
            torch.zeros(4),
            "line",
            lambda w: (
                torch.ones(4, *SHAPE)
                * torch.tensor([1, 1, torch.nan, torch.inf])[:, None, None, None]
            ),
            PIXELS,
        )
    with pytest.raises(ValueError, match="at least 1 pair"):
        perceptual_path_length(torch.empty(0))
