"""How near images are to their targets: values by hand, and what a shift or noise does."""

import math

import pytest
import torch

from fitness.metrics.fidelity import l1, psnr, ssim


def test_values_by_hand():
    a = torch.zeros(2, 1, 12, 12, dtype=torch.uint8)
    b = a.clone()
    b[1] += 51  # a fifth of the range
    assert l1(a, b).tolist() == pytest.approx([0, 0.2])
    assert psnr(a, b).tolist() == pytest.approx([100, -20 * math.log10(0.2)])
    assert ssim(a, a).tolist() == pytest.approx([1, 1])


def test_noise_makes_all_of_them_worse():
    stream = torch.Generator().manual_seed(0)
    clean = torch.randint(0, 200, (3, 3, 16, 16), generator=stream).to(torch.uint8)
    little, much = (
        clean + torch.randint(0, top, clean.shape, generator=stream).to(torch.uint8)
        for top in (5, 50)
    )
    assert (l1(little, clean) < l1(much, clean)).all()
    assert (psnr(little, clean) > psnr(much, clean)).all()
    assert (ssim(little, clean) > ssim(much, clean)).all()


def test_images_of_two_shapes_are_refused():
    with pytest.raises(ValueError, match="cannot be compared"):
        l1(torch.zeros(1, 1, 12, 12), torch.zeros(1, 1, 12, 13))
