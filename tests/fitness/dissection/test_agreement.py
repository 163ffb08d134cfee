"""Agreement of units with classes: against plain Python, thresholds and cases by hand."""

from math import log

import pytest
import torch

from fitness.dissection.agreement import agreement, information_quality, intersection_over_union
from fitness.dissection.tally import Tally


def tally_of(maps, masks, thresholds):
    found = Tally.empty(maps.shape[1], thresholds.shape[1], masks.shape[1])
    found.add(maps, masks, thresholds)
    return found


def quality(active, seen):
    """I(a; s) / H(a, s) of two lists of truths, in plain Python."""
    n = len(active)
    joint = [sum(a == x and s == y for a, s in zip(active, seen, strict=True)) / n
             for x in (0, 1) for y in (0, 1)]  # fmt: skip
    a, s = sum(active) / n, sum(seen) / n

    def entropy(*shares):
        return -sum(p * log(p) for p in shares if p > 0)

    h = entropy(*joint)
    return (entropy(a, 1 - a) + entropy(s, 1 - s) - h) / h if h else 0.0


def test_ratio_and_iou_are_those_of_plain_python():
    stream = torch.Generator().manual_seed(0)
    masks = torch.rand(3, 2, 6, 6, generator=stream) > 0.7
    maps = torch.rand(3, 2, 6, 6, generator=stream) + 0.5 * masks
    thresholds = torch.tensor([[0.2, 0.6, 0.9], [0.1, 0.5, 1.1]])
    tally = tally_of(maps, masks, thresholds)
    ratio, iou = information_quality(tally), intersection_over_union(tally)
    for unit in range(2):
        for level in range(3):
            for place in range(2):
                active = (maps[:, unit] > thresholds[unit, level]).flatten().tolist()
                seen = masks[:, place].flatten().tolist()
                pairs = list(zip(active, seen, strict=True))
                by_hand = sum(a and s for a, s in pairs) / sum(a or s for a, s in pairs)
                assert float(iou[unit, level, place]) == pytest.approx(by_hand)
                assert float(ratio[unit, level, place]) == pytest.approx(quality(active, seen))


def test_the_threshold_of_a_class_is_the_one_that_separates_it_by_hand():
    # A unit is 3 where A is, 2 where B is, and 1 elsewhere.
    maps = torch.ones(1, 1, 4, 4)
    masks = torch.zeros(1, 2, 4, 4, dtype=torch.bool)
    maps[0, 0, 0], masks[0, 0, 0] = 3, True
    maps[0, 0, 1], masks[0, 1, 1] = 2, True
    thresholds = torch.tensor([[0.5, 1.5, 2.5]])
    tally = tally_of(maps, masks, thresholds)
    found = agreement(thresholds, tally, tally)
    assert found.thresholds[0, 0] == 2.5
    assert (found.iou[0, 0], found.ratio[0, 0]) == (1, pytest.approx(1))
    assert found.labels.tolist() == [0] and found.detectors.tolist() == [True]
    assert found.thresholds[0, 1] == 1.5 and found.iou[0, 1] == 0.5


def test_a_threshold_of_zero_is_no_choice_where_a_larger_one_does():
    mask = torch.zeros(1, 1, 4, 4, dtype=torch.bool)
    mask[:, :, :2] = True
    thresholds = torch.tensor([[-1.0, 0.0, 0.4]])
    tally = tally_of(mask.float(), mask, thresholds)
    found = agreement(thresholds, tally, tally)
    assert found.thresholds[0, 0] == pytest.approx(0.4) and found.iou[0, 0] == 1


def test_thresholds_are_chosen_on_one_set_and_judged_on_the_other():
    thresholds = torch.tensor([[0.5]])
    mask = torch.zeros(1, 1, 4, 4, dtype=torch.bool)
    mask[:, :, :2] = True
    chosen = tally_of(mask.float(), mask, thresholds)
    judged = tally_of(1 - mask.float(), mask, thresholds)
    found = agreement(thresholds, chosen, judged)
    assert found.iou.tolist() == [[0]] and found.ratio[0, 0] == pytest.approx(1)
    assert not found.detectors.any()


def test_rare_classes_and_thresholds_that_are_not_positive_agree_with_nothing():
    mask = torch.zeros(1, 2, 40, 40, dtype=torch.bool)
    mask[0, 0, 39, 39] = True  # one pixel of 1,600
    mask[0, 1, :20] = True
    maps = torch.cat([mask[:, :1], mask[:, 1:]], 1).float()
    thresholds = torch.tensor([[0.5], [0.5]])
    tally = tally_of(maps, mask, thresholds)
    assert agreement(thresholds, tally, tally).iou.tolist() == [[0, 0], [0, 1]]
    below = tally_of(maps - 1, mask, thresholds - 1)
    assert not agreement(thresholds - 1, below, below).iou.any()


def test_what_is_certain_has_no_information():
    mask = torch.ones(1, 1, 2, 2, dtype=torch.bool)
    tally = tally_of(torch.ones(1, 1, 2, 2), mask, torch.tensor([[0.5]]))
    assert information_quality(tally).tolist() == [[[0.0]]]
