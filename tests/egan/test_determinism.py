"""The way to a device."""

import pytest
import torch

from egan.determinism import send
from egan.state import Weights


def test_a_tree_is_sent_whole():
    tree = {"a": Weights(torch.ones(2), {"b": torch.zeros(3)}), "c": (torch.ones(1), None)}
    sent = send(tree, torch.device("meta"))
    assert sent["a"].params.is_meta and sent["a"].buffers["b"].shape == (3,)
    assert sent["c"][0].is_meta and sent["c"][1] is None
    assert send(tree, torch.device("cpu"))["a"].params is tree["a"].params


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_what_is_sent_to_a_gpu_arrives_though_its_source_is_gone():
    device = torch.device("cuda")
    sent = [send(torch.full((1 << 20,), float(i)), device) for i in range(32)]
    assert [tensor.max().item() for tensor in sent] == list(range(32))
    assert [tensor.min().item() for tensor in sent] == list(range(32))
