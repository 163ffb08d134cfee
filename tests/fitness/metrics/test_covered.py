"""Classes covered and their KL to equal shares, against values worked out by hand."""

from math import log

import pytest
import torch
from torch import nn

from fitness.evaluation import evaluate_images
from fitness.features.classifier import ClassifierSpace
from fitness.features.stacked import StackedSpace
from fitness.metrics.covered import classes_covered, divergence_from_equal


@pytest.mark.parametrize(
    ("counts", "covered", "kl"),
    [
        ([5, 5, 5, 5], 4, 0.0),
        ([7, 0, 0, 0], 1, log(4)),
        ([2, 2, 0, 0], 2, log(2)),
        ([3, 1, 0, 0], 2, 0.75 * log(3) + 0.25 * log(1)),
    ],
)
def test_values_worked_out_by_hand(counts, covered, kl):
    histogram = torch.tensor(counts)
    assert classes_covered(histogram) == covered
    assert divergence_from_equal(histogram) == pytest.approx(kl, abs=1e-12)


class Brightness(nn.Module):
    """Takes an image for dark, grey or bright; its layout is that of a `SmallClassifier`."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1, 1, 1))
        self.head = nn.Linear(1, 3)

    def forward(self, images):
        mean = images.float().mean((1, 2, 3))
        logits = -(mean[:, None] - torch.tensor([0.0, 128.0, 255.0])).abs()
        return mean[:, None].expand(-1, 128), logits


@pytest.fixture(scope="module")
def space():
    return StackedSpace(ClassifierSpace(Brightness(), 1.0), 3)


def images(*rows) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.uint8)[:, :, None, None].expand(-1, -1, 4, 4)


def test_an_images_class_is_that_of_its_layers_in_order(space):
    features, logits = space.features_and_logits(images((0, 0, 0), (255, 0, 128), (0, 128, 255)))
    assert logits.argmax(1).tolist() == [0, 2 * 9 + 0 + 1, 0 + 3 + 2]
    assert torch.allclose(logits.exp().sum(1), torch.ones(3), atol=1e-5)
    assert features.shape == (3, 384) and features[1, [0, 128, 256]].tolist() == [255, 0, 128]


def test_a_mode_collapse_shows(space):
    levels = (0, 128, 255)
    every = images(*((a, b, c) for a in levels for b in levels for c in levels))
    metrics = ("classes-covered", "classes-kl")
    whole = evaluate_images(None, [every], metrics, space, count=27)
    assert list(whole) == ["classes-covered-stacked-27", "classes-kl-stacked-27"]
    assert list(whole.values()) == pytest.approx([27, 0], abs=1e-9)
    collapsed = evaluate_images(None, [every[:1].expand(27, -1, -1, -1)], metrics, space, count=27)
    assert list(collapsed.values()) == pytest.approx([1, log(27)])


def test_other_layers_than_the_spaces_are_refused(space):
    with pytest.raises(ValueError, match="takes images of 3 layers; 1 arrived"):
        space(images((0,)))
