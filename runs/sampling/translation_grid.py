"""Pictures of translations: input, output and target in a row; of two sets, there and back."""

from dataclasses import dataclass

import numpy as np

from egan.data import open_source
from egan.data.config import DataConfig
from egan.data.pairs import PairSource
from runs.sampling.translator import Translator

SHOWN = 12  # pairs in a grid
COLUMNS = 6  # two triples in a row


@dataclass(frozen=True)
class Examples:
    """A few images of A (N, C, H, W) and of B (N, C', H, W)."""

    a: np.ndarray
    b: np.ndarray
    aligned: bool


def examples_of(config: DataConfig, count: int = SHOWN) -> Examples:
    """Return the first images that are held out; where none are, the first ones of all."""
    source = open_source(config)
    assert isinstance(source, PairSource)
    a, b = source.judging()
    count = min(count, len(a), len(b))
    return Examples(a[:count].copy(), b[:count].copy(), source.aligned)


def grid_of(translator: Translator, examples: Examples, seed: int = 0) -> np.ndarray:
    """Return the images of a grid of `COLUMNS` columns, uint8 (N, H, W, 3).

    Of pairs: input, output, target. Of two sets: a, G(a), F(G(a)) in rows, then b, F(b), G(F(b)).
    """
    a, b = examples.a, examples.b
    if examples.aligned:
        given, wanted = (b, a) if translator.backwards else (a, b)
        return _triples(given, translator.pictures(given, seed), wanted)
    back = translator.reversed()
    there = translator.pictures(a, seed)
    here = back.pictures(b, seed)
    return np.concatenate(
        [
            _triples(a, there, back.pictures(there, seed)),
            _triples(b, here, translator.pictures(here, seed)),
        ]
    )


def _triples(*columns: np.ndarray) -> np.ndarray:
    """Return the images of three columns, row by row."""
    rows = np.stack([visible(images) for images in columns], 1)  # (N, 3, H, W, 3)
    return rows.reshape(-1, *rows.shape[2:])


def visible(images: np.ndarray) -> np.ndarray:
    """Return images (N, C, H, W) as they can be looked at, uint8 (N, H, W, 3), without opacity."""
    images = to_bytes(images)
    colour = images[:, :3] if images.shape[1] > 2 else images[:, :1].repeat(3, 1)
    return colour.transpose(0, 2, 3, 1)


def to_bytes(images: np.ndarray) -> np.ndarray:
    """Return images as uint8: of 16 bits, the upper ones."""
    if images.dtype == np.uint16:
        return ((images.astype(np.uint32) + 128) // 257).astype(np.uint8)
    return np.array(images)
