"""Picked latents: what is moved, walked and mixed, against what it must be by hand."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from egan.data.pixels import to_uint8
from runs.common.errors import ConfigError
from runs.explore.latents import (
    Pick,
    Wish,
    directions,
    images_of,
    latent_of,
    mixed,
    sample_rows,
    seed_of,
    walked,
)
from runs.sampling.latent import style_ranges


def pixels(image):
    """An image (C, H, W) in [-1, 1] as it is looked at."""
    grey = to_uint8(image[None])[0].numpy()
    return np.broadcast_to(grey.transpose(1, 2, 0), (*image.shape[1:], 3))


def test_a_pick_is_a_sample_of_its_seed(linear, matrix):
    rows, told = latent_of(linear, None, Pick(7, 2))
    assert told is None
    torch.testing.assert_close(rows, linear.inputs(3, 7)[2:])
    made = images_of(linear, rows, told)
    np.testing.assert_array_equal(made[0], linear(3, 7)[2].repeat(3, 2))


def test_directions_are_those_of_the_largest_change(linear, matrix):
    found = directions(linear)
    _, _, right = np.linalg.svd(matrix.numpy())
    assert found.shape == (5, 5)
    for own, expected in zip(found[:3], right[:3], strict=True):
        assert abs(float(own @ torch.from_numpy(expected.copy()))) > 0.95
        assert own[own.abs().argmax()] > 0  # no direction's sign is a matter of chance


def test_a_moved_pick_lies_along_the_directions(linear):
    along = directions(linear)
    plain, _ = latent_of(linear, None, Pick(0, 1))
    moved, _ = latent_of(linear, None, Pick(0, 1, (2.0, 0.0, -1.0)), along)
    torch.testing.assert_close(moved, plain + 2 * along[0] - along[2])
    more, _ = latent_of(linear, None, Pick(0, 1, (2.0, 0.0, -1.0, 0.0, 0.0, 9.0)), along)
    torch.testing.assert_close(more, moved)  # the latent has five directions


def test_a_walk_goes_from_one_pick_to_the_other(linear, matrix):
    a, b = latent_of(linear, None, Pick(0, 0)), latent_of(linear, None, Pick(4, 3))
    images = walked(linear, a, b, 5)
    np.testing.assert_array_equal(images[:1], images_of(linear, *a))
    np.testing.assert_array_equal(images[4:], images_of(linear, *b))
    angle = torch.acos(torch.nn.functional.cosine_similarity(a[0], b[0]))
    turned = (a[0] / a[0].norm() + b[0] / b[0].norm()) / (2 * torch.cos(angle / 2))
    middle = turned * (a[0].norm() + b[0].norm()) / 2
    expected = pixels((middle @ matrix.T).view(1, 4, 4))
    assert np.abs(images[2].astype(int) - expected).max() <= 1


def test_a_walk_of_styles_begins_and_ends_in_the_picks_with_one_noise(styled):
    a, b = latent_of(styled, None, Pick(0, 0)), latent_of(styled, None, Pick(0, 1))
    images = walked(styled, a, b, 3)
    same_noise = replace(b[0], seeds=a[0].seeds)
    assert np.abs(images[0].astype(int) - images_of(styled, *a)[0]).max() <= 1
    assert np.abs(images[2].astype(int) - images_of(styled, same_noise, None)[0]).max() <= 1


def test_samples_have_one_style_each(styled):
    rows, _ = sample_rows(styled, None, 3, 4)
    assert rows.z2 is None and styled.inputs(4, 3).z2 is not None
    torch.testing.assert_close(rows.z, styled.inputs(4, 3).z)


def test_mixing_takes_the_chosen_styles_and_no_others(styled):
    a, b = latent_of(styled, None, Pick(0, 0)), latent_of(styled, None, Pick(0, 1))
    names = tuple(style_ranges(16))
    own = images_of(styled, *a)
    assert np.abs(mixed(styled, a, b, ()).astype(int) - own).max() <= 1
    whole = images_of(styled, replace(b[0], seeds=a[0].seeds), None)
    assert np.abs(mixed(styled, a, b, names).astype(int) - whole).max() <= 1
    parts = [mixed(styled, a, b, [name]) for name in names]
    assert all((part != own).any() and (part != whole).any() for part in parts)


def test_no_styles_no_mixing(linear):
    a = latent_of(linear, None, Pick(0, 0))
    with pytest.raises(ConfigError, match="mixing styles needs a generator with styles"):
        mixed(linear, a, a, ["coarse"])


def test_truncation_is_for_styles_alone(styled, linear):
    assert Wish(0.5).of(styled)[0].psi == 0.5
    assert Wish(0.5).of(linear)[0] is linear


@pytest.mark.parametrize(("typed", "seed"), [(7, 7), (3.0, 3), (0, 0)])
def test_seeds(typed, seed):
    assert seed_of(typed) == seed


@pytest.mark.parametrize("typed", [-3, 1.5, None, 2**53, float("nan"), float("inf"), "7"])
def test_other_seeds_are_refused_in_one_line(typed):
    with pytest.raises(ConfigError, match=r"a seed is a whole number from 0 to .* arrived") as told:
        seed_of(typed)
    assert "\n" not in str(told.value)
