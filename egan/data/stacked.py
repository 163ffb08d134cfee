"""Stacked digits: three of scikit-learn's digits as one image's colours, 1,000 modes.

After stacked MNIST (Srivastava et al., arXiv 1705.07761, section 4.1), with the digits that need no
download. How many of the modes a generator covers is told by a classifier of single digits.
"""

import numpy as np

from egan.data.config import DigitsConfig, StackedDigitsConfig
from egan.data.digits import open_digits
from egan.data.source import ImageSource, Origin

CHANNELS = 3
SEED = 0  # of the triples: the same set in every run


def open_stacked_digits(config: StackedDigitsConfig) -> ImageSource:
    """Return `config.count` random triples of digits, labelled 0 to 999 by their digits in order.

    Raises:
        DataError: scikit-learn is not installed, or without its data.
    """
    digits = open_digits(DigitsConfig(resolution=config.resolution))
    assert digits.labels is not None
    stream = np.random.Generator(np.random.PCG64(SEED))
    triples = stream.integers(len(digits), size=(config.count, CHANNELS))
    return ImageSource(
        name="stacked-digits",
        images=digits.images[triples, 0],  # (N, 3, R, R)
        labels=digits.labels[triples] @ np.array([100, 10, 1]),
        classes=tuple(f"{number:03}" for number in range(10**CHANNELS)),
        origin=Origin("scikit-learn"),
        layers=digits,
    )
