"""A generator built by hand: each object of an image is made by one unit, others make nothing."""

import pytest
import torch
from torch import nn

from egan.backbones.function import NetworkFunction
from egan.backbones.networks import Networks
from egan.games import NoiseGame
from egan.state import Weights
from fitness.segmenters import Segmenter
from runs.dissection.subject import Subject
from runs.sampling.sampler import Sampler

SIDE = 16
OBJECTS = ("red", "green", "blue")
UNIT_OF = {"red": 4, "green": 1, "blue": 6}
UNITS = 8


class Objects(nn.Module):
    """Noise (N, 16) to maps (N, 8, 16, 16), each with one square whose place the noise decides.

    The values in it are from 0.7 to 1, also by the noise.
    """

    def forward(self, noise):
        top, left = ((noise.abs() * 7919).long() % (SIDE - 5)).chunk(2, 1)
        side = torch.arange(SIDE)
        rows, columns = (
            (side >= at[:, :, None]) & (side < at[:, :, None] + 5) for at in (top, left)
        )
        shade = (noise.abs()[:, :UNITS, None, None] * 31 + side[:, None] / 40 + side / 50) % 1
        return (rows[:, :, :, None] & columns[:, :, None]) * (0.7 + 0.3 * shade)


class Painter(nn.Module):
    """Maps to images: unit 4 is red, 1 is green, 6 is blue, and the others are not seen."""

    def __init__(self):
        super().__init__()
        self.colours = nn.Parameter(torch.empty(3, UNITS))

    def forward(self, maps):
        return 2 * torch.einsum("cu,nuhw->nchw", self.colours, maps) - 1


class HandBuilt(nn.Module):
    def __init__(self):
        super().__init__()
        self.objects, self.painter = Objects(), Painter()

    def forward(self, noise):
        return self.painter(self.objects(noise))


class Colours(Segmenter):
    """An object is seen where its colour is; they may lie on each other."""

    def __init__(self):
        super().__init__("hand", OBJECTS, "hand")

    def presence(self, images):
        return (images + 1) / 2

    def masks(self, images):
        return self.presence(images) > 0.5


@pytest.fixture(scope="session")
def subject(tmp_path_factory):
    function = NetworkFunction(HandBuilt, lambda module, generator: None)
    colours = torch.zeros(3, UNITS)
    for channel, name in enumerate(OBJECTS):
        colours[channel, UNIT_OF[name]] = 1
    networks = Networks(function, function, 2 * UNITS, "normal")
    weights = {"generator": Weights(colours.flatten(), {})}
    sampler = Sampler(NoiseGame(networks), weights, (3, SIDE, SIDE))
    folder = tmp_path_factory.mktemp("hand")
    (folder / "generator.json").write_text("{}")
    return Subject(folder, "hand-built generator", sampler)


@pytest.fixture(scope="session")
def segmenter():
    return Colours()
