"""The layers that ProGAN (Karras et al., arXiv 1710.10196) and StyleGAN (1812.04948) are made of.

Each follows the published code: equalised learning rate, normalisations, the [1, 2, 1] filter,
resampling fused with its convolution, and the minibatch standard deviation.
"""

from abc import abstractmethod
from math import sqrt
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import (
    avg_pool2d,
    conv2d,
    conv_transpose2d,
    instance_norm,
    interpolate,
    linear,
    pad,
)
from torch.nn.functional import leaky_relu as _leaky_relu

EPSILON = 1e-8
RELU_GAIN = sqrt(2)  # He et al., 1502.01852
Resample = Literal["none", "up", "down"]
Taps = Literal[
    1, 3, 4
]  # of the filter beside a change of resolution: none, [1, 2, 1], [1, 3, 3, 1]


class Layer(nn.Module):
    """A module that fills its own parameters and buffers from a generator."""

    @abstractmethod
    def reset(self, generator: torch.Generator) -> None:
        """Set this module's own tensors, not its children's, to their initial values."""


def initialise(module: nn.Module, generator: torch.Generator) -> None:
    """Fill one module as published: weights normal, biases zero."""
    if isinstance(module, Layer):
        module.reset(generator)


# ------------------------------------------------------------------------- functions of activations


def leaky_relu(x: Tensor) -> Tensor:
    """Return x where it is positive, 0.2 x elsewhere."""
    return _leaky_relu(x, 0.2)


def pixel_norm(x: Tensor) -> Tensor:
    """Divide by the root mean square over channels (N, C, ...): 1710.10196, section 4.2."""
    return x * (x.square().mean(1, keepdim=True) + EPSILON).rsqrt()


def adaptive_instance_norm(x: Tensor, style: Tensor) -> Tensor:
    """AdaIN, 1812.04948, equation 1: (y_s + 1) (x - mean(x)) / std(x) + y_b.

    `x` is (N, C, H, W), `style` (N, 2 C) holds y_s, then y_b; the scale is stored about one, as in
    the published code.
    """
    return styled(instance_norm(x, eps=EPSILON), style)


def styled(x: Tensor, style: Tensor) -> Tensor:
    """Return (y_s + 1) x + y_b of normalised x (N, C, H, W); see `adaptive_instance_norm`."""
    scale, shift = style[:, :, None, None].chunk(2, dim=1)
    return torch.addcmul(shift, x, scale + 1)


def blur(x: Tensor) -> Tensor:
    """Filter (N, C, H, W) by [1, 2, 1] x [1, 2, 1] / 16 with zeros beyond the border."""
    return _filtered(x, 2 - (_places(x, 3) - 1).abs(), 16, padding=1)


def _filtered(x: Tensor, taps: Tensor, total: float, padding: int, stride: int = 1) -> Tensor:
    """Filter (N, C, H, W) by taps (n,) both ways, divided by `total`."""
    channels = x.shape[1]
    kernel = (taps[:, None] * taps / total).expand(channels, 1, len(taps), len(taps))
    return conv2d(x, kernel, padding=padding, stride=stride, groups=channels)


def _places(x: Tensor, count: int) -> Tensor:
    """Return 0, 1, ..., made where x is, so that nothing is copied to its device."""
    return torch.arange(count, device=x.device, dtype=x.dtype)


def _filtered_by_four(x: Tensor, total: float, padding: int, stride: int = 1) -> Tensor:
    """Filter (N, C, H, W) by [1, 3, 3, 1] both ways, divided by `total`."""
    return _filtered(x, 4 - 2 * (_places(x, 4) - 1.5).abs(), total, padding, stride)


def upsample(x: Tensor) -> Tensor:
    """Repeat every pixel of (N, C, H, W) twice along both axes."""
    return interpolate(x, scale_factor=2, mode="nearest")


def downsample(x: Tensor, factor: int = 2) -> Tensor:
    """Average squares of `factor` pixels: the box filter."""
    return x if factor == 1 else avg_pool2d(x, factor)


def halved(x: Tensor, taps: Taps) -> Tensor:
    """Return (N, C, H, W) at half the resolution, filtered as a convolution's input is."""
    if taps == 4:
        return _filtered_by_four(x, 64, padding=1, stride=2)
    return downsample(blur(x) if taps == 3 else x)


def minibatch_stddev(x: Tensor, group: int) -> Tensor:
    """Append one map: the standard deviation over groups of samples (1710.10196, section 3).

    `x` (N, C, H, W) becomes (N, C + 1, H, W). The deviation of every value over its group is
    averaged over channels and pixels. Sample n is in group n mod (N / group), as published; a batch
    smaller than `group` is one group.

    Raises:
        ValueError: the batch does not divide into groups.
    """
    count, _, height, width = x.shape
    size = min(group, count)
    if count % size:
        raise ValueError(
            f"a batch of {count} does not divide into groups of {size} for the minibatch standard "
            f"deviation: take a multiple of {size}, or another backbone.stddev_group"
        )
    groups = x.float().reshape(size, -1, *x.shape[1:])  # (group, N / group, C, H, W)
    variance = (groups - groups.mean(0)).square().mean(0)
    deviation = (variance + EPSILON).sqrt().mean((1, 2, 3))  # (N / group,)
    column = deviation.repeat(size).view(-1, 1, 1, 1)
    return torch.cat([x, column.expand(-1, 1, height, width)], dim=1)


# ------------------------------------------------------------------------- layers with parameters


class EqualLinear(Layer):
    """A linear layer (N, inputs) -> (N, outputs) with equalised learning rate.

    1710.10196, section 4.1: weights start as N(0, 1) and are scaled by He's constant when used, so
    that Adam's steps are as large for every layer. With a multiplier m, weights start as N(0, 1/m)
    and weights and bias are scaled by m: the layer starts the same, and learns m times as fast.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        gain: float = RELU_GAIN,
        multiplier: float = 1.0,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, inputs))
        self.bias = nn.Parameter(torch.empty(outputs)) if bias else None
        self.multiplier = multiplier
        self.scale = gain / sqrt(inputs) * multiplier

    def reset(self, generator: torch.Generator) -> None:
        """Draw the weights from N(0, 1 / multiplier); biases start at zero."""
        nn.init.normal_(self.weight, 0.0, 1 / self.multiplier, generator=generator)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Return x W' + b'."""
        bias = None if self.bias is None else self.bias * self.multiplier
        return linear(x, self.weight * self.scale, bias)


def _over_two(weight: Tensor) -> Tensor:
    """Spread 3 x 3 kernels over two neighbours each way: 4 x 4, [w0, w0+w1, w1+w2, w2]."""
    taps = weight.permute(2, 3, 0, 1).contiguous()  # sums of whole rows, not of four values
    wide = pad(taps, (0, 0, 0, 0, 1, 1, 1, 1))
    spread = wide[1:, 1:] + wide[:-1, 1:] + wide[1:, :-1] + wide[:-1, :-1]
    return spread.permute(2, 3, 0, 1)


def upsampling_conv(x: Tensor, weight: Tensor) -> Tensor:
    """Return conv3x3(upsample(x)), (N, C, H, W) -> (N, C', 2 H, 2 W), in 4/9 of the work.

    Correlating repeated pixels with [w0, w1, w2] weighs the two source pixels of an output by
    sums of neighbouring taps: one transposed convolution with a kernel of four.
    """
    kernel = _over_two(weight).flip(2, 3).transpose(0, 1)
    return conv_transpose2d(x, kernel, stride=2, padding=1)


def downsampling_conv(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Return downsample(conv3x3(x)), (N, C, H, W) -> (N, C', H / 2, W / 2), in 4/9 of the work."""
    return conv2d(x, _over_two(weight) / 4, bias, stride=2, padding=1)


def filtered_upsampling_conv(x: Tensor, weight: Tensor) -> Tensor:
    """Return blur(conv3x3(upsample(x))) but at the border, in 9/16 of `upsampling_conv`'s work.

    As StyleGAN2 does (Karras et al., 1912.04958): the pixels lie among zeros, not repeated, and the
    filter is [1, 3, 3, 1], which is [1, 2, 1] and the repetition in one.
    """
    y = conv_transpose2d(x, weight.flip(2, 3).transpose(0, 1), stride=2)  # (2 H + 1, 2 W + 1)
    return _filtered_by_four(y, 16, padding=1)  # three of four pixels were zeros


def filtered_downsampling_conv(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Return downsample(conv3x3(blur(x))) but at the border, in 9/16 of the work.

    As in StyleGAN2: [1, 3, 3, 1] is [1, 2, 1] and the averaging in one, and only every other pixel
    is computed.
    """
    return conv2d(_filtered_by_four(x, 64, padding=2), weight, bias, stride=2)


class EqualConv2d(Layer):
    """A convolution of odd `kernel` with equalised learning rate, resampling by 2 if asked.

    Going up, pixels are repeated before the convolution, and the result filtered; going down, the
    input is filtered, and the result averaged. Both are for kernels of 3. With a filter of four
    taps this is done another way, see `filtered_upsampling_conv`.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        gain: float = RELU_GAIN,
        resample: Resample = "none",
        taps: Taps = 1,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, inputs, kernel, kernel))
        self.bias = nn.Parameter(torch.empty(outputs)) if bias else None
        self.resample, self.taps = resample, taps
        self.scale = gain / sqrt(inputs * kernel**2)

    def reset(self, generator: torch.Generator) -> None:
        """Draw the weights from N(0, 1); biases start at zero."""
        nn.init.normal_(self.weight, generator=generator)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Return the convolved, and resampled, x."""
        weight = self.weight * self.scale
        if self.resample == "up":
            y = self._up(x, weight)
            return y if self.bias is None else y + self.bias[:, None, None]
        if self.resample == "down":
            return self._down(x, weight)
        return conv2d(x, weight, self.bias, padding=weight.shape[-1] // 2)

    def _up(self, x: Tensor, weight: Tensor) -> Tensor:
        if self.taps == 4:
            return filtered_upsampling_conv(x, weight)
        y = upsampling_conv(x, weight)
        return blur(y) if self.taps == 3 else y

    def _down(self, x: Tensor, weight: Tensor) -> Tensor:
        if self.taps == 4:
            return filtered_downsampling_conv(x, weight, self.bias)
        return downsampling_conv(blur(x) if self.taps == 3 else x, weight, self.bias)


class ChannelBias(Layer):
    """A bias per channel, zero at the start."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.empty(channels))

    def reset(self, generator: torch.Generator) -> None:
        """Set the bias to zero."""
        nn.init.zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, C, H, W) plus the bias."""
        return x + self.bias[:, None, None]
