"""How near translations are to their targets, image by image: L1, PSNR, SSIM."""

import torch
from torch import Tensor

from fitness.metrics.ssim import similarity

NEAREST = 1e-10  # mean squared error of what counts as equal: 100 dB


def l1(images: Tensor, targets: Tensor) -> Tensor:
    """Return each image's mean absolute difference (N,), from 0 to 1, of uint8 (N, C, H, W)."""
    return _difference(images, targets).abs().mean(1)


def psnr(images: Tensor, targets: Tensor) -> Tensor:
    """Return each image's peak signal-to-noise ratio (N,) in dB, at most 100: -10 log10(MSE)."""
    mse = _difference(images, targets).square().mean(1)
    return -10 * torch.log10(mse.clamp(min=NEAREST))


def ssim(images: Tensor, targets: Tensor) -> Tensor:
    """Return each image's structural similarity (N,); see `fitness.metrics.ssim`."""
    found = [similarity(a[None], b[None]) for a, b in zip(images, targets, strict=True)]
    return torch.tensor(found, dtype=torch.float64)


def _difference(images: Tensor, targets: Tensor) -> Tensor:
    """Return the differences (N, D) of pixels in [0, 1].

    Raises:
        ValueError: images of two shapes.
    """
    if images.shape != targets.shape:
        raise ValueError(f"{tuple(images.shape)} and {tuple(targets.shape)} cannot be compared")
    return (images.double() - targets.double()).flatten(1) / 255


FIDELITY = {"l1": l1, "psnr": psnr, "target-ssim": ssim}
