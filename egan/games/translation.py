"""The members that the games of image translation share."""

from abc import abstractmethod

import torch
from torch import Tensor

from egan.backbones.progressive.growth import GrowthSchedule, Stage
from egan.data.draws import AnyDraws
from egan.data.pair_draws import PairDraws
from egan.games.game import Batch, GameDefaults, Genes, Samples
from egan.streams import Purpose


class TranslationGame(GameDefaults):
    """A game whose fakes are made from real images and from seeds for dropout."""

    conditioned = True

    def growth(self, batch: int) -> GrowthSchedule | None:
        """Return None: these networks do not grow."""
        return None

    def at_stage(self, batch: Batch, stage: Stage | None, shown: int) -> Batch:
        """Return what is given: these networks do not grow."""
        return batch

    def pairs(self, draws: AnyDraws, generation: int, purpose: Purpose) -> tuple[Tensor, Tensor]:
        """Return a generation's images of A and of B."""
        assert isinstance(draws, PairDraws)
        return draws(generation, purpose)

    def inputs(self, count: int, stream: torch.Generator) -> Batch:
        """Draw the `seeds` (N,) of dropout, on the CPU."""
        return {"seeds": torch.randint(2**62, (count,), generator=stream)}

    @abstractmethod
    def reconstruction(self, genes: Genes, inputs: Batch, fakes: Samples) -> Tensor:
        """Return how far the reconstruction is from its target (), in units of [-1, 1]."""

    @abstractmethod
    def translate(
        self, genes: Genes, images: Tensor, seeds: Tensor, reverse: bool, training: bool
    ) -> Tensor:
        """Return the translations (N, C', H, W) of images (N, C, H, W) in [-1, 1].

        `training` is the mode of norm and dropout.

        Raises:
            ValueError: the game has no reverse way.
        """


def tensor(batch: Batch, name: str) -> Tensor:
    """Return the rows of a name, which are a tensor."""
    found = batch[name]
    assert isinstance(found, Tensor)
    return found
