"""Counts above thresholds: by hand, and against loops over pixels."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from fitness.dissection import tally as module
from fitness.dissection.tally import FRACTIONS, Tally, Values, upsampled


@pytest.fixture
def images():
    stream = torch.Generator().manual_seed(1)
    maps = torch.randn(5, 3, 4, 4, generator=stream)
    masks = torch.rand(5, 2, 8, 8, generator=stream) > 0.6
    thresholds = torch.tensor([[-1.0, 0.0, 0.5]]).expand(3, 3).contiguous()
    return maps, masks, thresholds


def test_thresholds_are_exceeded_by_the_fractions_by_hand():
    values = Values(1, 10)
    values.add(torch.arange(10.0).view(1, 1, 2, 5), torch.arange(10), 2, 5)
    assert values.thresholds(np.array([0.5, 0.2, 0.1])).tolist() == [[4.0, 7.0, 8.0]]
    assert (values.kept[0] > 7).sum() == 2


def test_the_thresholds_that_are_tried_rise_and_cover_a_thousandth_to_all():
    values = Values(2, 20_000)
    stream = torch.Generator().manual_seed(0)
    values.add(torch.randn(2, 2, 100, 100, generator=stream), torch.arange(20_000), 100, 100)
    found = values.thresholds(FRACTIONS)
    assert found.shape == (2, 100) and (found.diff(dim=1) >= 0).all()
    above = (values.kept[:, :, None] > found[:, None]).double().mean(1)
    assert torch.allclose(above, torch.from_numpy(FRACTIONS).expand(2, -1), atol=1e-4)


def test_counts_are_those_of_loops_over_pixels(images):
    maps, masks, thresholds = images
    found = Tally.empty(3, 3, 2)
    found.add(maps, masks, thresholds)
    large = F.interpolate(maps, (8, 8), mode="bilinear", align_corners=False)
    for unit in range(3):
        for level in range(3):
            active = large[:, unit] > thresholds[unit, level]
            assert found.above[unit, level] == active.sum()
            for place in range(2):
                assert found.both[unit, level, place] == (active & masks[:, place]).sum()
        for place in range(2):
            mean = large[:, unit][masks[:, place]].double().mean()
            assert found.means[unit, place] == pytest.approx(float(mean), abs=1e-6)
    assert found.pixels == 5 * 64 and torch.equal(found.areas, masks.sum((0, 2, 3)))


def test_images_a_few_at_a_time_and_few_units_at_a_time_count_the_same(images, monkeypatch):
    maps, masks, thresholds = images
    whole, parts = Tally.empty(3, 3, 2), Tally.empty(3, 3, 2)
    whole.add(maps, masks, thresholds)
    monkeypatch.setattr(module, "AT_ONCE", 1)
    for part in (slice(0, 2), slice(2, 5)):
        parts.add(maps[part], masks[part], thresholds)
    assert torch.equal(whole.above, parts.above) and torch.equal(whole.both, parts.both)
    assert torch.allclose(whole.sums, parts.sums)
    assert [units for units, _ in upsampled(maps, 8, 8)] == [slice(n, n + 1) for n in range(3)]


def test_a_tally_comes_back_from_its_arrays(images):
    found = Tally.empty(3, 3, 2)
    found.add(*images)
    again = Tally.restored(found.arrays())
    assert torch.equal(again.both, found.both) and torch.equal(again.sums, found.sums)
    assert again.pixels == found.pixels
