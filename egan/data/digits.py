"""scikit-learn's 1,797 real handwritten digits (UCI "Optical Recognition of Handwritten Digits").

They come inside the scikit-learn package, so a first run needs no download. Their file is read by
itself, since an import of scikit-learn takes two seconds.
"""

from importlib.util import find_spec
from pathlib import Path

import numpy as np

from egan.data.config import DigitsConfig
from egan.data.resize import resize_images
from egan.data.source import DataError, ImageSource, Origin


def open_digits(config: DigitsConfig) -> ImageSource:
    """Return the digits; pixel values 0..16 become 0..255, then 8 x 8 grows by bicubic resize.

    Raises:
        DataError: scikit-learn is not installed, or without its data.
    """
    rows = np.loadtxt(_file(), np.uint8, delimiter=",")  # (1797, 65): 64 pixels and the label
    images = np.rint(rows[:, :-1] * (255 / 16)).astype(np.uint8).reshape(-1, 1, 8, 8)
    return ImageSource(
        name="digits",
        images=resize_images(images, config.resolution),
        labels=rows[:, -1].astype(np.int64),
        classes=tuple("0123456789"),
        flip=config.flip,
        origin=Origin("scikit-learn"),
    )


def _file() -> Path:
    package = find_spec("sklearn")
    for folder in (package and package.submodule_search_locations) or ():
        if (file := Path(folder) / "datasets/data/digits.csv.gz").is_file():
            return file
    raise DataError("the digits come with scikit-learn, which is not installed here with its data")
