"""Random streams derived from (run seed, generation, purpose, index), never a global generator.

Every stream is a function of these values alone, so any worker can make it again, and no two
purposes share one. A purpose is a number; whoever evolves something defines its own.
"""

import numpy as np

PROPOSAL = 8  # which children are made; the other purposes belong to what evolves


def seed_sequence(seed: int, generation: int, purpose: int, *index: int) -> np.random.SeedSequence:
    """Return the seed of one stream; equal arguments give equal streams on every machine."""
    return np.random.SeedSequence(entropy=seed, spawn_key=(generation, int(purpose), *index))


def numpy_stream(seed: int, generation: int, purpose: int, *index: int) -> np.random.Generator:
    """Return numpy's generator for one stream."""
    return np.random.default_rng(seed_sequence(seed, generation, purpose, *index))


def torch_seed(seed: int, generation: int, purpose: int, *index: int) -> int:
    """Return a 63-bit seed for `torch.Generator.manual_seed`."""
    state = seed_sequence(seed, generation, purpose, *index).generate_state(1, np.uint64)
    return int(state[0] >> np.uint64(1))
