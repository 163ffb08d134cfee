"""The FCN score of masks: by hand, and against loops over pixels."""

import pytest
import torch

from fitness.metrics.parts import agreement


def test_values_by_hand():
    wanted = torch.tensor([[[0, 0, 0, 1]]])
    seen = torch.tensor([[[0, 0, 1, 1]]])
    assert agreement(seen, wanted, 4) == pytest.approx(
        {"part-accuracy": 3 / 4, "part-class-accuracy": (2 / 3 + 1) / 2,
         "part-iou": (2 / 3 + 1 / 2) / 2}
    )  # fmt: skip
    assert set(agreement(wanted, wanted, 4).values()) == {1.0}


def test_loops_over_pixels_give_the_same():
    stream = torch.Generator().manual_seed(0)
    seen, wanted = (torch.randint(0, 3, (2, 4, 5), generator=stream) for _ in range(2))
    pairs = list(zip(seen.flatten().tolist(), wanted.flatten().tolist(), strict=True))
    accuracy, overlap = [], []
    for part in range(3):
        there = sum(b == part for _, b in pairs)
        both = sum(a == b == part for a, b in pairs)
        accuracy.append(both / there)
        overlap.append(both / sum(part in pair for pair in pairs))
    found = agreement(seen, wanted, 3)
    assert found["part-class-accuracy"] == pytest.approx(sum(accuracy) / 3)
    assert found["part-iou"] == pytest.approx(sum(overlap) / 3)


def test_masks_of_two_shapes_are_refused():
    with pytest.raises(ValueError, match="cannot be compared"):
        agreement(torch.zeros(1, 2, 2), torch.zeros(1, 2, 3), 2)
