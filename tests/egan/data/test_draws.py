"""Draws: a function of (seed, generation, purpose), disjoint within a generation."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from egan.data.config import GaussiansConfig
from egan.data.draws import Draws
from egan.data.opening import open_source
from egan.data.pixels import to_float
from egan.data.source import ImageSource
from egan.streams import Purpose

TRAIN, EVALUATION, DISCRIMINATOR = (
    Purpose.TRAIN_DATA,
    Purpose.EVALUATION_DATA,
    Purpose.DISCRIMINATOR_DATA,
)
PURPOSES = (TRAIN, EVALUATION, DISCRIMINATOR)


def numbered(count: int, *, flip: bool = False) -> ImageSource:
    """Image i holds i, and its label is 2 i; its right half is 100 brighter."""
    images = np.zeros((count, 1, 4, 4), np.uint8)
    images += np.arange(count, dtype=np.uint8)[:, None, None, None]
    images[..., 2:] += 100
    return ImageSource("numbered", images, 2 * np.arange(count, dtype=np.int64), flip=flip)


counts = st.integers(1, 40)


@given(st.integers(1, 100), counts, counts, counts, st.integers(0, 500), st.integers(0, 2**63))
def test_a_draw_is_the_same_whatever_was_drawn_before(images, a, b, c, generation, seed):
    source, wanted = numbered(images), dict(zip(PURPOSES, (a, b, c), strict=True))
    used, fresh = Draws(source, seed, wanted), Draws(source, seed, wanted)
    for earlier in range(3):
        used(earlier, DISCRIMINATOR)
    for purpose in reversed(PURPOSES):
        assert torch.equal(used(generation, purpose), fresh(generation, purpose))


@given(st.integers(1, 150), counts, counts, counts, st.integers(0, 50))
def test_purposes_are_disjoint_and_nothing_repeats_where_the_set_is_large_enough(
    images, a, b, c, generation
):
    draws = Draws(numbered(images), 7, dict(zip(PURPOSES, (a, b, c), strict=True)))
    drawn = [draws.indices(generation, purpose) for purpose in PURPOSES]
    assert [len(part) for part in drawn] == [a, b, c]
    if a + b + c <= images:
        assert len(set(np.concatenate(drawn))) == a + b + c
    for part in drawn:  # no image comes twice before every image came once, and so on
        times = np.bincount(part, minlength=images)
        assert times.max() - times.min() <= 1
    assert len(set(np.concatenate(drawn))) == min(images, a + b + c)


@given(st.integers(10, 100), st.integers(1, 10), st.integers(0, 5))
def test_an_epoch_draws_without_replacement(images, count, epoch):
    draws = Draws(numbered(images), 3, {TRAIN: count})
    generations = images // count
    drawn = [draws.indices(epoch * generations + slot, TRAIN) for slot in range(generations)]
    assert len(set(np.concatenate(drawn))) == count * generations


def test_epochs_drop_different_images():
    draws = Draws(numbered(10), 0, {TRAIN: 7})
    assert set().union(*(draws.indices(epoch, TRAIN) for epoch in range(12))) == set(range(10))
    dropped = {frozenset(range(10)) - frozenset(draws.indices(g, TRAIN)) for g in range(12)}
    assert len(dropped) > 6


def test_seeds_and_generations_give_different_draws():
    source, wanted = numbered(200), {TRAIN: 20}
    first = Draws(source, 0, wanted)
    assert not np.array_equal(first.indices(0, TRAIN), first.indices(1, TRAIN))
    assert not np.array_equal(first.indices(0, TRAIN), Draws(source, 1, wanted).indices(0, TRAIN))


def test_every_image_is_drawn_equally_often():
    draws = Draws(numbered(50), 0, {TRAIN: 8, EVALUATION: 4})
    times = np.bincount(np.concatenate([draws.indices(g, TRAIN) for g in range(4000)]))
    # 32,000 draws: 640 each, standard deviation below sqrt(640) = 25
    assert abs(times - 640).max() < 5 * 25


def test_images_come_in_the_draws_order_with_their_labels():
    source = numbered(60)
    draws = Draws(source, 5, {TRAIN: 16, EVALUATION: 8})
    indices = draws.indices(2, EVALUATION)
    batch, labels = draws(2, EVALUATION), draws.labels(2, EVALUATION)
    assert batch.shape == (8, 1, 4, 4)
    assert batch.dtype == torch.float32
    assert torch.equal(batch, to_float(source.images[indices]))
    assert labels is not None
    assert labels.tolist() == (2 * indices).tolist()
    assert Draws(ImageSource("none", source.images), 5, {TRAIN: 4}).labels(0, TRAIN) is None


def test_flips_mirror_about_half_and_leave_the_source_alone():
    source = numbered(100, flip=True)
    before = source.images.copy()
    draws = Draws(source, 0, {TRAIN: 50, EVALUATION: 50})
    flipped = 0
    for generation in range(20):
        plain = to_float(source.images[draws.indices(generation, TRAIN)])
        batch = draws(generation, TRAIN)
        mirrored = (batch != plain).flatten(1).any(1)
        assert torch.equal(torch.where(mirrored[:, None, None, None], plain.flip(3), plain), batch)
        assert torch.equal(batch, draws(generation, TRAIN))
        flipped += int(mirrored.sum())
    assert 400 < flipped < 600
    assert np.array_equal(source.images, before)


def test_points_keep_their_published_coordinates_and_bring_their_modes():
    source = open_source(GaussiansConfig(modes="grid25"))
    draws = Draws(source, 0, {TRAIN: 5000, EVALUATION: 64})
    points, modes = draws(3, TRAIN), draws.labels(3, TRAIN)
    assert points.shape == (5000, 2)
    assert points.dtype == torch.float32
    assert modes is not None
    assert set(modes.tolist()) == set(range(25))
    noise = points.double() - torch.from_numpy(source.centres)[modes]
    assert abs(noise.std().item() - 0.05) < 0.002
    assert not torch.equal(draws(3, EVALUATION), points[:64])
    assert torch.equal(draws(3, TRAIN), points)
    with pytest.raises(ValueError, match="endless"):
        draws.indices(0, TRAIN)


def test_impossible_draws_are_refused():
    with pytest.raises(ValueError, match="at least one"):
        Draws(numbered(4), 0, {TRAIN: 0})
    with pytest.raises(ValueError, match="at least one"):
        Draws(numbered(4), 0, {})
    draws = Draws(numbered(4), 0, {TRAIN: 1})
    with pytest.raises(ValueError, match=r"EVALUATION_DATA.*TRAIN_DATA"):
        draws(0, EVALUATION)
    with pytest.raises(ValueError, match="negative"):
        draws(-1, TRAIN)
