"""Hooks on a network function: what its layers give, changes there, and nothing left behind."""

import pytest
import torch
from torch import nn

from egan.backbones.function import NetworkFunction
from egan.backbones.taps import changed, listed, tapped


class Tiny(nn.Module):
    """z (N, 4) to (N, 1, 2, 2), by a convolution and a ReLU that works in place."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 1, bias=False)
        self.act = nn.ReLU(inplace=True)
        self.twice = nn.Identity()
        self.linear = nn.Linear(4, 4)

    def forward(self, z):
        self.linear(z)
        maps = self.act(self.twice(self.conv(self.twice(z.view(-1, 1, 2, 2)))))
        return maps.sum(1, keepdim=True)


def fill(module, generator):
    for parameter in module.parameters(recurse=False):
        parameter.copy_(torch.randn(parameter.shape, generator=generator))


@pytest.fixture(scope="module")
def tiny():
    function = NetworkFunction(Tiny, fill)
    return function, function.initialise(torch.Generator().manual_seed(0))


def test_taps_are_what_a_layer_gave_before_later_ones_worked_in_place(tiny):
    function, weights = tiny
    z = torch.tensor([[1.0, -2, 3, -4]])
    plain, _ = function(weights, z)
    with tapped(function, ["conv", "act"]) as maps:
        output, _ = function(weights, z)
    weight = weights.params[:2].view(2, 1, 1, 1)
    assert torch.equal(maps["conv"], nn.functional.conv2d(z.view(1, 1, 2, 2), weight))
    assert torch.equal(maps["act"], maps["conv"].relu()) and (maps["conv"] < 0).any()
    assert torch.equal(output, plain)


def test_a_change_is_seen_by_what_follows_and_ends(tiny):
    function, weights = tiny
    z = torch.ones(2, 4)
    plain, _ = function(weights, z)
    with changed(function, "act", torch.zeros_like):
        assert not function(weights, z)[0].any()
    assert torch.equal(function(weights, z)[0], plain)
    with pytest.raises(KeyError), changed(function, "act", lambda maps: {}["none"]):
        function(weights, z)
    assert torch.equal(function(weights, z)[0], plain)


def test_layers_with_maps_are_listed_in_order_but_not_those_called_twice(tiny):
    function, weights = tiny
    with listed(function) as found:
        function(weights, torch.ones(1, 4))
    assert list(found.items()) == [("conv", (2, 2, 2)), ("act", (2, 2, 2))]
    assert not any(module._forward_hooks for module in function.module.modules())
