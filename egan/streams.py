"""The purposes of a game's random streams; `populations.seeding` makes the streams."""

from enum import IntEnum

import torch

from populations.seeding import PROPOSAL, torch_seed


class Purpose(IntEnum):
    """The purpose of a stream. The numbers are part of every run's result: never reuse one."""

    INITIALISE = 0
    TRAIN_NOISE = 1
    EVALUATION_NOISE = 2
    DISCRIMINATOR_NOISE = 3
    TRAIN_DATA = 4
    EVALUATION_DATA = 5
    DISCRIMINATOR_DATA = 6
    EPOCH = 7
    PROPOSAL = PROPOSAL  # of `populations.selection`
    SAMPLE = 9
    PENALTY = 10
    PATH = 11
    CONDITION = 12
    POOL = 13
    MIXTURE = 14
    AUGMENT = 15
    DIRECTIONS = 16


def torch_stream(seed: int, generation: int, purpose: Purpose, *index: int) -> torch.Generator:
    """Return torch's generator, on the CPU, for one stream."""
    return torch.Generator().manual_seed(torch_seed(seed, generation, purpose, *index))
