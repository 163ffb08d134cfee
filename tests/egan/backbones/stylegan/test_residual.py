"""StyleGAN2's residual discriminator: its size, and what goes past a block."""

import numpy as np
import pytest
import torch

from egan.backbones.progressive.networks import DownBlock, ResidualDown
from egan.backbones.stylegan import networks as stylegan


def test_the_residual_discriminator_has_the_published_parameters_at_1024_pixels():
    """29,012,513 in the public code of StyleGAN2, which takes images of full size alone."""
    config = stylegan.StyleGANConfig(discriminator="residual", fmap_base=16384)
    layout = stylegan.build(config, (3, 1024, 1024)).discriminator.layout
    lower = [f"from_rgb.{2**level}." for level in range(2, 10)]
    counted = [shape.numel() for name, shape in layout if not name.startswith(tuple(lower))]
    assert sum(counted) == 29_012_513


@pytest.mark.parametrize("taps", [1, 3, 4])
def test_a_residual_block_adds_a_filtered_copy_of_half_the_size(taps, stream):
    """By hand: what goes past is filtered by [1, 3, 3, 1], the box and [1, 2, 1] in one."""
    config = stylegan.StyleGANConfig(fmap_base=32, fmap_max=8)  # 4 channels at 16 pixels, 8 at 8
    block = ResidualDown(config, 16, taps)
    for parameter in block.parameters():
        torch.nn.init.normal_(parameter, generator=stream)
    x = torch.randn(2, 4, 16, 16, generator=stream)
    taps = np.array([1, 3, 3, 1]) / 8 if taps > 1 else np.array([0, 1, 1, 0]) / 2
    padded = np.pad(x.numpy(), ((0, 0), (0, 0), (1, 1), (1, 1)))
    half = np.zeros((2, 4, 8, 8))
    for i, a in enumerate(taps):
        for j, b in enumerate(taps):
            half += a * b * padded[:, :, i : i + 16 : 2, j : j + 16 : 2]
    kernel = block.skip.weight.detach().numpy()[:, :, 0, 0] / np.sqrt(4)
    past = np.einsum("nchw,oc->nohw", half, kernel)
    along = DownBlock.forward(block, x).detach().numpy()
    np.testing.assert_allclose(block(x).detach(), (past + along) / np.sqrt(2), atol=1e-4)
