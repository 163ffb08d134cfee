"""The segmenter of parts: it learns exact masks, to the bit by its seed, through blur and noise."""

import json

import pytest
import torch

from fitness.segmenters.parts import PartSegmenter, disturbed, held_out_iou

CLASSES = ("ground", "square", "bar")


def drawings(count, seed=0):
    """Images (N, 3, 16, 16) of a red square or a green bar on any dark ground, and their masks."""
    stream = torch.Generator().manual_seed(seed)
    images = torch.empty(count, 3, 16, 16, dtype=torch.uint8)
    masks = torch.zeros(count, 16, 16, dtype=torch.uint8)
    for image, mask in zip(images, masks, strict=True):
        image[:] = torch.randint(60, (3, 1, 1), generator=stream)
        top, left = torch.randint(2, 9, (2,), generator=stream).tolist()
        mask[top : top + 5, left : left + 5] = 1
        mask[13:15] = 2
        image[:, mask == 1] = torch.tensor([[220], [30], [30]], dtype=torch.uint8)
        image[:, mask == 2] = torch.tensor([[30], [200], [60]], dtype=torch.uint8)
    return images, masks


@pytest.fixture(scope="module")
def segmenter():
    return PartSegmenter.trained(*drawings(24), CLASSES, steps=40)


def test_it_finds_the_parts_of_images_that_it_has_not_seen(segmenter):
    assert min(segmenter.iou) > 0.9
    assert min(held_out_iou(segmenter, *drawings(20, seed=5))) > 0.9


def test_presence_is_a_probability_and_can_be_climbed(segmenter):
    images = (drawings(2)[0].float() / 127.5 - 1).requires_grad_()
    sure = segmenter.presence(images)
    assert sure.shape == (2, 3, 16, 16)
    assert torch.allclose(sure.sum(1), torch.ones(2, 16, 16))
    sure[:, 1].sum().backward()
    assert images.grad.abs().sum() > 0
    masks = segmenter.masks(images)
    assert masks.dtype == torch.bool and masks.sum(1).eq(1).all()


def test_the_same_seed_gives_the_same_bits_and_another_one_others():
    def made(seed):
        return PartSegmenter.trained(*drawings(20), CLASSES, steps=2, seed=seed).identity

    assert made(1) == made(1) != made(2)


def test_a_segmenter_comes_back_from_its_state(segmenter):
    again = PartSegmenter.restored(*segmenter.state())
    assert (again.identity, again.classes, again.iou) == (
        segmenter.identity, segmenter.classes, segmenter.iou
    )  # fmt: skip
    with pytest.raises(ValueError, match="made by recipe 0"):
        PartSegmenter.restored(segmenter.state()[0], segmenter.state()[1] | {"recipe": 0})


def test_a_class_that_no_held_out_image_has_keeps_its_iou_of_nan(segmenter):
    found = PartSegmenter(segmenter.network, CLASSES, (0.5, float("nan"), 1.0))
    state, about = found.state()
    again = PartSegmenter.restored(state, json.loads(json.dumps(about, allow_nan=False)))
    assert again.iou[::2] == (0.5, 1.0) and again.iou[1] != again.iou[1]


def test_disturbed_images_keep_their_shape_and_come_from_the_generator():
    images = drawings(4)[0].float() / 127.5 - 1
    first, second = (disturbed(images, torch.Generator().manual_seed(3)) for _ in range(2))
    assert first.shape == images.shape and torch.equal(first, second)
    assert 0.01 < (first - images).abs().mean() < 0.5


def test_images_that_do_not_fit_are_refused(segmenter):
    with pytest.raises(ValueError, match=r"of 3 channels whose.*1 x 16 x 16 arrived"):
        segmenter.presence(torch.zeros(1, 1, 16, 16))
    with pytest.raises(ValueError, match="multiples of 4"):
        segmenter.presence(torch.zeros(1, 3, 18, 16))
    images, masks = drawings(20)
    with pytest.raises(ValueError, match="at least 20 images"):
        PartSegmenter.trained(images[:5], masks[:5], CLASSES)
    with pytest.raises(ValueError, match="class 2, and there are 2 names"):
        PartSegmenter.trained(images, masks, CLASSES[:2])
