"""Segmenters without training: colours, evidence of a classifier, networks by import path."""

import sys
import types

import pytest
import torch
from torch import nn

from fitness.features.classifier import ClassifierSpace, SmallClassifier
from fitness.segmenters import ColourSegmenter, EvidenceSegmenter, ModuleSegmenter
from fitness.training import initialised


def flags():
    """Two images of 8 x 8: a quarter red, the rest blue."""
    images = torch.full((2, 3, 8, 8), -1.0)
    images[:, 2] = 1
    images[:, :, :2] = torch.tensor([1.0, -1, -1]).view(3, 1, 1)
    return images


def test_colours_are_those_of_the_images_the_most_frequent_first():
    segmenter = ColourSegmenter.fitted(flags())
    assert segmenter.classes == ("#0000ff", "#ff0000")
    masks = segmenter.masks(flags())
    assert masks[:, 1, :2].all() and masks[:, 0, 2:].all() and masks.sum(1).eq(1).all()
    images = flags().requires_grad_()
    segmenter.presence(images)[:, 0, 0].sum().backward()
    assert images.grad.isfinite().all()


def test_colours_of_many_pixels_are_the_same_by_seed():
    stream = torch.Generator().manual_seed(0)
    images = torch.rand(1, 3, 150, 150, generator=stream) * 2 - 1
    first, second = (ColourSegmenter.fitted(images, colours=4, seed=2) for _ in range(2))
    assert first.identity == second.identity and len(set(first.classes)) == 4
    assert first.identity != ColourSegmenter.fitted(images, colours=4, seed=3).identity
    with pytest.raises(ValueError, match="have 3 channels; images of 1 arrived"):
        first.masks(torch.zeros(1, 1, 4, 4))


def test_greys_are_named_by_their_value():
    images = torch.full((1, 1, 4, 4), -1.0)
    images[:, :, 0] = 1
    assert ColourSegmenter.fitted(images).classes == ("0", "255")


def classifier(channels):
    network = initialised(
        lambda: SmallClassifier(channels, 2), torch.Generator().manual_seed(0)
    ).eval()
    return ClassifierSpace(network, 1.0)


class Bright(nn.Module):
    """The evidence for class 0 is where the image is bright, for class 1 where it is dark."""

    def __init__(self):
        super().__init__()
        self.body = nn.Conv2d(1, 2, 1, bias=False)
        self.head = nn.Linear(2, 2, bias=False)
        self.body.weight.data = torch.tensor([1.0, -1.0]).view(2, 1, 1, 1)
        self.head.weight.data = 20 * torch.eye(2)


def test_evidence_is_grad_cam_of_the_images_own_class():
    space = classifier(1)
    segmenter = EvidenceSegmenter(space, ("bright", "dark"))
    with torch.random.fork_rng():
        space.network = Bright()
    space.check_channels = lambda images: None
    images = torch.full((1, 1, 4, 4), 0.1)
    images[:, :, 0] = 1
    masks = segmenter.masks(images)
    assert masks[0, 0, 0].all() and not masks[0, 0, 1:].any() and not masks[0, 1].any()
    with pytest.raises(ValueError, match="knows 2 classes, not 1"):
        EvidenceSegmenter(space, ("bright",))


def test_the_real_classifier_gives_evidence_in_the_images_size():
    space = classifier(3)
    segmenter = EvidenceSegmenter(space, ("a", "b"))
    sure = segmenter.presence(torch.zeros(2, 3, 16, 16))
    assert sure.shape == (2, 2, 16, 16) and sure.min() >= 0 and sure.max() <= 1
    with pytest.raises(ValueError, match="trained on 3-channel images"):
        segmenter.masks(torch.zeros(2, 1, 16, 16))


@pytest.fixture
def own(monkeypatch):
    """A user's module with some networks."""

    class Halves(nn.Module):
        classes = ("upper", "lower")

        def forward(self, images):
            logits = torch.zeros(len(images), 2, *images.shape[2:])
            half = images.shape[2] // 2
            logits[:, 0, :half], logits[:, 1, half:] = 5, 5
            return logits

    class Small(nn.Module):
        def forward(self, images):
            return images[:, :2, ::2, ::2]

    class Unnamed(Halves):
        classes = ("one",)

    class Failing(nn.Module):
        def forward(self, images):
            raise RuntimeError("expects 512 pixels")

    module = types.ModuleType("own_segmenters")
    vars(module).update(Halves=Halves, Small=Small, Unnamed=Unnamed, Failing=Failing, number=3)
    monkeypatch.setitem(sys.modules, "own_segmenters", module)


@pytest.mark.usefixtures("own")
def test_a_network_by_import_path_segments():
    segmenter = ModuleSegmenter("own_segmenters:Halves", (3, 8, 8))
    assert segmenter.classes == ("upper", "lower")
    assert segmenter.masks(torch.zeros(1, 3, 8, 8))[0, 0].sum() == 32


@pytest.mark.usefixtures("own")
@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("own_segmenters:Small", r"returned \(2, 2, 4, 4\).*\(N, K, 8, 8\).*2 classes are needed"),
        ("own_segmenters:Unnamed", "returned 2 classes, and its attribute `classes` has 1"),
        ("own_segmenters:Failing", "fails on images of 3 x 8 x 8: RuntimeError: expects 512"),
        ("own_segmenters:Halvs", "Halves"),
        ("own_segmenters:number", "a torch.nn.Module is required"),
        ("not_there_at_all:Net", "cannot import"),
    ],
)
def test_networks_that_do_not_fit_are_refused(path, message):
    with pytest.raises(ValueError, match=message):
        ModuleSegmenter(path, (3, 8, 8))
