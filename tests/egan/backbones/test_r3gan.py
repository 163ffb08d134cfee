"""R3GAN: the public code's sizes, its initial weights and resampling, and what is refused."""

import pytest
import torch
from torch.nn.functional import interpolate

from egan.backbones import R3GANConfig, build_networks
from egan.backbones.r3gan import Convolution, resample
from egan.data.condition import Conditions

TINY = R3GANConfig(latent=3, width=8, blocks=1, group=4)


def stream(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def classes(count: int) -> Conditions:
    names = tuple(map(str, range(count)))
    return Conditions("labels", count, names, (1 / count,) * count)


@pytest.mark.parametrize(
    ("resolution", "conditions", "generator", "discriminator"),
    [
        (32, None, 20_732_160, 20_683_776),
        (32, classes(10), 20_781_952, 21_280_512),  # the published network for CIFAR
        (64, None, 22_429_824, 22_381_440),  # for FFHQ
        (256, None, 23_057_952, 23_009_568),
    ],
)
def test_the_defaults_have_as_many_parameters_as_the_public_code(
    resolution, conditions, generator, discriminator
):
    """The public code's numbers were counted by building its modules."""
    networks = build_networks(R3GANConfig(), (3, resolution, resolution), conditions)
    assert networks.generator.parameters == generator
    assert networks.discriminator.parameters == discriminator


@pytest.mark.parametrize("resolution", [8, 16, 64])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_resolution_gives_images_and_logits_of_the_right_shape(resolution, channels):
    networks = build_networks(TINY, (channels, resolution, resolution))
    images, _ = networks.generator(
        networks.generator.initialise(stream()), networks.noise(2, stream())
    )
    assert images.shape == (2, channels, resolution, resolution)
    logits, _ = networks.discriminator(networks.discriminator.initialise(stream()), images)
    assert logits.shape == (2,)


@pytest.mark.parametrize("classify", [False, True])
def test_conditions_reach_both_networks_or_are_said_by_d(classify):
    networks = build_networks(TINY, (1, 8, 8), classes(3), classify)
    g, d = networks.generator.initialise(stream(1)), networks.discriminator.initialise(stream(2))
    z = networks.noise(1, stream()).expand(3, -1)
    images, _ = networks.generator(g, z, torch.eye(3))
    assert not torch.allclose(images[0], images[1])
    if classify:
        assert networks.discriminator(d, images)[0].shape == (3, 4)
    else:
        logits, _ = networks.discriminator(d, images[:1].expand(3, -1, -1, -1), torch.eye(3))
        assert logits.shape == (3,) and logits.unique().numel() == 3


def test_resampling_is_bilinear_inside_and_halving_is_its_transpose():
    x = torch.randn(2, 3, 8, 8, generator=stream(), dtype=torch.float64)
    doubled = resample(x, up=True)
    expected = interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
    assert torch.allclose(doubled[..., 1:-1, 1:-1], expected[..., 1:-1, 1:-1])
    y = torch.randn(2, 3, 16, 16, generator=stream(), dtype=torch.float64)
    assert torch.allclose((doubled * y).sum(), 4 * (x * resample(y, up=False)).sum())


def test_networks_start_as_their_resampling_path_with_fixups_gains():
    networks = build_networks(R3GANConfig(width=64, latent=3), (1, 16, 16))
    function = networks.generator
    named = function.named(function.initialise(stream()).params)
    assert not any(t.any() for name, t in named.items() if name.endswith("layers.4.weight"))
    assert not any(t.any() for name, t in named.items() if name.endswith("bias"))
    gain = (2 / 1.04) ** 0.5 * 6**-0.25  # three stages of two blocks
    assert named["stages.0.0.layers.0.weight"].std().item() == pytest.approx(gain / 8, rel=0.05)
    grouped = named["stages.0.0.layers.2.weight"]
    assert grouped.shape == (128, 16, 3, 3)
    assert grouped.std().item() == pytest.approx(gain / 12, rel=0.05)
    assert named["opening.basis"].std().item() == pytest.approx(1, rel=0.1)


def test_widths_halve_beyond_32_pixels_where_a_convolution_changes_them():
    assert R3GANConfig(width=64).widths(128) == [64, 64, 64, 64, 32, 16]
    networks = build_networks(R3GANConfig(width=16), (1, 64, 64))
    module = networks.generator.module
    assert [isinstance(layer, Convolution) for layer in module.widening] == [0, 0, 0, 1]


@pytest.mark.parametrize(
    ("config", "shape", "message"),
    [
        (R3GANConfig(), (2,), r"r3gan makes images, .* take backbone\.name=mlp"),
        (R3GANConfig(), (3, 28, 28), "square images of 8, 16, 32"),
        (R3GANConfig(width=12), (3, 16, 16), r"backbone\.width: 12 gives 12 channels at 4 pixels"),
        (R3GANConfig(width=8), (3, 64, 64), r"gives 4 channels at 64 pixels, and 8 inside"),
    ],
)
def test_data_and_widths_that_do_not_fit_are_refused(config, shape, message):
    with pytest.raises(ValueError, match=message):
        build_networks(config, shape)
