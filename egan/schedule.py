"""The schedule of a run: a generation's batch, stage and images shown, as a function of its number.

Networks that grow (Karras et al., arXiv 1710.10196) compute at a stage that follows from the images
shown so far; the reals, the batch and the age of every layer follow from it. For networks that do
not grow every generation is alike. There is no state, so a resumed
run, a replica or a sampler can ask for any generation.
"""

from dataclasses import dataclass

import torch

from egan.backbones.function import NetworkFunction
from egan.backbones.progressive.growth import (
    GrowthSchedule,
    Stage,
    first_generation,
    images_shown,
    introduced,
    stage,
)
from egan.config import GameConfig
from egan.games.game import Game
from egan.optimizer import Late


@dataclass(frozen=True)
class Schedule:
    """How many images a generation takes, and how far the networks are grown by then.

    Attributes:
        size: the batch of networks that do not grow.
        updates: the critics' steps per generation.
        growth: how the networks grow; None: they do not.
    """

    size: int
    updates: int
    growth: GrowthSchedule | None

    @classmethod
    def of(cls, config: GameConfig, game: Game) -> "Schedule":
        """Return the schedule of a game."""
        size = config.population.batch
        return cls(size, config.discriminator.updates, game.growth(size))

    @classmethod
    def counting(cls, config: GameConfig) -> "Schedule":
        """Return a schedule that only counts batches and images; it needs no data."""
        size = config.population.batch
        return cls(size, config.discriminator.updates, config.backbone.counted(size))

    def stage(self, generation: int) -> Stage | None:
        """Return the stage that a generation computes at; None: the networks do not grow."""
        if self.growth is None:
            return None
        return stage(self.shown(generation), self.growth)

    def batch(self, generation: int) -> int:
        """Return the number of fakes in a step of a mutation, and in a step of a critic."""
        if self.growth is None:
            return self.size
        return self.growth.batches[stage(self.shown(generation), self.growth).resolution]

    def shown(self, generation: int) -> int:
        """Return the number of reals that the critics were trained on before a generation."""
        if self.growth is None:
            return generation * self.updates * self.size
        return images_shown(generation, self.growth, self.updates)

    def late(self, function: NetworkFunction, steps: int, device: torch.device) -> Late | None:
        """Return when a network's layers are introduced, in its optimiser's steps.

        `steps` is the number per generation. None: all layers compute from the start.
        """
        if self.growth is None:
            return None
        first = [
            first_generation(introduced(name), self.growth, self.updates)
            for name, _ in function.layout
        ]
        if not any(first):
            return None
        sizes = torch.tensor([shape.numel() for _, shape in function.layout])
        before = torch.tensor(first, dtype=torch.float32) * steps
        return Late(before.repeat_interleave(sizes).to(device), max(first) * steps)
