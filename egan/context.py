"""What a generation is played with, as a pure function of the config and the generation's number.

Networks that grow (Karras et al., arXiv 1710.10196) compute at a stage that follows from the images
shown so far; the reals, the batch and the age of every layer follow from it. For networks that do
not grow every generation is alike. There is no state: a resumed run, a replica or a sampler asks
for any generation.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from egan.backbones import Inputs, Networks
from egan.backbones.function import NetworkFunction
from egan.backbones.progressive.growth import (
    Schedule,
    Stage,
    at_stage,
    first_generation,
    images_shown,
    introduced,
    stage,
)
from egan.config import GameConfig
from egan.data.draws import Draws
from egan.determinism import send
from egan.games.noise import NoiseTask
from egan.state import Weights
from populations.seeding import Purpose


@dataclass(frozen=True)
class Pace:
    """How many images a generation takes, and how far the networks are grown by then.

    Attributes:
        size: the batch of networks that do not grow.
        updates: the discriminator's steps per generation.
        schedule: the growth; None: no growth.
    """

    size: int
    updates: int
    schedule: Schedule | None

    @classmethod
    def of(cls, config: GameConfig, networks: Networks) -> "Pace":
        """Return the pace of a game."""
        size = config.population.batch
        return cls(size, config.discriminator.updates, networks.schedule(size))

    @classmethod
    def counting(cls, config: GameConfig) -> "Pace":
        """Return a pace that tells the batches and the images shown alone; it needs no data."""
        size = config.population.batch
        return cls(size, config.discriminator.updates, config.backbone.counted(size))

    def stage(self, generation: int) -> Stage | None:
        """Return the stage that a generation computes at; None: the networks do not grow."""
        if self.schedule is None:
            return None
        return stage(self.shown(generation), self.schedule)

    def batch(self, generation: int) -> int:
        """Return the fakes of a mutation's step, and of one of the discriminator's."""
        if self.schedule is None:
            return self.size
        return self.schedule.batches[stage(self.shown(generation), self.schedule).resolution]

    def shown(self, generation: int) -> int:
        """Return the reals that the discriminator has been trained on before a generation."""
        if self.schedule is None:
            return generation * self.updates * self.size
        return images_shown(generation, self.schedule, self.updates)

    def late(self, function: NetworkFunction, steps: int, device: torch.device) -> Tensor | None:
        """Return for each parameter (P,) the optimiser's steps before its layer came in.

        `steps` is how many the network takes per generation. None: all are there from the start.
        """
        if self.schedule is None:
            return None
        first = [
            first_generation(introduced(name), self.schedule, self.updates)
            for name, _ in function.layout
        ]
        if not any(first):
            return None
        sizes = torch.tensor([shape.numel() for _, shape in function.layout])
        late = torch.tensor(first, dtype=torch.float32) * steps
        return late.repeat_interleave(sizes).to(device)


@dataclass(frozen=True)
class Turn:
    """One generation's view of the game: networks at their stage, reals at the same stage.

    Attributes:
        generation: its number.
        stage: how far the networks are grown; None: they do not grow.
        batch: fakes of a mutation's step, and of one of the discriminator's.
        shown: reals that the discriminator has been trained on before.
        networks: the generator's and the discriminator's functions.
        task: what is generated from what.
        draws: the reals.
        device: where all of it is computed.
    """

    generation: int
    stage: Stage | None
    batch: int
    shown: int
    networks: Networks
    task: NoiseTask
    draws: Draws
    device: torch.device

    def generate(
        self, weights: Mapping[str, Weights], inputs: Inputs
    ) -> tuple[Tensor, dict[str, dict[str, Tensor]]]:
        """Return fakes (N, ...), and each network's buffers after the call, by role."""
        return self.task.generate(weights, inputs, self.stage)

    def judge(self, weights: Weights, samples: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return D's logits (N,), and its buffers after the call."""
        return self.networks.discriminator(weights, samples, stage=self.stage)

    def reals(self, purpose: Purpose) -> Tensor:
        """Return the generation's reals for a purpose (N, ...)."""
        reals = send(self.draws(self.generation, purpose), self.device)
        return reals if self.stage is None else at_stage(reals, self.stage)
