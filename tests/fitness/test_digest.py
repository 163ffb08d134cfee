import numpy as np
import pytest
import torch
from torch import nn

from fitness.digest import digest, digest_weights


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (("ab", "c"), ("a", "bc")),
        ((1,), ("1",)),
        ((np.zeros(4),), (np.zeros((2, 2)),)),
        ((np.zeros(2, np.float32),), (np.zeros(1, np.float64),)),
    ],
)
def test_different_contents_have_different_digests(a, b):
    assert digest(*a) != digest(*b)


def test_a_tensor_and_its_array_have_one_digest_whatever_their_strides():
    array = np.arange(6).reshape(2, 3)
    assert digest(array.T) == digest(torch.from_numpy(array.T.copy()))


def test_a_changed_weight_changes_the_digest():
    with torch.random.fork_rng():
        layer = nn.Linear(2, 2)
    before = digest_weights(layer)
    layer.bias.data[0] += 1
    assert digest_weights(layer) != before
