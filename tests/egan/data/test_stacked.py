"""Stacked digits: random triples of the digits, labelled by all three."""

import numpy as np
import pytest

from egan.data import open_source
from egan.data.config import DigitsConfig, StackedDigitsConfig


@pytest.fixture(scope="module")
def stacked():
    return open_source(StackedDigitsConfig(count=2000, resolution=8))


def test_each_colour_is_a_digit_and_the_label_is_the_number_that_they_write(stacked):
    assert stacked.shape == (3, 8, 8) and len(stacked) == 2000
    digits = open_source(DigitsConfig(resolution=8))
    known = dict(zip((image.tobytes() for image in digits.images), digits.labels, strict=True))
    for image, label in zip(stacked.images[:50], stacked.labels[:50], strict=True):
        written = [known[channel.tobytes()] for channel in image]
        assert label == int("".join(map(str, written)))
        assert stacked.classes[label] == "".join(map(str, written))


def test_the_set_is_the_same_every_time_and_nearly_all_numbers_occur(stacked):
    again = open_source(StackedDigitsConfig(count=2000, resolution=8))
    assert stacked.fingerprint == again.fingerprint
    whole = open_source(StackedDigitsConfig(resolution=None))
    assert len(np.unique(whole.labels)) == 1000 and whole.shape == (3, 8, 8)
