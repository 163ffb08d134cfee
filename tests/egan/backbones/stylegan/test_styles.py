"""Latents and styles: the mapping, mixing, truncation, noise, and where each has its effect."""

import numpy as np
import pytest
import torch

from egan.backbones.progressive.growth import Stage
from egan.backbones.stylegan import latents as latent_rows
from egan.backbones.stylegan import networks as stylegan
from egan.backbones.stylegan.noise import noise_images
from egan.backbones.stylegan.styles import map_latents, synthesise, tracked_mean, truncate
from egan.determinism import send
from egan.state import Weights


def draw(count, config, stream):
    return latent_rows.draw_latents(count, config.latent, config.mixing, stream)


@pytest.fixture
def generator(style_networks):
    return style_networks.generator


def test_the_mapping_is_its_paper_in_numpy(generator, lively, stream):
    weights, z = lively(generator), torch.randn(3, 6, generator=stream)
    named = {k: v.double().numpy() for k, v in generator.named(weights.params).items()}
    w = z.double().numpy()
    w = w / np.sqrt((w**2).mean(axis=1, keepdims=True) + 1e-8)
    for index in range(3):
        weight = named[f"mapping.layers.{index}.weight"]
        scale = 0.01 * np.sqrt(2 / weight.shape[1])
        w = w @ (weight * scale).T + 0.01 * named[f"mapping.layers.{index}.bias"]
        w = np.maximum(w, 0.2 * w)
    np.testing.assert_allclose(map_latents(generator, weights, z), w, atol=1e-5)


def test_z_counts_by_its_direction_alone(generator, lively, stream):
    weights, z = lively(generator), torch.randn(3, 6, generator=stream)
    near = map_latents(generator, weights, z)
    torch.testing.assert_close(map_latents(generator, weights, 5 * z), near)


def test_mixing_takes_the_second_style_from_the_crossover_on():
    first, second = torch.zeros(4, 6, 2), torch.ones(4, 6, 2)
    mixed = latent_rows.mix(first, second, torch.tensor([1, 3, 5, 6]))
    expected = np.zeros((4, 6, 2))
    for row, crossover in enumerate((1, 3, 5, 6)):
        expected[row, crossover:] = 1
    np.testing.assert_array_equal(mixed, expected)


def test_crossovers_are_uniform_over_the_layers_of_the_stage(style_config):
    latents = draw(40_000, style_config, torch.Generator().manual_seed(0))
    for count in (2, 8):
        layer = latent_rows.crossover_layer(latents.crossover, count)
        share = np.bincount(layer.numpy(), minlength=count + 1) / len(layer)
        assert share[0] == 0
        assert share[count] == pytest.approx(0.1, abs=0.01)  # not mixed
        np.testing.assert_allclose(share[1:count], 0.9 / (count - 1), atol=0.01)


def test_without_mixing_no_second_latent_is_drawn(stream):
    latents = draw(4, stylegan.StyleGANConfig(mixing=0), stream)
    assert latents.z2 is None
    assert latents.crossover is None
    assert len(latents[1:3]) == 2


def test_in_training_an_image_mixes_the_styles_of_its_two_latents(generator, lively, stream):
    weights = lively(generator)
    latents = latent_rows.Latents(
        z=torch.randn(2, 6, generator=stream),
        seeds=torch.tensor([5, 6]),
        z2=torch.randn(2, 6, generator=stream),
        crossover=torch.tensor([0.0, 0.5]),
    )
    images, _ = generator(weights, latents)
    first, second = (map_latents(generator, weights, z) for z in (latents.z, latents.z2))
    styles = latent_rows.every_layer(first, 8).clone()  # 32 pixels: 8 layers
    styles[0, 1:], styles[1, 4:] = second[0], second[1]
    noise = noise_images(latents.seeds, 32)
    assert torch.equal(images, synthesise(generator, weights, styles, noise))


def test_out_of_training_each_image_has_one_style(generator, lively, stream, style_config):
    weights, latents = lively(generator), draw(4, style_config, stream)
    images, buffers = generator(weights, latents, training=False)
    alone = latent_rows.Latents(latents.z, latents.seeds)
    assert torch.equal(images, generator(weights, alone, training=False)[0])
    assert torch.equal(buffers["mapping.mean"], weights.buffers["mapping.mean"])


def test_training_tracks_the_mean_of_w(generator, lively, stream, style_config):
    weights, latents = lively(generator), draw(16, style_config, stream)
    _, buffers = generator(weights, latents)
    mean = map_latents(generator, weights, latents.z).double().mean(0)
    torch.testing.assert_close(buffers["mapping.mean"].double(), 0.005 * mean)
    _, buffers = generator(Weights(weights.params, buffers), latents)
    torch.testing.assert_close(buffers["mapping.mean"].double(), (1 - 0.995**2) * mean)


def test_truncation_moves_the_first_layers_towards_the_mean(stream):
    styles, mean = torch.randn(3, 8, 5, generator=stream), torch.randn(5, generator=stream)
    expected = styles.double().numpy().copy()
    expected[:, :4] = mean.double().numpy() + 0.7 * (expected[:, :4] - mean.double().numpy())
    truncated = truncate(styles, mean, 0.7, cutoff=4)
    np.testing.assert_allclose(truncated, expected, atol=1e-6)
    assert torch.equal(truncate(styles, mean, 0.0)[1], mean.expand(8, 5))
    torch.testing.assert_close(truncate(styles, mean, 1.0), styles)
    with pytest.raises(ValueError, match="from 0 to 8, not 9"):
        truncate(styles, mean, 0.7, cutoff=9)


def test_truncation_needs_a_mean_of_w(pro_networks, stream):
    weights = pro_networks.generator.initialise(stream)
    with pytest.raises(ValueError, match="only a stylegan generator"):
        tracked_mean(weights)
    with pytest.raises(ValueError, match=r"only backbone\.name=stylegan has styles"):
        map_latents(pro_networks.generator, weights, torch.zeros(1, 6))


def test_styles_that_do_not_fit_the_stage_are_refused(generator, stream):
    weights = generator.initialise(stream)
    noise = noise_images(torch.arange(2), 16)
    with pytest.raises(ValueError, match=r"16 pixels take styles of 6 layers, \(N, 6, style\)"):
        synthesise(generator, weights, torch.zeros(2, 8, 5), noise, Stage(16))


def test_an_image_depends_on_its_own_row_alone(generator, lively, stream, style_config):
    weights, latents = lively(generator), draw(6, style_config, stream)
    together, _ = generator(weights, latents)
    apart = torch.cat([generator(weights, latents[row : row + 2])[0] for row in (0, 2, 4)])
    torch.testing.assert_close(together, apart)


def test_the_seed_changes_the_noise_and_only_where_noise_has_weight(
    generator, lively, stream, style_config
):
    latents = draw(4, style_config, stream)
    other = latent_rows.Latents(latents.z, latents.seeds + 1)
    weights = lively(generator)
    images, noisy = (generator(weights, x, training=False)[0] for x in (latents, other))
    assert (images - noisy).abs().mean() > 1e-3
    fresh = generator.initialise(stream)  # the noise's scales start at zero
    images, noisy = (generator(fresh, x, training=False)[0] for x in (latents, other))
    assert torch.equal(images, noisy)


def test_latents_move_and_slice_together(style_config, stream):
    latents = draw(5, style_config, stream)
    part = send(latents[1:4], torch.device("meta"))
    assert len(part) == 3
    assert {t.device.type for t in (part.z, part.seeds, part.z2, part.crossover)} == {"meta"}
    assert {len(t) for t in (part.z, part.seeds, part.z2, part.crossover)} == {3}


def test_synthesis_is_its_paper_layer_by_layer(generator, lively, stream):
    """The synthesis network at 8 x 8 in plain numpy."""
    weights = lively(generator)
    named = {k: v.double().numpy() for k, v in generator.named(weights.params).items()}
    styles = torch.randn(2, 4, 5, generator=stream)
    noise = noise_images(torch.tensor([3, 4]), 8)

    def conv(x, name, gain):
        w = named[f"synthesis.{name}.weight"]
        w = w * gain / np.sqrt(w[0].size)
        reach = w.shape[-1] // 2
        padded = np.pad(x, ((0, 0), (0, 0), (reach, reach), (reach, reach)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, w.shape[2:], axis=(2, 3))
        return np.einsum("nchwij,ocij->nohw", windows, w)

    def blurred(x):
        padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))
        return np.einsum("nchwij,ij->nchw", windows, np.outer([1, 2, 1], [1, 2, 1]) / 16)

    def styled(x, name, layer):
        p = {k: named[f"synthesis.blocks.{name}.{k}"] for k in ("noise_scale", "bias")}
        x = x + noise[layer].double().numpy() * p["noise_scale"][:, None, None]
        x = x + p["bias"][:, None, None]
        x = np.maximum(x, 0.2 * x)
        x = (x - x.mean((2, 3), keepdims=True)) / x.std((2, 3), keepdims=True)
        affine = named[f"synthesis.blocks.{name}.style.weight"] / np.sqrt(5)
        y = styles[:, layer].double().numpy() @ affine.T
        y = y + named[f"synthesis.blocks.{name}.style.bias"]
        scale, shift = np.split(y[:, :, None, None], 2, axis=1)
        return x * (1 + scale) + shift

    he = np.sqrt(2)
    x = np.repeat(named["synthesis.blocks.4.constant.value"][None], 2, axis=0)
    x = styled(x, "4.first", 0)
    x = styled(conv(x, "blocks.4.conv", he), "4.second", 1)
    x = blurred(conv(x.repeat(2, axis=2).repeat(2, axis=3), "blocks.8.conv_up", he))
    x = styled(x, "8.first", 2)
    x = styled(conv(x, "blocks.8.conv", he), "8.second", 3)
    expected = conv(x, "to_rgb.8", 1.0) + named["synthesis.to_rgb.8.bias"][:, None, None]
    images = synthesise(generator, weights, styles, noise, Stage(8))
    np.testing.assert_allclose(images, expected, atol=2e-4)
