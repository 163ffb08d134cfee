"""Translations of given images as numbered samples, so that a translator can be looked into."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from egan.backbones import Rows
from egan.data.pixels import to_float
from egan.games import UnpairedGame
from runs.common.errors import ConfigError
from runs.sampling.sampler import BATCH, Sampler
from runs.sampling.translator import Translator


@dataclass(frozen=True)
class Pictures:
    """Images to translate (N, C, H, W) in [-1, 1], and the seeds (N,) of dropout."""

    images: Tensor
    seeds: Tensor

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, rows: slice) -> "Pictures":
        return Pictures(self.images[rows], self.seeds[rows])


@dataclass(frozen=True)
class Translations(Sampler):
    """A translator's images of given ones, by number.

    Each `BATCH` numbers have other images than the `BATCH` before, if need be fewer, which repeat;
    so two sets of samples that begin at multiples have no image in common: see `most`.

    Attributes:
        translator: makes them.
        sources: the images that it translates, uint8 or uint16 (N, C, H, W).
    """

    translator: Translator | None = None
    sources: np.ndarray | None = None

    @classmethod
    def of(cls, translator: Translator, sources: np.ndarray) -> "Translations":
        """Return the translations of images, which are cut to the translator's size.

        Raises:
            ConfigError: they are fewer than two, or not what it translates.
        """
        channels, height, width = translator.shape
        sources = sources[:, :, :height, :width]
        if len(sources) < 2 or sources.shape[1:] != (channels, height, width):
            raise ConfigError(
                f"this translator takes images of {channels} x {height} x {width}, at least two; "
                f"{len(sources)} of {' x '.join(map(str, sources.shape[1:]))} are there"
            )
        game: Any = translator.game
        return cls(game, translator.weights, translator.target, None, None, None, None, None, None,
                   translator, sources)  # fmt: skip

    @property
    def role(self) -> str:
        """The network that translates."""
        assert self.translator is not None
        if not isinstance(self.translator.game, UnpairedGame):
            return "generator"
        return "g_ba" if self.translator.reverse else "g_ab"

    @property
    def given(self) -> tuple[np.ndarray, ...]:
        """What samples are made of besides the seed and their number."""
        assert self.sources is not None
        return (self.sources,)

    @property
    def at_once(self) -> int:
        """How many samples are made at a time; one, where a norm takes a batch's statistics."""
        assert self.translator is not None
        backbone = self.translator.backbone
        alone = backbone.inference == "training" and backbone.norm == "batch"
        return 1 if alone else super().at_once

    @property
    def most(self) -> int | None:
        """How many samples each of two sets can have without an image in common."""
        each, blocks = self._blocks
        return blocks // 2 * each

    @property
    def _blocks(self) -> tuple[int, int]:
        """How many images `BATCH` numbers share, and how many such blocks there are."""
        assert self.sources is not None
        each = min(BATCH, len(self.sources) // 2)
        return each, len(self.sources) // each

    def parts(
        self, first: int, count: int, seed: int, conditions: Tensor | None = None
    ) -> Iterator[tuple[int, Rows, Tensor | None]]:
        """Yield what samples are made from; see `Sampler.parts`."""
        assert self.translator is not None and self.sources is not None
        each, blocks = self._blocks
        end = first + count
        for start in range(first, end, BATCH):
            for at in range(start, min(start + BATCH, end), self.at_once):
                numbers = np.arange(at, min(at + self.at_once, start + BATCH))
                places = numbers // BATCH % blocks * each + numbers % BATCH % each
                images = to_float(self.sources[places]).to(self.device)
                seeds = self.translator.seeds(seed, at, len(numbers))
                yield min(end - at, len(numbers)), Pictures(images, seeds), None

    def fakes(self, noise: Rows, conditions: Tensor | None) -> Tensor:
        """Return the translations in [-1, 1] of a part; it can be differentiated."""
        assert self.translator is not None and isinstance(noise, Pictures)
        training = self.translator.backbone.inference == "training"
        game: Any = self.game
        made: Tensor = game.translate(
            self.weights, noise.images, noise.seeds, self.translator.reverse, training
        )
        return made
