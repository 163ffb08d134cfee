"""DCGAN's four layers, all of 4 x 4 taps: the library's convolutions, and what beats them.

- `execution.precision: winograd` makes the wide ones with fewer multiplications (`winograd.py`).
- On a GPU, cuDNN is slow with few channels and with single pixels, for it pads and transposes them.
  Such a layer is one matrix product here. To sum a bias's gradient is slow there, too; here it is a
  product with ones.
"""

from typing import Any, cast

from torch import Tensor, nn
from torch.autograd import Function
from torch.nn.functional import conv2d, conv_transpose2d, pad

from egan.backbones.dcgan.winograd import Double, Halve, call, transformed, worthwhile

FEW = 4  # channels, at most, on the narrow side of a layer that is a matrix product on GPUs


class Opening(nn.ConvTranspose2d):
    """The transposed convolution of single pixels (N, C, 1, 1)."""

    def __init__(self, channels: int, out: int, bias: bool) -> None:
        super().__init__(channels, out, 4, 1, 0, bias=bias)

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        """Return (N, out, 4, 4)."""
        return _biased(opened(x, self.weight), self.bias) if x.is_cuda else super().forward(x)


class Doubling(nn.ConvTranspose2d):
    """The transposed convolution that doubles images (N, C, H, W)."""

    winograd = False

    def __init__(self, channels: int, out: int, bias: bool) -> None:
        super().__init__(channels, out, 4, 2, 1, bias=bias)

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        """Return (N, out, 2 H, 2 W)."""
        if self.winograd and worthwhile(self.weight, x, 2):
            return _biased(call(Double, x, transformed(self.weight)), self.bias)
        if not x.is_cuda:
            return super().forward(x)
        if self.out_channels <= FEW:
            return _biased(doubled(x, self.weight), self.bias)
        return _biased(conv_transpose2d(x, self.weight, stride=2, padding=1), self.bias)


class Halving(nn.Conv2d):
    """The convolution that halves images (N, C, H, W)."""

    winograd = False

    def __init__(self, channels: int, out: int, bias: bool) -> None:
        super().__init__(channels, out, 4, 2, 1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, out, H / 2, W / 2)."""
        if self.winograd and worthwhile(self.weight, x, 4):
            return _biased(call(Halve, x, transformed(self.weight)), self.bias)
        if not x.is_cuda:
            return super().forward(x)
        if self.in_channels <= FEW:
            return _biased(halved(x, self.weight), self.bias)
        return _biased(conv2d(x, self.weight, stride=2, padding=1), self.bias)


class Closing(nn.Conv2d):
    """The convolution of images (N, C, 4, 4) to single pixels."""

    def __init__(self, channels: int, out: int, bias: bool) -> None:
        super().__init__(channels, out, 4, 1, 0, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, out, 1, 1)."""
        return _biased(closed(x, self.weight), self.bias) if x.is_cuda else super().forward(x)


# ------------------------------------------------------------------- layers as one matrix product


def opened(x: Tensor, weight: Tensor) -> Tensor:
    """Return images (N, O, 4, 4) of pixels (N, C, 1, 1) and weights (C, O, 4, 4)."""
    return (x.flatten(1) @ _rows(weight)).view(len(x), 4, 4, -1).permute(0, 3, 1, 2)


def closed(x: Tensor, weight: Tensor) -> Tensor:
    """Return pixels (N, O, 1, 1) of images (N, C, 4, 4) and weights (O, C, 4, 4)."""
    return (_rows(x) @ _rows(weight).T)[:, :, None, None]


def halved(x: Tensor, weight: Tensor) -> Tensor:
    """Return images (N, O, h, w) of images (N, C, 2 h, 2 w) and weights (O, C, 4, 4)."""
    windows = pad(x, (1, 1, 1, 1)).unfold(2, 4, 2).unfold(3, 4, 2)  # N C h w, rows and columns
    n, _, h, w = windows.shape[:4]
    patches = windows.permute(0, 2, 3, 4, 5, 1).reshape(n * h * w, -1)
    return (patches @ _rows(weight).T).view(n, h, w, -1).permute(0, 3, 1, 2)


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
    if not x.is_cuda:
        return x.add_(bias[:, None, None])
    return cast(Tensor, _Biased.apply(x, bias))  # type: ignore[no-untyped-call]
