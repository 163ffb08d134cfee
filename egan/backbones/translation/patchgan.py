"""PatchGAN (Isola et al., arXiv 1611.07004, section 3.3): a critic with a logit for each patch.

`layers` convolutions halve the image, two more of stride 1 follow; "pixel" judges each pixel for
itself. With three, width 64 and six channels it has the published 2,768,705 parameters and patches
of 70 x 70 pixels.
"""

from typing import Literal

from torch import Tensor, nn

from egan.backbones.dcgan.convolutions import Halving
from egan.backbones.translation.layers import Norm, biased, norm

Layers = int | Literal["pixel"]
LARGEST_MULTIPLE = 8  # the widest layer, in units of the width
USUAL = 3  # layers, at most, where the config does not say: the paper's at 256 px


def strides(layers: Layers) -> list[tuple[int, int]]:
    """Return each convolution's (kernel, stride)."""
    return [(1, 1)] * 3 if layers == "pixel" else [(4, 2)] * layers + [(4, 1)] * 2


def receptive_field(layers: Layers) -> int:
    """Return the side of the patch that one logit sees, in pixels."""
    side = 1
    for kernel, stride in reversed(strides(layers)):
        side = (side - 1) * stride + kernel
    return side


def logits(layers: Layers, side: int) -> int:
    """Return how many patches lie along a side of the image; below 1 the image is too small."""
    for kernel, stride in strides(layers):
        padding = 0 if kernel == 1 else 1
        side = (side + 2 * padding - kernel) // stride + 1
        if side < 1:
            return 0
    return side


def fitting(height: int, width: int) -> int:
    """Return the most layers, up to the usual number, whose patch lies within the image."""
    side = min(height, width)
    return max([n for n in range(1, USUAL + 1) if receptive_field(n) <= side], default=1)


class PatchGAN(nn.Module):
    """Images (N, C, H, W), or pairs of them side by side in C, to logits (N, 1, h, w)."""

    def __init__(self, channels: int, width: int, layers: Layers, kind: Norm) -> None:
        super().__init__()
        bias = biased(kind)
        if layers == "pixel":
            made: list[nn.Module] = [nn.Conv2d(channels, width, 1), nn.LeakyReLU(0.2)]
            made += [nn.Conv2d(width, 2 * width, 1, bias=bias), *norm(kind, 2 * width)]
            made += [nn.LeakyReLU(0.2), nn.Conv2d(2 * width, 1, 1, bias=bias)]
            self.layers = nn.Sequential(*made)
            return
        sizes = [width * min(2**level, LARGEST_MULTIPLE) for level in range(layers + 1)]
        made = [Halving(channels, sizes[0], True), nn.LeakyReLU(0.2)]
        for level in range(1, layers + 1):
            before, after = sizes[level - 1 : level + 1]
            last = level == layers
            made += [
                nn.Conv2d(before, after, 4, 1, 1, bias=bias)
                if last
                else Halving(before, after, bias)
            ]
            made += [*norm(kind, after), nn.LeakyReLU(0.2)]
        made += [nn.Conv2d(sizes[-1], 1, 4, 1, 1)]
        self.layers = nn.Sequential(*made)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of all patches."""
        found: Tensor = self.layers(x)
        return found
