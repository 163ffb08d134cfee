"""Interventions by hand, and shares that climb a known effect."""

import pytest
import torch

from fitness.dissection.intervention import intervened, on_grid, optimised_shares, presence_in


def changed(scale, constant=0.0, share=1.0, place=1.0):
    maps = torch.arange(12.0).view(1, 3, 2, 2)
    given = (torch.tensor([1]), torch.tensor([share]), scale, torch.tensor([constant]))
    return maps, intervened(maps, *given, torch.full((1, 2, 2), place))


@pytest.mark.parametrize(
    ("options", "unit"),
    [
        ({"scale": 0.0}, [0.0, 0, 0, 0]),
        ({"scale": 0.5}, [2.0, 2.5, 3, 3.5]),
        ({"scale": 2.0}, [8.0, 10, 12, 14]),
        ({"scale": 0.0, "constant": 9.0}, [9.0, 9, 9, 9]),
        ({"scale": 0.0, "constant": 8.0, "share": 0.5}, [6.0, 6.5, 7, 7.5]),
        ({"scale": 0.0, "place": 0.5}, [2.0, 2.5, 3, 3.5]),
    ],
)
def test_a_unit_is_changed_and_no_other(options, unit):
    maps, found = changed(**options)
    assert found[0, 1].flatten().tolist() == unit
    assert torch.equal(found[:, [0, 2]], maps[:, [0, 2]])
    assert maps.flatten().tolist() == list(range(12))


def test_a_region_has_a_share_of_each_cell():
    region = torch.zeros(1, 4, 4)
    region[:, :2, :3] = 1
    assert on_grid(region, 2, 2).tolist() == [[[1.0, 0.5], [0.0, 0.0]]]


def test_presence_is_the_mean_over_the_region_and_none_over_no_region():
    sure = torch.tensor([[[0.2, 0.4], [0.6, 0.8]]])
    region = torch.tensor([[[True, False], [False, True]]])
    assert float(presence_in(sure, region)) == pytest.approx(0.5)
    assert float(presence_in(sure, ~region & region)) == 0


def test_shares_rise_where_they_have_an_effect_and_fall_elsewhere():
    weight = torch.tensor([0.5, 0.0, -0.5])
    steps = []

    def effect(step, shares):
        steps.append(step)
        return weight @ shares

    found = optimised_shares(effect, torch.full((3,), 0.5), 80)
    assert found[0] == 1 and found[2] == 0 and found[1] < 0.5
    assert steps == list(range(80))


def test_a_large_penalty_leaves_no_share():
    found = optimised_shares(lambda _, a: a.sum() * 0.01, torch.full((2,), 0.3), 100, penalty=100)
    assert found.max() < 0.02
