from dataclasses import replace

import pytest
import torch

from fitness.features import classifier as module
from fitness.features.classifier import ClassifierSpace, SmallClassifier, train_classifier


def test_the_network_has_ninety_four_thousand_parameters_and_128_features():
    with torch.device("meta"):
        network = SmallClassifier(1, 10)
        features, logits = network(torch.empty(2, 1, 28, 28, dtype=torch.uint8))
    assert sum(parameter.numel() for parameter in network.parameters()) == 94_410
    assert (features.shape, logits.shape) == ((2, 128), (2, 10))


def test_it_learns_to_tell_digits_apart(classifier, digits):
    images, labels = digits
    _, logits = classifier.features_and_logits(images)
    assert classifier.accuracy > 0.8  # on images held out
    assert (logits.argmax(1) == labels).double().mean() > 0.85
    assert (classifier.dimension, classifier.classes) == (128, 10)


def test_the_same_seed_gives_the_same_bits_and_another_seed_others(digits):
    images, labels = digits[0][:300], digits[1][:300]
    one, again, other = (
        ClassifierSpace.trained(images, labels, seed=seed).identity for seed in (0, 0, 1)
    )
    assert one == again != other


def test_a_large_set_is_learnt_in_fewer_steps_and_its_space_has_another_name(digits, monkeypatch):
    images, labels = digits
    monkeypatch.setattr(module, "LARGE", len(images) - 1)
    monkeypatch.setattr(module, "SHORT", replace(module.SHORT, steps=40))
    done: list[int] = []
    short = ClassifierSpace.trained(
        images, labels, progress=lambda stage, step, steps: done.append(steps)
    )
    assert done == [40] * 40
    assert short.name == "classifier-short" and short.accuracy > 0.8
    again = ClassifierSpace.restored(*short.state())
    assert (again.name, again.identity) == (short.name, short.identity)
    assert torch.equal(again(images), short(images))


def test_a_large_set_that_needs_more_steps_gets_them(digits, monkeypatch):
    images, labels = digits[0][:300], digits[1][:300]
    full = ClassifierSpace.trained(images, labels)
    monkeypatch.setattr(module, "LARGE", 299)
    monkeypatch.setattr(module, "SHORT", replace(module.SHORT, steps=2))
    again = ClassifierSpace.trained(images, labels)
    assert (again.name, again.identity) == ("classifier", full.identity)


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (torch.zeros(50, 1, 8, 8), torch.zeros(50).long(), r"torch\.float32 \(50, 1, 8, 8\)"),
        (torch.zeros(50, 1, 8, 8).byte(), torch.zeros(49).long(), "as many integer labels"),
        (torch.zeros(50, 1, 8, 8).byte(), torch.zeros(50), "as many integer labels"),
        (torch.zeros(50, 1, 8, 8).byte(), torch.zeros(50).long(), "50 images of 1 classes"),
        (torch.zeros(9, 1, 8, 8).byte(), torch.arange(9), "at least 40 images"),
        (torch.zeros(50, 1, 8, 8).byte(), torch.arange(50) - 1, "run from -1 to 48"),
    ],
)
def test_data_that_teach_nothing_are_refused(images, labels, message):
    with pytest.raises(ValueError, match=message):
        train_classifier(images, labels)


def test_images_with_other_channels_are_refused(classifier):
    with pytest.raises(ValueError, match="trained on 1-channel images; images with 3"):
        classifier(torch.zeros(2, 3, 8, 8, dtype=torch.uint8))
