import hashlib

import numpy as np
import pytest
import torch
from torch import nn

from fitness.cache import digest, digest_file, digest_weights, write_atomically


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


def test_a_files_digest_is_its_sha256(tmp_path):
    (tmp_path / "file").write_bytes(b"content")
    assert digest_file(tmp_path / "file") == hashlib.sha256(b"content").hexdigest()


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "folder" / "file"
    write_atomically(path, lambda file: file.write(b"old"))

    def fail(file):
        file.write(b"half of the ne")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_atomically(path, fail)
    assert path.read_bytes() == b"old"
    assert list(path.parent.iterdir()) == [path]
