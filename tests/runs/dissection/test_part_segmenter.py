"""The segmenter of parts is trained once, and a damaged one again."""

import numpy as np
import pytest
import torch

from egan.data import avatars
from egan.data.avatar_parts import Parts
from fitness.segmenters.parts import PartSegmenter
from runs.dissection import part_segmenter as module


@pytest.fixture
def trained(monkeypatch, tmp_path):
    """Stand in for drawing and training; note what is trained."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    images = np.random.default_rng(0).integers(0, 255, (20, 3, 8, 8)).astype(np.uint8)
    parts = Parts((images[:, 0] > 99).astype(np.uint8), ("ground", "thing"))
    monkeypatch.setattr(module, "recalled", lambda config: avatars.Drawn(images, {}))
    monkeypatch.setattr(module, "avatar_parts", lambda config: parts)
    calls, train = [], PartSegmenter.trained

    def noted(*arguments, **options):
        calls.append(arguments)
        return train(*arguments, steps=1, **options)

    monkeypatch.setattr(PartSegmenter, "trained", noted)
    return calls


def test_it_is_trained_once_and_kept(trained, tmp_path):
    first, second = (module.part_segmenter("critters", 8) for _ in range(2))
    assert len(trained) == 1 and first.identity == second.identity
    assert first.iou == second.iou
    images = torch.zeros(1, 3, 8, 8)
    assert torch.equal(first.presence(images), second.presence(images))
    (file,) = tmp_path.rglob("*.safetensors")
    file.write_bytes(file.read_bytes()[:100])
    assert module.part_segmenter("critters", 8).identity == first.identity
    assert len(trained) == 2
