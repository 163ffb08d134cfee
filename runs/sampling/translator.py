"""A translator of images: what a run of pairs or of two sets has evolved."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from egan.backbones.translation.config import TranslationBackbone, UNetConfig
from egan.config import GameConfig
from egan.data.pairs import Partner
from egan.data.pixels import to_float, to_uint8
from egan.games import PairedGame, UnpairedGame
from egan.replica import ExportedState
from egan.state import Weights
from egan.streams import Purpose, torch_stream
from runs.common.errors import ConfigError
from runs.sampling.states import game_of, weights_in
from runs.store.folder import DataCard

PIXELS = 2**20  # of the images that are translated at a time
RESNET_FACTOR = 4  # a ResNet halves twice


@dataclass(frozen=True)
class Translator:
    """A translator that gives images for images.

    Attributes:
        game: what is translated into what.
        weights: of its networks, by role.
        backbone: the networks' config.
        shape: of the images that it was trained on, (C, H, W).
        target: of their translations.
        reverse: whether images of B are translated to A, by a run of two sets.
    """

    game: PairedGame | UnpairedGame
    weights: Mapping[str, Weights]
    backbone: TranslationBackbone
    shape: tuple[int, ...]
    target: tuple[int, ...]
    reverse: bool = False

    @property
    def backwards(self) -> bool:
        """Whether its images are of B."""
        return self.reverse or (isinstance(self.game, PairedGame) and self.game.reversed)

    @property
    def device(self) -> torch.device:
        """The device of the weights, on which images are translated."""
        return next(iter(self.weights.values())).params.device

    @property
    def factor(self) -> int:
        """What the sides of images must be multiples of."""
        if isinstance(self.backbone, UNetConfig):
            return int(2 ** self.backbone.halvings(self.shape))
        return RESNET_FACTOR

    def to(self, device: str | torch.device) -> "Translator":
        """Return the same translator on a device."""
        device = torch.device(device)
        return replace(self, weights={role: own.to(device) for role, own in self.weights.items()})

    def reversed(self) -> "Translator":
        """Return the translator of the other way.

        Raises:
            ConfigError: the run translates pairs, one way alone.
        """
        if not isinstance(self.game, UnpairedGame):
            raise ConfigError(
                "--reverse: a run of pairs translates one way alone; train another with "
                "game.direction the other way"
            )
        return replace(self, shape=self.target, target=self.shape, reverse=not self.reverse)

    def __call__(self, images: np.ndarray, seed: int = 0, first: int = 0) -> Iterator[Tensor]:
        """Yield the translations, float32 (n, C', H, W) in [-1, 1], a few at a time.

        The n-th one depends on its image, `seed` and `first` + n alone: where a norm takes the
        statistics of a batch, each image is one by itself.

        Args:
            images: (N, C, H, W), uint8 or uint16, sides as the network can halve them.
            seed: of dropout, where it is on.
            first: the place of the first image among all that are translated by this seed.
        """
        training = self.backbone.inference == "training"
        alone = training and self.backbone.norm == "batch"
        step = 1 if alone else max(1, PIXELS // (images.shape[2] * images.shape[3]))
        for start in range(0, len(images), step):
            part = to_float(images[start : start + step]).to(self.device)
            seeds = self.seeds(seed, first + start, len(part))
            with torch.no_grad():
                yield self.game.translate(self.weights, part, seeds, self.reverse, training)

    def pictures(self, images: np.ndarray, seed: int = 0, first: int = 0) -> np.ndarray:
        """Return the same translations as uint8 (N, C', H, W)."""
        return np.concatenate([to_uint8(part).cpu().numpy() for part in self(images, seed, first)])

    def seeds(self, seed: int, first: int, count: int) -> Tensor:
        """Return the seeds (count,) of dropout in images from place `first` on."""
        drawn = [
            torch.randint(2**62, (1,), generator=torch_stream(seed, 0, Purpose.SAMPLE, place))
            for place in range(first, first + count)
        ]
        return torch.cat(drawn).to(self.device)


def translator_of(
    config: GameConfig,
    card: DataCard,
    exported: ExportedState,
    survivor: int = 0,
    raw: bool = False,
) -> Translator:
    """Return the translator of one of a state's parents, on the CPU; see `sampler_of`.

    Raises:
        ConfigError: the run makes samples from noise; or as `sampler_of`.
    """
    game, backbone = game_of(config, card), config.backbone
    if not isinstance(game, PairedGame | UnpairedGame):
        raise ConfigError(
            "this run makes samples from noise, and translates no images: take the command sample"
        )
    assert card.partner is not None and isinstance(backbone, TranslationBackbone)
    weights = weights_in(game, config, exported, survivor, raw)
    return with_shapes(game, weights, backbone, card.shape, card.partner)


def with_shapes(
    game: PairedGame | UnpairedGame,
    weights: Mapping[str, Weights],
    backbone: TranslationBackbone,
    shape: tuple[int, ...],
    partner: Partner,
) -> Translator:
    """Return the translator of a game of images of A, of `shape`, and their partners."""
    shapes = shape, partner.shape
    if isinstance(game, PairedGame) and game.reversed:
        shapes = shapes[::-1]
    return Translator(game, weights, backbone, *shapes)
