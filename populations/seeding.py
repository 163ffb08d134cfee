"""Random streams derived from (run seed, generation, purpose, index), never a global generator.

Every stream is a function of those values alone, so any worker can make it again and no two
purposes share one.
"""

from enum import IntEnum

import numpy as np


class Purpose(IntEnum):
    """What a stream is for. The numbers are part of every run's result: never reuse one."""

    INITIALISE = 0
    TRAIN_NOISE = 1
    EVALUATION_NOISE = 2
    DISCRIMINATOR_NOISE = 3
    TRAIN_DATA = 4
    EVALUATION_DATA = 5
    DISCRIMINATOR_DATA = 6
    EPOCH = 7
    PROPOSAL = 8
    SAMPLE = 9
    PENALTY = 10
    PATH = 11


def seed_sequence(
    seed: int, generation: int, purpose: Purpose, *index: int
) -> np.random.SeedSequence:
    """Return the seed of one stream; equal arguments give equal streams on every machine."""
    return np.random.SeedSequence(entropy=seed, spawn_key=(generation, int(purpose), *index))


def numpy_stream(seed: int, generation: int, purpose: Purpose, *index: int) -> np.random.Generator:
    """Return numpy's generator for one stream."""
    return np.random.default_rng(seed_sequence(seed, generation, purpose, *index))


def torch_seed(seed: int, generation: int, purpose: Purpose, *index: int) -> int:
    """Return a 63-bit seed for `torch.Generator.manual_seed`."""
    state = seed_sequence(seed, generation, purpose, *index).generate_state(1, np.uint64)
    return int(state[0] >> np.uint64(1))
