"""U-Net (Ronneberger et al., arXiv 1505.04597) as the generator of Isola et al., 1611.07004.

An encoder of `downs` halvings, a decoder of as many doublings; each level of the encoder is handed
to the same level of the decoder. At 256 px with eight levels and width 64 it has the published
54,413,955 parameters. There is no norm on the outermost and on the innermost level, whose single
pixel a norm would make zero.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu, relu

from egan.backbones.dcgan.convolutions import Doubling, Halving
from egan.backbones.translation.layers import Dropout, Norm, biased, norm

LARGEST_MULTIPLE = 8  # the widest level, in units of the width
UNDROPPED = 5  # levels without dropout: the innermost, and those narrower than the widest


class UNet(nn.Module):
    """Images (N, C, H, W), sides multiples of 2^downs, to images (N, O, H, W) in [-1, 1]."""

    def __init__(
        self,
        channels: int,
        out: int,
        width: int,
        downs: int,
        kind: Norm,
        dropout: float,
        skips: bool = True,
    ) -> None:
        super().__init__()
        self.skips = skips
        bias = biased(kind)
        sizes = [width * min(2**level, LARGEST_MULTIPLE) for level in range(downs)]
        inner = range(1, downs - 1)  # all levels but the outermost and the innermost
        self.downs = nn.ModuleList(
            nn.Sequential(
                Halving(sizes[level - 1] if level else channels, sizes[level], bias),
                *(norm(kind, sizes[level]) if level in inner else ()),
            )
            for level in range(downs)
        )
        self.ups = nn.ModuleList(
            nn.Sequential(
                Doubling(
                    sizes[level] * (2 if skips and level < downs - 1 else 1),
                    sizes[level - 1] if level else out,
                    not level or bias,
                ),
                *(norm(kind, sizes[level - 1]) if level else ()),
            )
            for level in range(downs)
        )
        self.drops = nn.ModuleDict(
            {
                str(level): Dropout(dropout, level)
                for level in range(UNDROPPED - 1, downs - 1)
                if dropout
            }
        )

    def forward(self, x: Tensor, seeds: Tensor) -> Tensor:
        """Return the translated images; `seeds` (N,) int64 say what dropout drops."""
        encoded = []
        for level, down in enumerate(self.downs):
            x = down(leaky_relu(x, 0.2) if level else x)
            encoded.append(x)
        for level in reversed(range(len(self.ups))):
            if self.skips and level < len(self.ups) - 1:
                x = torch.cat([encoded[level], x], 1)
            x = self.ups[level](relu(x))
            if str(level) in self.drops:
                x = self.drops[str(level)](x, seeds)
        return torch.tanh(x)
