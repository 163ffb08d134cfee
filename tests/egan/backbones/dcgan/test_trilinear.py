"""The three functions of a layer: each other's derivatives, however they are computed."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.autograd import grad, gradcheck, gradgradcheck
from torch.nn.functional import conv2d, conv_transpose2d

from egan.backbones.dcgan.convolutions import DIRECT
from egan.backbones.dcgan.winograd import WINOGRAD, transformed

FORMS = {"direct": (DIRECT, lambda weight: weight), "winograd": (WINOGRAD, transformed)}


def drawn(*shape, seed=0):
    stream = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=stream, dtype=torch.float64).requires_grad_()


@pytest.mark.parametrize("name", FORMS)
def test_derivatives_of_every_order_are_those_of_finite_differences(name):
    form, of_weight = FORMS[name]
    x, y = drawn(2, 1, 4, 4), drawn(2, 2, 2, 2, seed=1)
    w = of_weight(drawn(2, 1, 4, 4, seed=2)).detach().requires_grad_()
    with torch.random.fork_rng():  # they draw directions
        for function, inputs in (
            (form.halved, (x, w)),
            (form.doubled, (y, w)),
            (form.correlated, (x, y)),
        ):
            assert gradcheck(function, inputs) and gradgradcheck(function, inputs)


@pytest.mark.parametrize("last", [True, False])
@settings(deadline=None)
@given(n=st.integers(1, 3), c=st.integers(1, 4), o=st.integers(1, 4), side=st.integers(1, 4))
def test_the_direct_form_has_the_librarys_values_and_gradients(last, n, c, o, side):
    layout = torch.channels_last if last else torch.contiguous_format
    x, y = drawn(n, c, 2 * side, 2 * side), drawn(n, o, side, side, seed=1)
    weight = drawn(o, c, 4, 4, seed=2)
    for ours, library, images in (
        (DIRECT.halved, conv2d, x),
        (DIRECT.doubled, conv_transpose2d, y),
    ):
        found = ours(images.contiguous(memory_format=layout), weight)
        expected = library(images, weight, stride=2, padding=1)
        torch.testing.assert_close(found, expected)
        g = drawn(*expected.shape, seed=3).detach()
        both = grad(found, (images, weight), g), grad(expected, (images, weight), g)
        for a, b in zip(*both, strict=True):
            torch.testing.assert_close(a, b)
