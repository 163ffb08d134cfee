"""The generator of CycleGAN (Zhu et al., arXiv 1703.10593; Johnson et al., 1603.08155).

Two halvings, residual blocks, two doublings, mirrored margins. With width 64 and nine blocks it has
the published 11,378,179 parameters, with six 7,837,699.

The doublings are transposed convolutions, as published, or nearest-neighbour enlargement and a
convolution (Odena et al., *Deconvolution and checkerboard artifacts*, Distill 2016), which has as
many parameters and leaves no checkerboard.
"""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import relu

from egan.backbones.translation.layers import Dropout, Norm, Reflection, biased, norm, reflected

Upsampling = Literal["transposed", "resized"]


class Block(nn.Module):
    """x + F(x), F two convolutions (He et al., 1512.03385)."""

    def __init__(self, channels: int, kind: Norm, dropout: float, place: int) -> None:
        super().__init__()
        bias = biased(kind)
        self.first = nn.Sequential(
            Reflection(1), nn.Conv2d(channels, channels, 3, bias=bias), *norm(kind, channels)
        )
        self.drop = Dropout(dropout, place)
        self.second = nn.Sequential(
            Reflection(1), nn.Conv2d(channels, channels, 3, bias=bias), *norm(kind, channels)
        )

    def forward(self, x: Tensor, seeds: Tensor) -> Tensor:
        """Return features of the same shape."""
        return x + self.second(self.drop(relu(self.first(x)), seeds))  # type: ignore[no-any-return]


class Enlargement(nn.Module):
    """Every pixel four times, (N, C, 2 H, 2 W)."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the enlarged images."""
        n, c, h, w = x.shape
        return x[:, :, :, None, :, None].expand(n, c, h, 2, w, 2).reshape(n, c, 2 * h, 2 * w)


def _doubling(channels: int, out: int, up: Upsampling, bias: bool) -> list[nn.Module]:
    if up == "transposed":
        return [nn.ConvTranspose2d(channels, out, 3, 2, 1, output_padding=1, bias=bias)]
    return [Enlargement(), Reflection(1), nn.Conv2d(channels, out, 3, bias=bias)]


class ResNet(nn.Module):
    """Images (N, C, H, W), sides multiples of 4, to images (N, O, H, W) in [-1, 1]."""

    def __init__(
        self,
        channels: int,
        out: int,
        width: int,
        blocks: int,
        kind: Norm,
        dropout: float,
        up: Upsampling,
    ) -> None:
        super().__init__()
        bias = biased(kind)
        layers: list[nn.Module] = [Reflection(3), nn.Conv2d(channels, width, 7, bias=bias)]
        layers += [*norm(kind, width), nn.ReLU()]
        for size in (width, 2 * width):
            layers += [nn.Conv2d(size, 2 * size, 3, 2, 1, bias=bias)]
            layers += [*norm(kind, 2 * size), nn.ReLU()]
        self.encoder = nn.Sequential(*layers)
        self.blocks = nn.ModuleList(Block(4 * width, kind, dropout, n) for n in range(blocks))
        layers = []
        for size in (4 * width, 2 * width):
            layers += _doubling(size, size // 2, up, bias)
            layers += [*norm(kind, size // 2), nn.ReLU()]
        self.decoder = nn.Sequential(*layers)
        self.last = nn.Conv2d(width, out, 7)

    def forward(self, x: Tensor, seeds: Tensor) -> Tensor:
        """Return the translated images; `seeds` (N,) int64 say what dropout drops."""
        x = self.encoder(x)
        for block in self.blocks:
            x = block(x, seeds)
        return torch.tanh(self.last(reflected(self.decoder(x), 3)))
