"""Sources of real images, and seeded draws from them.

`open_source(config)` gives a `Source`; `egan.data.draws.Draws` draws batches from it. Nothing
imported here needs torch, Pillow or scikit-learn, so that configs can be read without them.
"""

from egan.data.config import DataConfig
from egan.data.opening import Source, detect_source, open_held_out, open_source
from egan.data.packed import Manifest
from egan.data.prepare import prepare
from egan.data.source import DataError, ImageSource

__all__ = [
    "DataConfig",
    "DataError",
    "ImageSource",
    "Manifest",
    "Source",
    "detect_source",
    "open_held_out",
    "open_source",
    "prepare",
]
