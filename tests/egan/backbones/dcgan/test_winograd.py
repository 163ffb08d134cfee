"""Winograd's convolutions against the direct ones: values, derivatives, rounding, and when."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.autograd import grad, gradcheck
from torch.nn.functional import conv2d, conv_transpose2d

from egan.backbones import DCGANConfig, build_networks
from egan.backbones.dcgan import winograd
from egan.backbones.dcgan.convolutions import Doubling, Halving
from egan.backbones.dcgan.winograd import WINOGRAD, transformed

# Lavin and Gray, section 5.3: F(2 x 2) rounds about like the direct sum. Errors relative to the
# largest output; the direct float32 convolutions of these shapes reach 1e-6.
FLOAT32_TOLERANCE = 5e-6


def drawn(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    values = torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return values.to(dtype).requires_grad_()


def direct(kind: str, x: Tensor, weight: Tensor) -> Tensor:
    function = conv2d if kind == "halved" else conv_transpose2d
    return function(x, weight, stride=2, padding=1)


def operands(kind: str, n: int, channels: int, out: int, h: int, w: int) -> tuple[Tensor, Tensor]:
    """Return the input and the weights (O, C, 4, 4) of a layer; h and w are the smaller side's."""
    x = drawn(n, channels, 2 * h, 2 * w) if kind == "halved" else drawn(n, out, h, w)
    return x, drawn(out, channels, 4, 4, seed=1)


sizes = st.integers(1, 4)
sides = st.sampled_from([2, 4, 6, 8])


@pytest.mark.parametrize("kind", ["halved", "doubled"])
@settings(deadline=None)
@given(
    n=sizes, channels=sizes, out=sizes, h=sides, w=sides, chunk=st.sampled_from([1, 500, 1 << 21])
)
def test_values_and_gradients_are_the_direct_ones(kind, n, channels, out, h, w, chunk):
    x, weight = operands(kind, n, channels, out, h, w)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(winograd, "CHUNK", chunk)
        y = getattr(WINOGRAD, kind)(x, transformed(weight))
        expected = direct(kind, x, weight)
        g = drawn(*y.shape, seed=2).detach()
        torch.testing.assert_close(y, expected)
        found = grad(y, (x, weight), g)
    for ours, exact in zip(found, grad(expected, (x, weight), g), strict=True):
        torch.testing.assert_close(ours, exact)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_any_layout_in_memory_gives_the_same_and_channels_last_comes_out(layout):
    x, weight = operands("halved", 2, 3, 4, 4, 4)
    y = WINOGRAD.halved(x.detach().contiguous(memory_format=layout), transformed(weight))
    torch.testing.assert_close(y, direct("halved", x, weight))
    assert y.is_contiguous(memory_format=torch.channels_last)


def test_the_transformation_of_weights_has_the_derivative_of_finite_differences():
    with torch.random.fork_rng():  # it draws directions
        assert gradcheck(transformed, (drawn(2, 1, 4, 4),))


@pytest.mark.parametrize("kind", ["halved", "doubled"])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_float32_rounds_about_as_the_direct_sum_does(kind, scale):
    exact = [t.detach().requires_grad_() for t in operands(kind, 8, 128, 256, 8, 8)]
    exact[1] = (0.02 * scale * exact[1]).detach().requires_grad_()
    rounded = [t.detach().float().requires_grad_() for t in exact]
    wide, ours = direct(kind, *exact), getattr(WINOGRAD, kind)(rounded[0], transformed(rounded[1]))
    g = drawn(*wide.shape, seed=3).detach()
    wides = (wide, *grad(wide, exact, g))
    found = (ours, *grad(ours, rounded, g.float()))
    for a, b in zip(found, wides, strict=True):
        assert a.dtype == torch.float32
        assert (a - b).abs().max() <= FLOAT32_TOLERANCE * b.abs().max()


def lifted(networks, precision: str) -> tuple[list[Tensor], int]:
    """Return D's logits on fakes and both gradients; and the products that were made."""
    for function in (networks.generator, networks.discriminator):
        function.compute_in(precision)
    stream = torch.Generator().manual_seed(0)
    g, d = networks.generator.initialise(stream), networks.discriminator.initialise(stream)
    params = [w.params.requires_grad_() for w in (g, d)]
    with torch.profiler.profile() as profile:
        fakes, _ = networks.generator(g, networks.noise(4, stream))
        logits, _ = networks.discriminator(d, fakes)
        tensors = [logits, *grad(logits.square().sum(), params)]
    products = sum(event.count for event in profile.key_averages() if event.key == "aten::bmm")
    return tensors, products


def test_a_networks_wide_layers_take_it_and_its_narrow_ones_do_not():
    networks = build_networks(DCGANConfig(latent=8, width=64, bias=True), (3, 16, 16))
    exact, no_products = lifted(networks, "float32")
    found, products = lifted(networks, "winograd")
    # One layer of each network has 64 channels on both sides: forward, by x and by w.
    assert no_products == 0 and products >= 4
    for a, b in zip(found, exact, strict=True):
        assert (a - b).abs().max() <= 1e-4 * b.abs().max()
        assert not torch.equal(a, b)
    narrow = build_networks(DCGANConfig(latent=8, width=16), (3, 16, 16))
    assert lifted(narrow, "winograd")[1] == 0


@pytest.mark.parametrize(("layer", "side"), [(Halving, 6), (Doubling, 3)])
def test_images_that_tiles_do_not_cover_are_left_to_the_library(layer, side):
    with torch.random.fork_rng():
        one = layer(64, 64, True)
    one.precision = "winograd"
    x = drawn(2, 64, side, side, dtype=torch.float32)
    plain = conv2d if layer is Halving else conv_transpose2d
    assert torch.equal(one(x), plain(x, one.weight, one.bias, 2, 1))
