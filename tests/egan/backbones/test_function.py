"""A network as a function: the ordinary module's output, and nothing of its own to remember."""

import pytest
import torch
from torch import nn

from egan.backbones import DCGANConfig, MLPConfig, build_networks
from egan.backbones.function import _Unpack
from egan.state import Weights

GAMES = {
    "mlp": (MLPConfig(width=8), (2,)),
    "batch": (DCGANConfig(width=3, latent=4), (3, 16, 16)),
    "instance": (
        DCGANConfig(
            width=3, latent=4, generator_norm="instance", discriminator_norm="instance", bias=True
        ),
        (1, 16, 16),
    ),
    "none": (
        DCGANConfig(width=3, latent=4, generator_norm="none", discriminator_norm="none"),
        (1, 8, 8),
    ),
}


def stream(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(params=GAMES)
def networks(request):
    return build_networks(*GAMES[request.param])


@pytest.mark.parametrize("training", [True, False])
def test_a_call_is_the_ordinary_modules_call(networks, ordinary, training):
    """Output, gradient and updated statistics, over two calls."""
    inputs = networks.noise(5, stream(2))
    for function in (networks.generator, networks.discriminator):
        weights = function.initialise(stream(1))
        module = ordinary(function, weights).train(training)
        for _ in range(2):
            params = weights.params.clone().requires_grad_()
            output, buffers = function(Weights(params, weights.buffers), inputs, training=training)
            expected = module(inputs)
            assert torch.equal(output, expected)
            (gradient,) = torch.autograd.grad(output.square().sum(), params)
            parts = torch.autograd.grad(expected.square().sum(), list(module.parameters()))
            assert torch.equal(gradient, torch.cat([part.flatten() for part in parts]))
            for name, buffer in module.named_buffers():
                assert torch.equal(buffers[name], buffer)
            weights = Weights(weights.params, buffers)
        inputs = output.detach()


def test_a_call_changes_neither_the_weights_nor_the_function(networks):
    for function, inputs in (
        (networks.generator, networks.noise(4, stream())),
        (networks.discriminator, None),
    ):
        if inputs is None:
            inputs = networks.generator(networks.generator.initialise(stream()),
                                        networks.noise(4, stream()))[0].detach()  # fmt: skip
        weights = function.initialise(stream())
        params = weights.params.clone()
        buffers = {name: buffer.clone() for name, buffer in weights.buffers.items()}
        first = function(weights, inputs)[0]
        function(function.initialise(stream(9)), inputs)
        assert torch.equal(function(weights, inputs)[0], first)
        assert torch.equal(weights.params, params)
        assert all(torch.equal(weights.buffers[name], buffer) for name, buffer in buffers.items())
        assert all(p.is_meta for p in function.module.parameters())


@pytest.mark.parametrize("bfloat16", [False, True])
def test_operands_are_the_parameters_and_their_gradients_come_back_flat(networks, bfloat16):
    """What a GPU's networks are called with, here on the CPU."""
    for function in (networks.generator, networks.discriminator):
        function.bfloat16 = bfloat16
        params = function.initialise(stream(1)).params.requires_grad_()
        operands = _Unpack.apply(params, function)
        gradients = []
        for operand, place in zip(operands, function.places(params.detach()), strict=True):
            product = place.dim() > 1
            assert operand.dtype == (torch.bfloat16 if bfloat16 and product else torch.float32)
            assert torch.equal(operand, place.to(operand.dtype))
            assert place.dim() < 4 or operand.is_contiguous(memory_format=torch.channels_last)
            gradients.append(torch.randn(place.shape, generator=stream(2)).to(operand.dtype))
        for used in (len(operands), len(operands) - 1):  # the last may be without a gradient
            (flat,) = torch.autograd.grad(
                operands[:used], params, gradients[:used], retain_graph=True
            )
            rest = [torch.zeros_like(gradient) for gradient in gradients[used:]]
            parts = [part.float().flatten() for part in (*gradients[:used], *rest)]
            assert torch.equal(flat, torch.cat(parts))


def test_initial_weights_are_a_function_of_the_generator(networks):
    for function in (networks.generator, networks.discriminator):
        one, same, other = (function.initialise(stream(seed)) for seed in (1, 1, 2))
        assert torch.equal(one.params, same.params)
        assert not torch.equal(one.params, other.params)
        assert one.params.shape == (function.parameters,)
        assert one.params.isfinite().all()
        assert all(buffer.isfinite().all() for buffer in one.buffers.values())
        assert one.params.untyped_storage().data_ptr() != same.params.untyped_storage().data_ptr()


def test_named_parameters_are_views_in_the_modules_order(networks):
    function = networks.generator
    params = torch.arange(float(function.parameters))
    named = function.named(params)
    assert list(named) == [name for name, _ in function.module.named_parameters()]
    assert torch.equal(torch.cat([tensor.flatten() for tensor in named.values()]), params)
    shared = {tensor.untyped_storage().data_ptr() for tensor in named.values()}
    assert shared == {params.untyped_storage().data_ptr()}


def test_weights_of_another_network_are_an_error(networks):
    with pytest.raises(RuntimeError):
        networks.generator.named(torch.zeros(networks.generator.parameters + 1))


def test_a_condition_that_networks_cannot_use_is_refused(networks):
    z, labels = networks.noise(3, stream()), torch.zeros(3, dtype=torch.int64)
    for function, rows in (
        (networks.generator, z),
        (networks.discriminator, networks.generator(networks.generator.initialise(stream()), z)[0]),
    ):
        with pytest.raises(TypeError, match=r"takes no condition; one of \(3,\) was given"):
            function(function.initialise(stream()), rows, labels)


def test_every_backbone_draws_its_prior():
    uniform = build_networks(DCGANConfig(prior="uniform", latent=50), (1, 8, 8))
    z = uniform.noise(2000, stream())
    assert z.shape == (2000, 50) and -1 <= z.min() < -0.99 and 0.99 < z.max() <= 1
    assert abs(z.mean()) < 0.01 and z.var().item() == pytest.approx(1 / 3, rel=0.02)
    normal = build_networks(DCGANConfig(latent=50), (1, 8, 8)).noise(2000, stream())
    assert abs(normal.mean()) < 0.01 and normal.var().item() == pytest.approx(1, rel=0.02)


def test_building_a_network_allocates_no_weights_and_draws_nothing():
    before = torch.get_rng_state()
    networks = build_networks(DCGANConfig(width=256), (3, 256, 256))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(p.is_meta for p in networks.generator.module.parameters())
    assert isinstance(networks.generator.module, nn.Module)
