"""Trees of tensors: taken apart, put together, refused, copied."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from egan.state import Weights
from egan.tensor_tree import copies, copy, filled, leaves, mapped

trees = st.recursive(
    st.none() | st.builds(torch.tensor, st.lists(st.floats(-9, 9), max_size=3)),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(max_size=2), inner, max_size=3)
        | st.builds(Weights, inner, st.dictionaries(st.text(max_size=2), inner, max_size=2))
    ),
    max_leaves=8,
)


@given(trees)
def test_a_tree_is_filled_with_its_own_leaves(tree):
    assert repr(filled(tree, leaves(tree))) == repr(tree)


@given(trees)
def test_leaves_are_what_a_map_meets(tree):
    met = []
    mapped(tree, met.append)
    assert list(map(id, met)) == list(map(id, leaves(tree)))


@pytest.mark.parametrize("function", [leaves, lambda tree: mapped(tree, torch.neg)])
@pytest.mark.parametrize("foreign", [2.0, "two", Weights])
def test_anything_else_is_refused(function, foreign):
    with pytest.raises(TypeError, match="a tree is of tensors, and this is a"):
        function({"a": [torch.ones(1), foreign]})


def test_copies_have_values_types_and_layouts_of_their_own():
    tensors = [
        torch.arange(6.0).view(2, 3),
        torch.tensor(7),
        torch.arange(24.0).view(1, 2, 3, 4).to(memory_format=torch.channels_last),
    ]
    for mine, theirs in zip(copies(tensors), tensors, strict=True):
        assert torch.equal(mine, theirs) and mine.dtype == theirs.dtype
        assert mine.stride() == theirs.stride() and mine.data_ptr() != theirs.data_ptr()
    assert copies([]) == []


def test_a_copy_casts_to_its_targets_type():
    sources = [torch.tensor([1.5]), torch.tensor([2.5]).bfloat16(), torch.tensor([3])]
    targets = [torch.zeros(1), torch.zeros(1), torch.zeros(1)]
    copy(sources, targets)
    assert [target.item() for target in targets] == [1.5, 2.5, 3.0]
