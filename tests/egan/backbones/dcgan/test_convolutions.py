"""Layers as one matrix product, the way that GPUs take: the library's values and derivatives."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.autograd import grad, gradcheck, gradgradcheck
from torch.nn.functional import conv2d, conv_transpose2d

from egan.backbones import DCGANConfig, build_networks
from egan.backbones.dcgan import winograd
from egan.backbones.dcgan.convolutions import (
    MANY,
    Closing,
    Doubling,
    Halving,
    Opening,
    _Biased,
    closed,
    doubled,
    halved,
    opened,
)
from egan.discriminator import penalties
from egan.state import Weights

# Name: the product, the library's function of (x, weights), and the x of N, C, h, w.
LAYERS = {
    "opened": (opened, conv_transpose2d, lambda n, c, h, w: (n, c, 1, 1)),
    "doubled": (
        doubled,
        lambda x, w: conv_transpose2d(x, w, stride=2, padding=1),
        lambda n, c, h, w: (n, c, h, w),
    ),
    "halved": (
        halved,
        lambda x, w: conv2d(x, w, stride=2, padding=1),
        lambda n, c, h, w: (n, c, 2 * h, 2 * w),
    ),
    "closed": (closed, conv2d, lambda n, c, h, w: (n, c, 4, 4)),
}


def drawn(*shape: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64).requires_grad_()


def case(name: str, n: int, channels: int, out: int, h: int, w: int):
    product, library, shape = LAYERS[name]
    transposed = name in ("opened", "doubled")
    weight = drawn(*((channels, out) if transposed else (out, channels)), 4, 4, seed=1)
    return product, library, drawn(*shape(n, channels, h, w), seed=0), weight


sizes = st.integers(1, 4)


@pytest.mark.parametrize("name", LAYERS)
@given(n=sizes, channels=sizes, out=sizes, h=sizes, w=sizes, last=st.booleans())
def test_values_and_gradients_are_the_librarys(name, n, channels, out, h, w, last):
    product, library, x, weight = case(name, n, channels, out, h, w)
    layout = torch.channels_last if last else torch.contiguous_format
    y = product(*(tensor.contiguous(memory_format=layout) for tensor in (x, weight)))
    expected = library(x, weight)
    torch.testing.assert_close(y, expected)
    g = drawn(*y.shape, seed=2).detach()
    for ours, exact in zip(grad(y, (x, weight), g), grad(expected, (x, weight), g), strict=True):
        torch.testing.assert_close(ours, exact)


@pytest.mark.parametrize("name", LAYERS)
def test_derivatives_have_derivatives_as_penalties_need(name):
    product, _, x, weight = case(name, 2, 2, 3, 2, 1)
    with torch.random.fork_rng():  # they draw directions
        assert gradcheck(product, (x, weight)) and gradgradcheck(product, (x, weight))


def test_a_bias_has_the_gradient_of_a_sum():
    x, bias = drawn(3, 2, 4, 5, seed=0), drawn(2, seed=1)
    assert torch.equal(_Biased.apply(x, bias), x + bias[:, None, None])
    with torch.random.fork_rng():
        assert gradcheck(_Biased.apply, (x, bias)) and gradgradcheck(_Biased.apply, (x, bias))


def discriminator_gradient(networks, params: torch.Tensor) -> torch.Tensor:
    """The gradient (P,) of a loss with every penalty, from random biases and samples."""
    function = networks.discriminator
    weights = function.initialise(torch.Generator().manual_seed(2))
    buffers = {name: buffer.double() for name, buffer in weights.buffers.items()}
    channels = function.layout[0][1][1]
    real, fake = (drawn(4, channels, 16, 16, seed=seed).detach() for seed in (3, 4))

    def judge(x):
        return function(Weights(params, buffers), x)[0].double()

    strengths = dict(
        zip(("r1", "r2", "gradient_penalty"), torch.tensor([1.0, 0.5, 2.0]), strict=True)
    )
    mix = torch.tensor([0.1, 0.4, 0.6, 0.9], dtype=torch.float64)
    loss = judge(real).sum() - judge(fake).sum()
    loss = loss + penalties(
        lambda samples, _: judge(samples["x"]), strengths, {"x": real}, {"x": fake}, {}, mix
    )
    return grad(loss, params)[0]


@pytest.mark.parametrize("precision", ["float32", "winograd"])
@pytest.mark.parametrize("channels", [1, 5])
def test_the_gpus_way_has_the_plain_ways_values_and_derivatives(channels, precision, monkeypatch):
    """Taken on the CPU, by tensors that say that they are a GPU's."""
    monkeypatch.setattr(winograd, "NARROWEST", 6)
    config = DCGANConfig(width=6, latent=5, bias=True)
    networks = build_networks(config, (channels, 16, 16))
    z = networks.noise(4, torch.Generator().manual_seed(1)).double().requires_grad_()
    generator = networks.generator
    weights = generator.initialise(torch.Generator().manual_seed(2))
    buffers = {name: buffer.double() for name, buffer in weights.buffers.items()}
    found = []
    for gpu in (False, True):
        if gpu:
            monkeypatch.setattr(torch.Tensor, "is_cuda", True)
            for function in (generator, networks.discriminator):
                function.compute_in(precision)
        params = drawn(generator.parameters, seed=5)
        images, _ = generator(Weights(params, buffers), z)
        judge = drawn(networks.discriminator.parameters, seed=6)
        found.append(
            [
                images,
                *grad(images.double().square().sum(), (params, z)),
                discriminator_gradient(networks, judge),
            ]
        )
    for ours, exact in zip(*found, strict=True):
        scale = exact.abs().max().item()
        torch.testing.assert_close(ours, exact, rtol=1e-4, atol=1e-5 * scale)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize("channels", [1, 3, 5])
@pytest.mark.parametrize("bias", [True, False])
def test_networks_on_a_gpu_are_those_of_the_cpu(channels, bias):
    """float64, output and gradients by weights and inputs."""
    config = DCGANConfig(width=6, latent=5, bias=bias)
    networks = build_networks(config, (channels, 16, 16))
    z = networks.noise(4, torch.Generator().manual_seed(1))
    found = []
    for device in ("cpu", "cuda"):
        inputs, results = z.double().to(device), []
        for function in (networks.generator, networks.discriminator):
            weights = function.initialise(torch.Generator().manual_seed(2)).to(device)
            params = weights.params.double().requires_grad_()
            buffers = {name: b.double() for name, b in weights.buffers.items()}
            inputs = inputs.detach().requires_grad_()
            output, _ = function(Weights(params, buffers), inputs)
            results += [output, *grad(output.square().sum(), (params, inputs))]
            inputs = output.double()
        found.append([result.cpu().double() for result in results])
    for ours, exact in zip(*found, strict=True):
        torch.testing.assert_close(ours, exact, rtol=1e-5, atol=1e-6)


BFLOAT16 = {  # layer, its channels, images (C, H, W), and the library's function that it avoids
    "opening": (Opening, (6, 8), (6, 1, 1), "aten::_convolution"),
    "closing": (Closing, (8, 1), (8, 4, 4), "aten::_convolution"),
    "narrow": (Doubling, (8, 3), (8, 4, 4), "aten::_convolution"),
    "small": (Halving, (MANY, MANY), (MANY, 8, 8), "aten::convolution_backward"),
    "small, doubled": (Doubling, (MANY, MANY), (MANY, 4, 4), "aten::convolution_backward"),
}


@pytest.mark.parametrize("name", BFLOAT16)
def test_in_bfloat16_a_product_is_about_as_near_to_float32_as_the_library(name):
    """The bias is added to a rounded product, so that what comes out is rounded twice."""
    kind, channels, shape, avoided = BFLOAT16[name]
    stream = torch.Generator().manual_seed(0)
    with torch.random.fork_rng():
        layer = kind(*channels, True)
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter, generator=stream)
    x = torch.randn(4, *shape, generator=stream, requires_grad=True)
    operands = (x, layer.weight, layer.bias)

    def called(autocast, precision):
        layer.precision = precision
        with torch.profiler.profile() as profile:
            with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
                y = layer(x)
            g = torch.randn(y.shape, generator=torch.Generator().manual_seed(1))
            gradients = grad(y.float(), operands, g)
        return [y.float(), *gradients], {event.key for event in profile.key_averages()}

    exact, _ = called(False, "float32")
    library, keys = called(True, "float32")
    ours, own = called(True, "bfloat16")
    assert avoided in keys and avoided not in own
    for a, b, c in zip(ours, exact, library, strict=True):
        assert (a - b).norm() <= 3 * (c - b).norm() + 3e-3 * b.norm()


def test_in_bfloat16_large_and_narrow_layers_are_the_librarys():
    with torch.random.fork_rng():
        layers = (Halving(MANY, MANY, True), 16), (Halving(3, MANY, True), 8)
    for layer, side in layers:
        x = torch.ones(1, layer.in_channels, side, side)
        with torch.autocast("cpu", torch.bfloat16):
            plain = layer(x)
            layer.precision = "bfloat16"
            assert torch.equal(layer(x), plain)
