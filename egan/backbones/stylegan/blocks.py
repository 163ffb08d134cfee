"""The blocks of StyleGAN's synthesis network, a pair of styled layers for each resolution.

Those with a norm follow StyleGAN (1812.04948): each layer's output is normalised, and a style
scales and shifts it. The modulated ones follow StyleGAN2 (Karras et al., 1912.04958): a style
scales each layer's input, and its output is divided by the size that this should give it.
"""

import torch
from torch import Tensor, nn

from egan.backbones.progressive.growth import LOWEST
from egan.backbones.progressive.layers import (
    EPSILON,
    RELU_GAIN,
    EqualConv2d,
    EqualLinear,
    Layer,
    Resample,
    Taps,
    adaptive_instance_norm,
    leaky_relu,
    styled,
)


class Constant(Layer):
    """The learned input (C, 4, 4): ones at the start, as published, or normal random numbers."""

    def __init__(self, channels: int, normal: bool) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.empty(channels, LOWEST, LOWEST))
        self.normal = normal

    def reset(self, generator: torch.Generator) -> None:
        """Set its initial values."""
        if self.normal:
            nn.init.normal_(self.value, generator=generator)
        else:
            nn.init.ones_(self.value)

    def forward(self, count: int) -> Tensor:
        """Return it for a batch, (N, C, 4, 4)."""
        return self.value.expand(count, -1, -1, -1)


# ------------------------------------------------------------------------------------ with a norm


class StyledLayer(Layer):
    """The layers after a convolution: noise (B), bias, leaky ReLU, then a norm with a style (A).

    By default it is AdaIN. With `batch_norm` the statistics are the batch's, and outside training
    the running ones, as in conditional batch normalisation.
    """

    def __init__(self, style: int, channels: int, batch_norm: bool) -> None:
        super().__init__()
        self.noise_scale = nn.Parameter(torch.empty(channels))
        self.bias = nn.Parameter(torch.empty(channels))
        self.style = EqualLinear(style, 2 * channels, gain=1)
        self.norm = nn.BatchNorm2d(channels, affine=False) if batch_norm else None

    def reset(self, generator: torch.Generator) -> None:
        """Noise and bias have no effect at the start."""
        nn.init.zeros_(self.noise_scale)
        nn.init.zeros_(self.bias)
        if self.norm is not None:
            self.norm.reset_running_stats()

    def forward(self, x: Tensor, noise: Tensor, w: Tensor) -> Tensor:
        """Return (N, C, H, W) for noise (N, 1, H, W) and w (N, style)."""
        x = leaky_relu(x + noise * self.noise_scale[:, None, None] + self.bias[:, None, None])
        style = self.style(w)
        return (
            adaptive_instance_norm(x, style) if self.norm is None else styled(self.norm(x), style)
        )


class FirstBlock(nn.Module):
    """The constant and one convolution, each styled, at 4 x 4."""

    def __init__(self, style: int, channels: int, normal: bool, batch_norm: bool) -> None:
        super().__init__()
        self.constant = Constant(channels, normal)
        self.first = StyledLayer(style, channels, batch_norm)
        self.conv = EqualConv2d(channels, channels, 3, bias=False)
        self.second = StyledLayer(style, channels, batch_norm)

    def forward(self, x: Tensor | None, noise: list[Tensor], styles: Tensor) -> Tensor:
        """Return the features at 4 x 4 for noise of two layers and styles (N, 2, style)."""
        x = self.first(self.constant(styles.shape[0]), noise[0], styles[:, 0])
        features: Tensor = self.second(self.conv(x), noise[1], styles[:, 1])
        return features


class UpBlock(nn.Module):
    """Two styled convolutions, the first of them to twice the resolution, and filtered."""

    def __init__(self, style: int, inputs: int, outputs: int, taps: Taps, batch_norm: bool) -> None:
        super().__init__()
        self.conv_up = EqualConv2d(inputs, outputs, 3, resample="up", taps=taps, bias=False)
        self.first = StyledLayer(style, outputs, batch_norm)
        self.conv = EqualConv2d(outputs, outputs, 3, bias=False)
        self.second = StyledLayer(style, outputs, batch_norm)

    def forward(self, x: Tensor, noise: list[Tensor], styles: Tensor) -> Tensor:
        """Return (N, C, r / 2, r / 2) as (N, C', r, r)."""
        x = self.first(self.conv_up(x), noise[0], styles[:, 0])
        features: Tensor = self.second(self.conv(x), noise[1], styles[:, 1])
        return features


# -------------------------------------------------------------------------------------- modulated


class ModulatedLayer(Layer):
    """A convolution whose weights depend on the style, then noise, bias and leaky ReLU.

    With s of the style, w_ijk = s_i W_ijk and w' = w / sqrt(sum_ik w^2): 1912.04958, equations 1
    and 3. The input is scaled in place of the weights, and the output divided in place of them,
    which is the same, so that a batch needs one convolution.
    """

    def __init__(
        self, style: int, inputs: int, outputs: int, resample: Resample = "none", taps: Taps = 3
    ) -> None:
        super().__init__()
        self.style = EqualLinear(style, inputs, gain=1)
        self.conv = EqualConv2d(
            inputs, outputs, 3, gain=1, resample=resample, taps=taps, bias=False
        )
        self.noise_scale = nn.Parameter(torch.empty(outputs))
        self.bias = nn.Parameter(torch.empty(outputs))

    def reset(self, generator: torch.Generator) -> None:
        """Noise and bias have no effect at the start."""
        nn.init.zeros_(self.noise_scale)
        nn.init.zeros_(self.bias)

    def forward(self, x: Tensor, noise: Tensor, w: Tensor) -> Tensor:
        """Return (N, C', H, W) for noise (N, 1, H, W) and w (N, style)."""
        scale = self.style(w) + 1  # (N, C)
        weight = self.conv.weight * self.conv.scale
        size = scale.square() @ weight.square().sum((2, 3)).T  # (N, C')
        x = self.conv(x * scale[:, :, None, None])
        x = x * (size + EPSILON).rsqrt()[:, :, None, None]
        x = x + noise * self.noise_scale[:, None, None] + self.bias[:, None, None]
        return RELU_GAIN * leaky_relu(x)


class ModulatedFirst(nn.Module):
    """The constant and one modulated convolution at 4 x 4: there is no style before it."""

    def __init__(self, style: int, channels: int, normal: bool) -> None:
        super().__init__()
        self.constant = Constant(channels, normal)
        self.second = ModulatedLayer(style, channels, channels)

    def forward(self, x: Tensor | None, noise: list[Tensor], styles: Tensor) -> Tensor:
        """Return the features at 4 x 4; the first noise and style of the two are not used."""
        features: Tensor = self.second(self.constant(styles.shape[0]), noise[1], styles[:, 1])
        return features


class ModulatedUp(nn.Module):
    """Two modulated convolutions, the first of them to twice the resolution, and filtered."""

    def __init__(self, style: int, inputs: int, outputs: int, taps: Taps) -> None:
        super().__init__()
        self.first = ModulatedLayer(style, inputs, outputs, "up", taps)
        self.second = ModulatedLayer(style, outputs, outputs)

    def forward(self, x: Tensor, noise: list[Tensor], styles: Tensor) -> Tensor:
        """Return (N, C, r / 2, r / 2) as (N, C', r, r)."""
        x = self.first(x, noise[0], styles[:, 0])
        features: Tensor = self.second(x, noise[1], styles[:, 1])
        return features
