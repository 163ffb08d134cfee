import sys

import pytest
import torch

from fitness.features.module import ModuleSpace
from fitness.features.pixels import PixelSpace

SOURCE = """
import torch
from torch import nn

class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3 * 4 * 4, 7)

    def forward(self, images):
        assert images.dtype == torch.float32 and 0 <= images.min() and images.max() <= 1
        return self.layer(images.flatten(1))

class Maps(nn.Module):
    def forward(self, images):
        return images

number = 3
"""


@pytest.fixture
def users_module(tmp_path, monkeypatch):
    (tmp_path / "users_nets.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("users_nets", None)


def images(count=5):
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, 3, 4, 4), dtype=torch.uint8, generator=generator)


def test_a_users_network_is_found_by_its_import_path(users_module):
    space = ModuleSpace("users_nets:Encoder", (3, 4, 4))
    assert (space.name, space.dimension, space.classes) == ("users_nets:Encoder", 7, None)
    features = space(images())
    assert features.shape == (5, 7)
    again = ModuleSpace("users_nets:Encoder", (3, 4, 4))
    assert again.identity == space.identity
    assert torch.equal(again(images()), features)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("no_such_module:Encoder", "cannot import 'no_such_module'"),
        ("users_nets:Encodr", "did you mean 'Encoder'"),
        ("users_nets:number", "gives a int"),
        ("users_nets:Maps", r"returned \(2, 3, 4, 4\) for 2 images"),
        ("users_nets:", "not an import path"),
    ],
)
def test_what_is_no_feature_network_is_refused(users_module, path, message):
    with pytest.raises(ValueError, match=message):
        ModuleSpace(path, (3, 4, 4))


def test_pixels_are_scaled_and_flattened():
    space = PixelSpace((3, 4, 4))
    assert space.dimension == 48
    assert torch.equal(space(images()), images().flatten(1) / 255)


def test_points_of_a_mixture_are_their_own_features():
    points = torch.tensor([[1.5, -2.0], [0.0, 3.0]])
    assert torch.equal(PixelSpace((2,))(points), points)


@pytest.mark.parametrize(
    ("shape", "arriving"),
    [
        ((3, 4, 4), torch.zeros(2, 3, 5, 5, dtype=torch.uint8)),
        ((3, 4, 4), torch.zeros(2, 3, 4, 4)),
        ((3, 4, 4), torch.zeros(0, 3, 4, 4, dtype=torch.uint8)),
        ((2,), torch.zeros(2, 2, dtype=torch.uint8)),
        ((2,), torch.zeros(2, 3)),
    ],
)
def test_pixels_of_another_kind_are_refused(shape, arriving):
    with pytest.raises(ValueError, match=r"takes .* arrived"):
        PixelSpace(shape)(arriving)


def test_networks_take_bytes_alone(users_module):
    space = ModuleSpace("users_nets:Encoder", (3, 4, 4))
    with pytest.raises(ValueError, match=r"uint8 \(N, C, H, W\); torch.float32 \(5, 3, 4, 4\)"):
        space(images().float())
