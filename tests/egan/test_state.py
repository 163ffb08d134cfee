"""The state as a value: its checksum sees every bit, and its tensors rebuild it."""

from dataclasses import replace
from math import isqrt

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from egan import state as module
from egan.state import EvolutionState, Genome, Moments, Network, Weights, checksum, unpack


def network(stream: torch.Generator, size: int, step: int) -> Network:
    params, first, second = torch.randn(3, size, generator=stream)
    buffers = {
        "norm.running_mean": torch.randn(4, generator=stream),
        "norm.num_batches_tracked": torch.tensor(step),
        "a.running_var": torch.rand(5, generator=stream),
    }
    return Network(Weights(params, buffers), Moments(first, second.abs(), step))


def state_of(parents: int = 2, size: int = 200, seed: int = 0) -> EvolutionState:
    stream = torch.Generator().manual_seed(seed)
    genomes = []
    for index in range(parents):
        networks = {role: network(stream, size, 3 + index) for role in ("generator", "encoder")}
        average = {role: network(stream, size, 0).weights for role in networks}
        genomes.append(Genome(networks, average))
    return EvolutionState(7, tuple(genomes), {"discriminator": network(stream, size + 3, 9)})


def rebuilt(state: EvolutionState, changed: dict[str, torch.Tensor]) -> EvolutionState:
    return unpack(dict(state.tensors()) | changed, state.generation, state.steps())


STATE = state_of()
TENSORS = dict(STATE.tensors())
CHECKSUM = checksum(STATE)


def test_a_checksum_is_16_hex_digits_and_a_function_of_the_value():
    assert len(CHECKSUM) == 16 and int(CHECKSUM, 16) >= 0
    assert checksum(state_of()) == CHECKSUM
    assert checksum(state_of(seed=1)) != CHECKSUM


@pytest.mark.parametrize("size", [1, 2, 35, 36, 37, 1000, 70_001])
@pytest.mark.parametrize("block", [1, 64, module.BLOCK])
def test_hashes_are_those_of_torch(monkeypatch, size, block):
    monkeypatch.setattr(module, "BLOCK", block)
    vector = torch.randn(size, generator=torch.Generator().manual_seed(size))
    vector[0], vector[size // 2] = float("nan"), -float("inf")
    columns = isqrt(size)
    grid = torch.nn.functional.pad(vector, (0, -size % columns)).view(-1, columns)
    across, down = module._hashes_of_blocks(vector.numpy(), columns)
    assert torch.equal(across, torch.hash_tensor(grid, dim=0))
    assert torch.equal(down, torch.hash_tensor(grid, dim=1))


def test_a_signalling_nan_is_no_warning():
    name = "parents.0.generator.buffers.norm.running_mean"
    changed = TENSORS[name].clone()
    changed.view(-1).view(torch.int32)[0] = 0x7F800001
    assert checksum(rebuilt(STATE, {name: changed})) != CHECKSUM


@given(st.data())
def test_any_single_bit_changes_the_checksum(data):
    name = data.draw(st.sampled_from(sorted(TENSORS)))
    changed = TENSORS[name].clone()
    words = changed.view(-1).view(torch.int32)
    place = data.draw(st.integers(0, words.numel() - 1))
    bit = data.draw(st.integers(0, 31))
    words[place] ^= torch.tensor(1 << bit, dtype=torch.int64).to(torch.int32)
    assert checksum(rebuilt(STATE, {name: changed})) != CHECKSUM


@given(st.data())
def test_swapping_two_values_changes_the_checksum(data):
    name = data.draw(st.sampled_from([n for n in sorted(TENSORS) if TENSORS[n].numel() > 1]))
    changed = TENSORS[name].clone()
    places = st.integers(0, changed.numel() - 1)
    one, other = data.draw(st.tuples(places, places).filter(lambda pair: pair[0] != pair[1]))
    changed[[one, other]] = changed[[other, one]]
    assert not torch.equal(changed, TENSORS[name])
    assert checksum(rebuilt(STATE, {name: changed})) != CHECKSUM


@given(st.data())
def test_changing_the_sign_of_two_values_changes_the_checksum(data):
    """The same bit twice: a plain XOR of all values would not see it."""
    changed = TENSORS["discriminator.params"].clone()
    places = data.draw(
        st.lists(st.integers(0, len(changed) - 1), min_size=2, max_size=2, unique=True)
    )
    changed[places] *= -1
    assert checksum(rebuilt(STATE, {"discriminator.params": changed})) != CHECKSUM


def test_swapping_two_parents_or_two_tensors_changes_the_checksum():
    assert checksum(replace(STATE, parents=STATE.parents[::-1])) != CHECKSUM
    first, second = "discriminator.first_moment", "discriminator.second_moment"
    swapped = {first: TENSORS[second], second: TENSORS[first]}
    assert checksum(rebuilt(STATE, swapped)) != CHECKSUM


def test_generation_and_step_counts_are_part_of_the_checksum():
    assert checksum(replace(STATE, generation=8)) != CHECKSUM
    for name, steps in STATE.steps().items():
        other = STATE.steps() | {name: steps + 1}
        assert checksum(unpack(TENSORS, STATE.generation, other)) != CHECKSUM, name


def test_the_number_of_threads_is_not_part_of_the_checksum():
    before = torch.get_num_threads()
    large = state_of(size=100_003)
    try:
        torch.set_num_threads(1)
        one = checksum(large)
        torch.set_num_threads(4)
        assert checksum(large) == one
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("parents", [1, 2, 11])
def test_unpacking_what_a_state_yields_gives_the_state(parents):
    state = state_of(parents)
    again = unpack(dict(state.tensors()), state.generation, state.steps())
    assert checksum(again) == checksum(state)
    assert again.steps() == state.steps() and again.generation == state.generation
    names = [name for name, _ in state.tensors()]
    assert [name for name, _ in again.tensors()] == names
    assert len(names) == len(set(names)) == parents * 2 * (6 + 4) + 6
    assert list(again.parents[0].networks) == ["generator", "encoder"]


@given(st.permutations(sorted(TENSORS)))
def test_the_order_in_which_a_file_gives_the_tensors_does_not_matter(order):
    shuffled = {name: TENSORS[name] for name in order}
    assert checksum(unpack(shuffled, STATE.generation, STATE.steps())) == CHECKSUM


def test_a_missing_tensor_is_an_error():
    tensors = {name: t for name, t in TENSORS.items() if name != "discriminator.params"}
    with pytest.raises(KeyError, match=r"discriminator\.params"):
        unpack(tensors, STATE.generation, STATE.steps())
