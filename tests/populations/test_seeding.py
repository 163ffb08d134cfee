"""Random streams: distinct for distinct arguments, the same for ever."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from egan.streams import Purpose
from populations.seeding import numpy_stream, seed_sequence, torch_seed

streams = st.tuples(
    st.integers(0, 2**63 - 1),
    st.integers(0, 10**7),
    st.sampled_from(Purpose),
    st.lists(st.integers(0, 1000), max_size=3).map(tuple),
)


def words(stream) -> tuple[int, ...]:
    seed, generation, purpose, index = stream
    return tuple(seed_sequence(seed, generation, purpose, *index).generate_state(4).tolist())


@given(streams, streams)
def test_distinct_arguments_give_distinct_streams(one, other):
    assert (words(one) == words(other)) == (one == other)


@given(streams, st.integers(0, 3), st.integers(1, 5))
def test_neighbours_give_distinct_streams(stream, place, shift):
    seed, generation, purpose, index = stream
    neighbours = [
        (seed + shift, generation, purpose, index),
        (seed, generation + shift, purpose, index),
        (seed, generation, Purpose((purpose + shift) % len(Purpose)), index),
        (seed, generation, purpose, (*index, shift - 1)),  # a trailing 0 is another stream too
    ]
    assert words(neighbours[place]) != words(stream)


def test_all_streams_of_many_generations_are_distinct():
    seeds = {
        torch_seed(seed, generation, purpose, index)
        for seed in range(3)
        for generation in range(40)
        for purpose in Purpose
        for index in range(4)
    }
    assert len(seeds) == 3 * 40 * len(Purpose) * 4


@given(streams)
def test_a_stream_is_a_function_of_its_arguments(stream):
    seed, generation, purpose, index = stream
    one, other = (numpy_stream(seed, generation, purpose, *index) for _ in range(2))
    assert one.random() == other.random()
    number = torch_seed(seed, generation, purpose, *index)
    assert number == torch_seed(seed, generation, purpose, *index)
    assert 0 <= number < 2**63
    torch.Generator().manual_seed(number)


def test_streams_never_change():
    """Other values here mean other results of every run: say so in the release's notes."""
    assert torch_seed(0, 0, Purpose.INITIALISE, 0) == 2_094_613_214_458_313_471
    assert torch_seed(1, 2, Purpose.TRAIN_NOISE, 3, 4) == 2_181_471_394_584_327_808
    assert numpy_stream(7, 11, Purpose.PROPOSAL).integers(0, 10**9, 3).tolist() == [
        397_747_842,
        851_808_945,
        699_180_361,
    ]


def test_the_numbers_of_purposes_never_change():
    numbers = {purpose.name: int(purpose) for purpose in Purpose}
    assert len(set(numbers.values())) == len(numbers)
    assert (
        numbers.items()
        >= {
            "INITIALISE": 0,
            "TRAIN_NOISE": 1,
            "EVALUATION_NOISE": 2,
            "DISCRIMINATOR_NOISE": 3,
            "TRAIN_DATA": 4,
            "EVALUATION_DATA": 5,
            "DISCRIMINATOR_DATA": 6,
            "EPOCH": 7,
            "PROPOSAL": 8,
            "SAMPLE": 9,
            "PENALTY": 10,
        }.items()
    )


def test_a_negative_seed_is_refused():
    with pytest.raises(ValueError):
        torch_seed(-1, 0, Purpose.SAMPLE)
