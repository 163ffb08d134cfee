"""DCGAN: the published sizes, every resolution, the published initial weights."""

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from egan.backbones import DCGANConfig, build_networks

RESOLUTIONS = (8, 16, 32, 64, 128, 256)


def stream(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_the_networks_at_64_pixels_have_the_published_numbers_of_parameters():
    networks = build_networks(DCGANConfig(latent=100, width=64), (3, 64, 64))
    assert networks.generator.parameters == 3_576_704
    assert networks.discriminator.parameters == 2_765_568
    biased = [m for m in networks.generator.module.modules() if isinstance(m, nn.ConvTranspose2d)]
    assert len(biased) == 5 and all(module.bias is None for module in biased)
    convolutions = [m for m in networks.discriminator.module.modules() if isinstance(m, nn.Conv2d)]
    assert len(convolutions) == 5 and all(module.bias is None for module in convolutions)
    # no batch normalisation in D's first layer
    assert [m.num_features for m in networks.discriminator.module.modules()
            if isinstance(m, nn.BatchNorm2d)] == [128, 256, 512]  # fmt: skip


@pytest.mark.parametrize("n", [4, 128])
def test_e_gans_cifar_networks_are_a_setting(n):
    config = DCGANConfig(latent=100, prior="uniform", width=n, generator_norm="none", bias=True)
    networks = build_networks(config, (3, 32, 32))
    kernel = 4 * 4
    generator = (
        (100 * 4 * n * kernel + 4 * n)  # z -> 4n, 4 x 4
        + (4 * n * 2 * n * kernel + 2 * n)
        + (2 * n * n * kernel + n)
        + (n * 3 * kernel + 3)
    )
    discriminator = (
        (3 * n * kernel + n)
        + (n * 2 * n * kernel + 2 * n + 2 * 2 * n)  # and its normaliser's gain and bias
        + (2 * n * 4 * n * kernel + 4 * n + 2 * 4 * n)
        + (4 * n * 4 * 4 + 1)  # the linear layer
    )
    assert networks.generator.parameters == generator
    assert networks.discriminator.parameters == discriminator
    modules = [type(m) for m in networks.generator.module.modules()]
    assert nn.BatchNorm2d not in modules and modules[-1] is nn.Tanh


@pytest.mark.parametrize("resolution", RESOLUTIONS)
@pytest.mark.parametrize("channels", [1, 3])
def test_every_resolution_gives_images_and_logits_of_the_right_shape(resolution, channels):
    config = DCGANConfig(latent=3, width=1)
    networks = build_networks(config, (channels, resolution, resolution))
    g = networks.generator.initialise(stream())
    d = networks.discriminator.initialise(stream())
    images, _ = networks.generator(g, networks.noise(2, stream()))
    assert images.shape == (2, channels, resolution, resolution)
    assert images.abs().max() <= 1
    logits, _ = networks.discriminator(d, images)
    assert logits.shape == (2,)


def test_channels_double_towards_4_x_4_up_to_8_times_the_width():
    networks = build_networks(DCGANConfig(latent=7, width=2), (3, 256, 256))
    shapes = [tuple(s) for name, s in networks.generator.layout if len(s) == 4]
    assert [s[:2] for s in shapes] == [
        (7, 16), (16, 16), (16, 16), (16, 8), (8, 4), (4, 2), (2, 3),
    ]  # fmt: skip
    shapes = [tuple(s) for name, s in networks.discriminator.layout if len(s) == 4]
    assert [s[:2] for s in shapes] == [
        (2, 3), (4, 2), (8, 4), (16, 8), (16, 16), (16, 16), (1, 16),
    ]  # fmt: skip


@pytest.mark.parametrize("shape", [(3, 28, 28), (1, 512, 512), (1, 4, 4), (1, 32, 16), (3, 48, 48)])
def test_images_of_another_size_are_refused_with_the_key_to_change(shape):
    size = " x ".join(map(str, shape))
    with pytest.raises(
        ValueError, match=rf"backbone\.name: dcgan .* are {size}; set data\.resolution"
    ):
        build_networks(DCGANConfig(), shape)


def test_points_are_refused_with_the_backbone_to_take():
    with pytest.raises(ValueError, match=r"samples are 2; take backbone\.name=mlp"):
        build_networks(DCGANConfig(), (2,))


@pytest.mark.parametrize("norm", ["batch", "instance"])
def test_weights_are_drawn_as_published(norm):
    config = DCGANConfig(width=32, generator_norm=norm, discriminator_norm=norm, bias=True)
    networks = build_networks(config, (3, 32, 32))
    for function in (networks.generator, networks.discriminator):
        weights = function.initialise(stream(1))
        named = function.named(weights.params)
        kernels = torch.cat([t.flatten() for t in named.values() if t.dim() == 4])
        assert abs(kernels.mean()) < 2e-4 and abs(kernels.std() - 0.02) < 2e-4  # N(0, 0.02)
        normalisers = [
            name for name, m in function.module.named_modules()
            if isinstance(m, nn.BatchNorm2d | nn.InstanceNorm2d)
        ]  # fmt: skip
        gains = torch.cat([named[f"{name}.weight"] for name in normalisers])
        assert abs(gains.mean() - 1) < 0.006 and abs(gains.std() - 0.02) < 0.004  # N(1, 0.02)
        biases = [t for name, t in named.items() if name.endswith("bias")]
        assert len(biases) > 3 and all((b == 0).all() for b in biases)


def test_buffers_begin_as_batch_normalisations_own():
    networks = build_networks(DCGANConfig(width=2), (1, 32, 32))
    for function in (networks.generator, networks.discriminator):
        buffers = function.initialise(stream()).buffers
        assert buffers
        for name, buffer in buffers.items():
            expected = {"running_mean": 0, "running_var": 1, "num_batches_tracked": 0}
            assert (buffer == expected[name.rpartition(".")[2]]).all()


@pytest.mark.parametrize(
    "values", [{"latent": 0}, {"width": 0}, {"prior": "cauchy"}, {"generator_norm": "layer"}]
)
def test_impossible_settings_are_refused(values):
    with pytest.raises(ValidationError):
        DCGANConfig(**values)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("norm", ["batch", "none"])
def test_a_discriminator_with_neither_norm_nor_biases_gets_advice(norm, bias):
    config = DCGANConfig(width=4, discriminator_norm=norm, bias=bias)
    d = config.build((3, 8, 8)).discriminator
    weights = d.initialise(torch.Generator().manual_seed(0))
    logits, _ = d(weights, torch.zeros(2, 3, 8, 8))
    assert (config.advice is not None) == (norm == "none" and not bias)
    if config.advice:
        assert "backbone.bias=true" in config.advice and not logits.any()
