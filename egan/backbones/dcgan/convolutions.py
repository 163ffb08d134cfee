"""DCGAN's four layers, all of 4 x 4 taps: the library's convolutions, and what beats them.

- `execution.precision: winograd` makes the wide ones with fewer multiplications (`winograd.py`).
- With few channels, or single pixels, a layer is one matrix product on a GPU, where cuDNN pads and
  transposes it, and in bfloat16 on a CPU, but for the first layer of D. So is the gradient of the
  weights of many channels and few pixels in bfloat16, which takes the CPU's library three times
  as long as it need.
- To sum a bias's gradient is slow on a GPU. Here it is a product with ones.

In float32 on a CPU all is as the library has it: other sums would give other bits.
"""

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn.functional import conv2d, conv_transpose2d, pad

from egan.backbones.dcgan.trilinear import Trilinear
from egan.backbones.dcgan.winograd import WINOGRAD, transformed, worthwhile

FEW = 4  # channels, at most, on the narrow side of a layer that is one matrix product
SMALL, MANY = 4, 128  # pixels of a side at most, and channels at least, of its weights' gradient


class Layer(nn.Module):
    """What the four have in common: the arithmetic of `execution.precision`."""

    precision = "float32"

    def takes_products(self, x: Tensor) -> bool:
        """Return whether a matrix product beats the library, where one will do."""
        return x.is_cuda or self.precision == "bfloat16"


class Opening(Layer, nn.ConvTranspose2d):
    """The transposed convolution of single pixels (N, C, 1, 1)."""

    def __init__(self, channels: int, out: int, bias: bool) -> None:
        super().__init__(channels, out, 4, 1, 0, bias=bias)

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        """Return (N, out, 4, 4)."""
        if self.takes_products(x):
            return _biased(opened(x, self.weight), self.bias)
        return super().forward(x)


class Doubling(Layer, nn.ConvTranspose2d):
    """The transposed convolution that doubles images (N, C, H, W)."""

    def __init__(self, channels: int, out: int, bias: bool) -> None:
        super().__init__(channels, out, 4, 2, 1, bias=bias)

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        """Return (N, out, 2 H, 2 W)."""
        if self.precision == "winograd" and worthwhile(self.weight, x, 2):
            return _biased(WINOGRAD.doubled(x, transformed(self.weight)), self.bias)
        if self.takes_products(x) and self.out_channels <= FEW:
            return _biased(doubled(x, self.weight), self.bias)
        if x.is_cuda:
            return _biased(_double(x, self.weight), self.bias)
        if self.precision == "bfloat16" and _slow(self.weight, x.shape[-1]):
            return _biased(DIRECT.doubled(x.bfloat16(), self.weight.bfloat16()), self.bias)
        return super().forward(x)


class Halving(Layer, nn.Conv2d):
    """The convolution that halves images (N, C, H, W)."""

    def __init__(self, channels: int, out: int, bias: bool) -> None:
        super().__init__(channels, out, 4, 2, 1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, out, H / 2, W / 2)."""
        if self.precision == "winograd" and worthwhile(self.weight, x, 4):
            return _biased(WINOGRAD.halved(x, transformed(self.weight)), self.bias)
        if x.is_cuda:
            layer = halved if self.in_channels <= FEW else _halve
            return _biased(layer(x, self.weight), self.bias)
        if self.precision == "bfloat16" and _slow(self.weight, x.shape[-1] // 2):
            return _biased(DIRECT.halved(x.bfloat16(), self.weight.bfloat16()), self.bias)
        return super().forward(x)


class Closing(Layer, nn.Conv2d):
    """The convolution of images (N, C, 4, 4) to single pixels."""

    def __init__(self, channels: int, out: int, bias: bool) -> None:
        super().__init__(channels, out, 4, 1, 0, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, out, 1, 1)."""
        if self.takes_products(x):
            return _biased(closed(x, self.weight), self.bias)
        return super().forward(x)


# ------------------------------------------------------------------- layers as one matrix product


def opened(x: Tensor, weight: Tensor) -> Tensor:
    """Return images (N, O, 4, 4) of pixels (N, C, 1, 1) and weights (C, O, 4, 4)."""
    return (x.flatten(1) @ _rows(weight)).view(len(x), 4, 4, -1).permute(0, 3, 1, 2)


def closed(x: Tensor, weight: Tensor) -> Tensor:
    """Return pixels (N, O, 1, 1) of images (N, C, 4, 4) and weights (O, C, 4, 4)."""
    return (_rows(x) @ _rows(weight).T)[:, :, None, None]


def halved(x: Tensor, weight: Tensor) -> Tensor:
    """Return images (N, O, h, w) of images (N, C, 2 h, 2 w) and weights (O, C, 4, 4)."""
    n, _, height, width = x.shape
    y = (_patches(x) @ _rows(weight).T).view(n, height // 2, width // 2, -1)
    return y.permute(0, 3, 1, 2)


def _patches(x: Tensor) -> Tensor:
    """Return what each output of a layer that halves images sees of them, (N h w, 4 4 C)."""
    windows = pad(x, (1, 1, 1, 1)).unfold(2, 4, 2).unfold(3, 4, 2)  # N C h w, rows and columns
    n, _, h, w = windows.shape[:4]
    return windows.permute(0, 2, 3, 4, 5, 1).reshape(n * h * w, -1)


def doubled(x: Tensor, weight: Tensor) -> Tensor:
    """Return images (N, O, 2 h, 2 w) of images (N, C, h, w) and weights (C, O, 4, 4).

    A pixel's 4 x 4 taps are 2 x 2 blocks of 2 x 2 pixels; neighbours' blocks overlap and add up.
    """
    n, _, h, w = x.shape
    pixels = x.permute(0, 2, 3, 1).flatten(0, 2)
    taps = (pixels @ _rows(weight)).view(n, h, w, 2, 2, 2, 2, -1)  # block and pixel, rows first
    rows = _staggered(taps[:, :, :, 0], taps[:, :, :, 1], 1)
    blocks = _staggered(rows[:, :, :, :, 0], rows[:, :, :, :, 1], 2)  # N h+1 w+1, 2 2 O
    images = blocks.transpose(2, 3).reshape(n, 2 * h + 2, 2 * w + 2, -1)
    return images[:, 1:-1, 1:-1].permute(0, 3, 1, 2)


def _rows(tensor: Tensor) -> Tensor:
    """Return a tensor (N, C, H, W) as (N, H W C): no copy where it lies channels-last."""
    return tensor.permute(0, 2, 3, 1).flatten(1)


def _staggered(first: Tensor, second: Tensor, dim: int) -> Tensor:
    """Return the sum of two tensors, the second shifted by one along `dim`."""
    after = [0, 0] * (first.dim() - 1 - dim)
    return pad(first, (*after, 0, 1)) + pad(second, (*after, 1, 0))


# ---------------------------------------------------- the library's, but for the weights' gradient


def _halve(x: Tensor, weight: Tensor) -> Tensor:
    return conv2d(x, weight, stride=2, padding=1)


def _double(y: Tensor, weight: Tensor) -> Tensor:
    return conv_transpose2d(y, weight, stride=2, padding=1)


def _correlate(x: Tensor, y: Tensor) -> Tensor:
    """Return the gradient (O, C, 4, 4) of weights by images (N, C, 2 h, 2 w) and (N, O, h, w)."""
    pixels = y.permute(0, 2, 3, 1).flatten(0, 2)
    weight = (pixels.T @ _patches(x)).view(y.shape[1], 4, 4, x.shape[1])
    return weight.permute(0, 3, 1, 2)


DIRECT = Trilinear(_halve, _double, _correlate)


def _slow(weight: Tensor, side: int) -> bool:
    """Return whether the library's gradient of the weights is slow; `side` is the smaller one."""
    return side <= SMALL and min(weight.shape[:2]) >= MANY


# -------------------------------------------------------------------------------------------- bias


class _Biased(Function):
    """Images (N, C, H, W) plus a bias (C,)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, bias: Tensor) -> Tensor:
        """Return the sum, in the images' type."""
        return x + bias.to(x.dtype)[:, None, None]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the gradients; the bias's is a product with ones."""
        (g,) = gradients
        if not ctx.needs_input_grad[1]:
            return g, None
        pixels = g.permute(0, 2, 3, 1).flatten(0, 2)
        return g, (pixels.new_ones(1, len(pixels)) @ pixels)[0]


def _biased(x: Tensor, bias: Tensor | None) -> Tensor:
    if bias is None:
        return x
    if not x.is_cuda and x.dtype == torch.float32:
        return x.add_(bias[:, None, None])
    return cast(Tensor, _Biased.apply(x, bias))  # type: ignore[no-untyped-call]
