"""scikit-learn's 1,797 real handwritten digits (UCI "Optical Recognition of Handwritten Digits").

They come inside the scikit-learn package, so a first run needs no download.
"""

import numpy as np

from egan.data.config import DigitsConfig
from egan.data.resize import resize_images
from egan.data.source import ImageSource, Origin


def open_digits(config: DigitsConfig) -> ImageSource:
    """Return the digits; pixel values 0..16 become 0..255, then 8 x 8 grows by bicubic resize."""
    from sklearn.datasets import load_digits

    stored = load_digits()
    images = np.rint(stored.images * (255 / 16)).astype(np.uint8)[:, None]  # (1797, 1, 8, 8)
    return ImageSource(
        name="digits",
        images=resize_images(images, config.resolution),
        labels=stored.target.astype(np.int64),
        classes=tuple("0123456789"),
        flip=config.flip,
        origin=Origin("scikit-learn"),
    )
