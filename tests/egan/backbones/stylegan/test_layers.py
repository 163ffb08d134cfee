"""Every layer against an independent computation in numpy."""

import numpy as np
import pytest
import torch
from scipy.ndimage import convolve
from scipy.signal import correlate2d

from egan.backbones.progressive import layers


@pytest.fixture
def rng():
    return np.random.default_rng(3)


def tensor(array):
    return torch.from_numpy(array.astype(np.float32))


def correlate(x, weight):
    """Zero-padded correlation of (N, C, H, W) with (C', C, k, k), one channel at a time."""
    return np.stack(
        [
            np.stack(
                [
                    sum(correlate2d(x[n, c], weight[o, c], "same") for c in range(x.shape[1]))
                    for o in range(len(weight))
                ]
            )
            for n in range(len(x))
        ]
    )


def halved(x):
    return (x[..., ::2, ::2] + x[..., 1::2, ::2] + x[..., ::2, 1::2] + x[..., 1::2, 1::2]) / 4


def test_adain_sets_each_channels_mean_and_deviation_from_the_style(rng):
    x, style = rng.normal(2, 3, (2, 4, 5, 5)), rng.normal(size=(2, 8))
    expected = np.empty_like(x)
    for n in range(2):
        for c in range(4):
            channel = (x[n, c] - x[n, c].mean()) / x[n, c].std()
            expected[n, c] = channel * (style[n, c] + 1) + style[n, 4 + c]
    out = layers.adaptive_instance_norm(tensor(x), tensor(style)).numpy()
    np.testing.assert_allclose(out, expected, atol=1e-5)


def test_pixel_norm_gives_every_pixel_unit_mean_square(rng):
    x = rng.normal(size=(2, 6, 3, 3))
    expected = x / np.sqrt((x**2).mean(axis=1, keepdims=True) + 1e-8)
    np.testing.assert_allclose(layers.pixel_norm(tensor(x)), expected, rtol=1e-5)


def test_blur_is_the_binomial_filter_with_zeros_outside(rng):
    x = rng.normal(size=(2, 3, 6, 5))
    kernel = np.outer([1, 2, 1], [1, 2, 1]) / 16
    expected = [[convolve(channel, kernel, mode="constant") for channel in image] for image in x]
    np.testing.assert_allclose(layers.blur(tensor(x)), expected, atol=1e-6)


def test_blur_keeps_constants_inside():
    assert layers.blur(torch.ones(1, 2, 4, 4))[:, :, 1:3, 1:3].eq(1).all()


def test_blur_has_second_derivatives(stream):
    """As R1 needs: the gradient of |blur x|^2 is 2 blur(blur(x)), the filter being symmetric."""
    x, v = torch.randn(2, 1, 1, 5, 5, generator=stream)
    x.requires_grad_()
    (gradient,) = torch.autograd.grad(layers.blur(x).square().sum(), x, create_graph=True)
    (product,) = torch.autograd.grad((gradient * v).sum(), x)
    torch.testing.assert_close(product, 2 * layers.blur(layers.blur(v)))


def test_minibatch_stddev_is_that_of_strided_groups(rng):
    x = rng.normal(size=(6, 2, 3, 3))
    out = layers.minibatch_stddev(tensor(x), group=3).numpy()
    np.testing.assert_array_equal(out[:, :2], x.astype(np.float32))
    for n in range(6):
        members = x[n % 2 :: 2]  # two groups of three
        np.testing.assert_allclose(out[n, 2], members.std(axis=0).mean(), rtol=1e-5)


def test_a_batch_below_the_group_is_one_group(rng):
    x = rng.normal(size=(3, 2, 4, 4))
    out = layers.minibatch_stddev(tensor(x), group=4)
    np.testing.assert_allclose(out[:, 2], x.std(axis=0).mean(), rtol=1e-5)


def test_a_batch_that_does_not_divide_is_refused_with_the_remedy():
    with pytest.raises(ValueError, match=r"batch of 6 .* multiple of 4"):
        layers.minibatch_stddev(torch.zeros(6, 1, 4, 4), group=4)


@pytest.mark.parametrize("multiplier", [1.0, 0.01])
def test_equalised_linear_is_he_scaled_when_used(multiplier, stream, rng):
    layer = layers.EqualLinear(400, 300, multiplier=multiplier)
    layer.reset(stream)
    weight = layer.weight.detach().numpy()
    assert weight.std() == pytest.approx(1 / multiplier, rel=0.02)
    x, bias = rng.normal(size=(5, 400)), rng.normal(size=300)
    layer.bias.data = tensor(bias)
    expected = x @ (weight * multiplier * np.sqrt(2 / 400)).T + bias * multiplier
    np.testing.assert_allclose(layer(tensor(x)).detach(), expected, atol=1e-4)


def test_the_multiplier_slows_learning_but_not_the_start(stream):
    """One step of size s on the stored weight moves the weight in use by s times the multiplier."""
    slow = layers.EqualLinear(4, 4, multiplier=0.01)
    fast = layers.EqualLinear(4, 4)
    assert slow.scale == pytest.approx(0.01 * fast.scale)
    slow.reset(torch.Generator().manual_seed(0))
    fast.reset(torch.Generator().manual_seed(0))
    torch.testing.assert_close(slow.weight * slow.scale, fast.weight * fast.scale)


@pytest.mark.parametrize("kernel", [1, 3])
@pytest.mark.parametrize("gain", [1.0, 2**0.5])
def test_equalised_convolution_is_he_scaled_correlation(kernel, gain, stream, rng):
    layer = layers.EqualConv2d(3, 4, kernel, gain=gain)
    layer.reset(stream)
    bias = rng.normal(size=4)
    layer.bias.data = tensor(bias)
    x = rng.normal(size=(2, 3, 5, 5))
    weight = layer.weight.detach().numpy() * gain / np.sqrt(3 * kernel**2)
    expected = correlate(x, weight) + bias[:, None, None]
    np.testing.assert_allclose(layer(tensor(x)).detach(), expected, atol=1e-5)


def test_upsampling_convolution_is_repetition_then_convolution(rng):
    x, weight = rng.normal(size=(2, 3, 4, 6)), rng.normal(size=(5, 3, 3, 3))
    expected = correlate(x.repeat(2, axis=2).repeat(2, axis=3), weight)
    out = layers.upsampling_conv(tensor(x), tensor(weight))
    np.testing.assert_allclose(out, expected, atol=1e-4)


def test_downsampling_convolution_is_convolution_then_averaging(rng):
    x, weight, bias = rng.normal(size=(2, 3, 6, 4)), rng.normal(size=(5, 3, 3, 3)), np.arange(5.0)
    expected = halved(correlate(x, weight)) + bias[:, None, None]
    out = layers.downsampling_conv(tensor(x), tensor(weight), tensor(bias))
    np.testing.assert_allclose(out, expected, atol=1e-4)


def by_four(x, gain):
    """Filter (N, C, H, W) by [1, 3, 3, 1] both ways: three pixels fewer each way."""
    taps = np.array([1, 3, 3, 1]) / 8
    height, width = x.shape[2] - 3, x.shape[3] - 3
    return gain * sum(
        a * b * x[:, :, i : i + height, j : j + width]
        for i, a in enumerate(taps)
        for j, b in enumerate(taps)
    )


def test_filtered_upsampling_puts_the_pixels_among_zeros(rng):
    """1912.04958's code: a transposed convolution is one with the kernel turned round."""
    x, weight = rng.normal(size=(2, 3, 4, 6)), rng.normal(size=(5, 3, 3, 3))
    among = np.zeros((2, 3, 9, 13))  # a border of one, then every other pixel
    among[:, :, 1:-1:2, 1:-1:2] = x
    wide = correlate(np.pad(among, ((0, 0), (0, 0), (1, 1), (1, 1))), weight)[:, :, 1:-1, 1:-1]
    expected = by_four(np.pad(wide, ((0, 0), (0, 0), (1, 1), (1, 1))), 4)
    out = layers.filtered_upsampling_conv(tensor(x), tensor(weight))
    np.testing.assert_allclose(out, expected, atol=1e-4)


def test_filtered_downsampling_computes_every_other_pixel(rng):
    x, weight, bias = rng.normal(size=(2, 3, 6, 4)), rng.normal(size=(5, 3, 3, 3)), np.arange(5.0)
    smooth = by_four(np.pad(x, ((0, 0), (0, 0), (2, 2), (2, 2))), 1)
    expected = correlate(smooth, weight)[:, :, 1:-1:2, 1:-1:2] + bias[:, None, None]
    out = layers.filtered_downsampling_conv(tensor(x), tensor(weight), tensor(bias))
    np.testing.assert_allclose(out, expected, atol=1e-4)


def test_both_filters_give_the_same_away_from_the_border(rng):
    x, weight = tensor(rng.normal(size=(2, 3, 12, 12))), tensor(rng.normal(size=(5, 3, 3, 3)))
    bias = torch.arange(5.0)
    up = layers.filtered_upsampling_conv(x, weight)
    three = layers.blur(layers.upsampling_conv(x, weight))
    torch.testing.assert_close(up[..., 2:-2, 2:-2], three[..., 2:-2, 2:-2])
    assert not torch.allclose(up, three)
    down = layers.filtered_downsampling_conv(x, weight, bias)
    three = layers.downsampling_conv(layers.blur(x), weight, bias)
    torch.testing.assert_close(down[..., 1:-1, 1:-1], three[..., 1:-1, 1:-1])
    assert not torch.allclose(down, three)


@pytest.mark.parametrize("taps", [1, 3, 4])
def test_resampling_layers_use_the_resampling_convolutions(taps, stream, rng):
    x = tensor(rng.normal(size=(1, 2, 4, 4)))
    for resample in ("up", "down"):
        layer = layers.EqualConv2d(2, 3, 3, resample=resample, taps=taps)
        layer.reset(stream)
        layer.bias.data = torch.arange(3.0)
        weight, bias = layer.weight * layer.scale, layer.bias[:, None, None]
        if taps == 4:
            found = (
                layers.filtered_upsampling_conv(x, weight)
                if resample == "up"
                else layers.filtered_downsampling_conv(x, weight, None)
            )
        elif resample == "up":
            found = layers.upsampling_conv(x, weight)
            found = layers.blur(found) if taps == 3 else found
        else:
            found = layers.downsampling_conv(layers.blur(x) if taps == 3 else x, weight, None)
        torch.testing.assert_close(layer(x), found + bias)


def test_up_and_down_sampling_are_repetition_and_the_box_filter(rng):
    x = rng.normal(size=(1, 2, 4, 4))
    up = layers.upsample(tensor(x))
    np.testing.assert_array_equal(up, tensor(x).numpy().repeat(2, axis=2).repeat(2, axis=3))
    np.testing.assert_allclose(layers.downsample(tensor(x)), halved(x), atol=1e-6)
    torch.testing.assert_close(layers.downsample(up), tensor(x))
    np.testing.assert_allclose(
        layers.downsample(tensor(x), 4)[0, :, 0, 0], x.mean(axis=(0, 2, 3)), atol=1e-6
    )
