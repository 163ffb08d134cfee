"""Networks for points: sizes, initial weights, refusals."""

from math import sqrt

import pytest
import torch

from egan.backbones import MLPConfig, build_networks


def stream(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("latent", [1, 2, 5])
@pytest.mark.parametrize("width", [1, 16])
@pytest.mark.parametrize("depth", [1, 3])
def test_depth_and_width_are_those_of_the_hidden_layers(latent, width, depth):
    networks = build_networks(MLPConfig(latent=latent, width=width, depth=depth), (2,))
    hidden = (depth - 1) * (width * width + width)
    assert networks.generator.parameters == (latent + 1) * width + hidden + (width + 1) * 2
    assert networks.discriminator.parameters == 3 * width + hidden + width + 1
    weights = networks.generator.initialise(stream())
    points, buffers = networks.generator(weights, networks.noise(6, stream()))
    assert points.shape == (6, 2) and buffers == {}
    logits, _ = networks.discriminator(networks.discriminator.initialise(stream()), points)
    assert logits.shape == (6,)


def test_layers_are_drawn_uniformly_within_one_over_the_root_of_their_inputs():
    networks = build_networks(MLPConfig(width=256, depth=2), (2,))
    function = networks.discriminator
    for name, tensor in function.named(function.initialise(stream()).params).items():
        inputs = 2 if name.startswith("layers.0") else 256
        bound = 1 / sqrt(inputs)
        assert tensor.abs().max() <= bound
        if tensor.numel() > 200:
            assert tensor.std().item() == pytest.approx(bound / sqrt(3), rel=0.1)


def test_images_are_refused_with_the_backbone_to_take():
    with pytest.raises(
        ValueError, match=r"backbone\.name: mlp .* 1 x 16 x 16; take backbone\.name=dcgan"
    ):
        build_networks(MLPConfig(), (1, 16, 16))
