"""Layers that translators and their critics share."""

from typing import Literal

import torch
from torch import Tensor, nn

from egan.backbones.philox import key_of, philox

Norm = Literal["batch", "instance", "none"]


def norm(kind: Norm, channels: int) -> list[nn.Module]:
    """Return the normaliser of so many channels, if any; an instance's has no weights."""
    if kind == "batch":
        return [nn.BatchNorm2d(channels)]
    return [nn.InstanceNorm2d(channels)] if kind == "instance" else []


def biased(kind: Norm) -> bool:
    """Return whether a convolution before that normaliser has a bias: a batch's brings its own."""
    return kind != "batch"


def reflected(x: Tensor, width: int) -> Tensor:
    """Return images (N, C, H, W) with a mirrored margin, without a second copy of the edge.

    Torch's own reflection padding has a backward pass on GPUs whose bits differ from call to call.
    """
    for dim in (2, 3):
        side = x.shape[dim]
        before = x.narrow(dim, 1, width).flip(dim)
        after = x.narrow(dim, side - width - 1, width).flip(dim)
        x = torch.cat([before, x, after], dim)
    return x


class Reflection(nn.Module):
    """`reflected` as a layer."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width

    def forward(self, x: Tensor) -> Tensor:
        """Return images with a margin."""
        return reflected(x, self.width)


class Dropout(nn.Module):
    """Srivastava et al. (JMLR 15, 2014) as a function of each sample's seed.

    `place` tells the layers of a network apart. A unit is kept with probability 1 - p, and then
    multiplied by 1 / (1 - p); in evaluation mode nothing is dropped.
    """

    def __init__(self, p: float, place: int) -> None:
        super().__init__()
        self.p = p
        self.place = place

    def forward(self, x: Tensor, seeds: Tensor) -> Tensor:
        """Return x (N, ...) with the units dropped that `seeds` (N,) int64 say."""
        if not self.training or not self.p:
            return x
        units = x[0].numel()
        blocks = torch.arange(-(-units // 4), device=x.device)[None]
        zero = torch.zeros_like(blocks[:, :1])
        words = philox((blocks, zero + self.place, zero, zero), key_of(seeds))
        bits = torch.stack(words, 2).flatten(1)[:, :units]  # (N, units), in [0, 2^32)
        kept = (bits >= self.p * 2**32).view(x.shape)
        return x * kept.to(x.dtype) / (1 - self.p)


class Initialiser:
    """Draws weights from N(0, gain) and normalisers' gains from N(1, gain), as published."""

    def __init__(self, gain: float) -> None:
        self.gain = gain

    def __call__(self, module: nn.Module, generator: torch.Generator) -> None:
        """Fill a layer from the generator."""
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(module.weight, 0.0, self.gain, generator=generator)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
            nn.init.normal_(module.weight, 1.0, self.gain, generator=generator)
            nn.init.zeros_(module.bias)
