"""The networks as functions: counts, shapes, fades, gradients and determinism."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from egan.backbones.dcgan import networks as dcgan
from egan.backbones.progressive import progan
from egan.backbones.progressive.growth import Stage, introduced
from egan.backbones.progressive.layers import blur, upsample
from egan.backbones.progressive.networks import ToRGB
from egan.backbones.stylegan import networks as stylegan
from egan.backbones.stylegan.blocks import ModulatedLayer, StyledLayer
from egan.backbones.stylegan.plain import FIRST
from egan.determinism import send
from egan.discriminator import squared_gradient_norm
from egan.state import Weights
from egan.tensor_tree import mapped

SMALLER = ("from_rgb.8.", "from_rgb.16.")  # what images below 32 pixels come in by


def test_the_published_parameter_counts_at_1024_pixels():
    style = stylegan.build(stylegan.StyleGANConfig(), (3, 1024, 1024))
    pro = progan.build(progan.ProGANConfig(), (3, 1024, 1024))
    assert style.generator.parameters == 26_219_627  # "26.2M", 1812.04948, section 2
    assert pro.generator.parameters == 23_079_115  # "23.1M", 1710.10196, table 2
    assert style.discriminator.parameters == pro.discriminator.parameters == 23_087_249


def test_the_channels_are_as_published():
    config = stylegan.StyleGANConfig()
    sides = [4, 8, 16, 32, 64, 128, 256, 512, 1024]
    assert [config.channels(side) for side in sides] == [512] * 4 + [256, 128, 64, 32, 16]


def test_the_published_layers_have_their_shapes():
    style = stylegan.build(stylegan.StyleGANConfig(), (3, 1024, 1024))
    shapes = {name: tuple(shape) for name, shape in style.generator.layout}
    assert shapes["mapping.layers.7.weight"] == (512, 512)
    assert shapes["synthesis.blocks.4.constant.value"] == (512, 4, 4)
    assert shapes["synthesis.blocks.64.conv_up.weight"] == (256, 512, 3, 3)
    assert shapes["synthesis.blocks.1024.second.style.weight"] == (32, 512)
    assert shapes["synthesis.blocks.1024.second.noise_scale"] == (16,)
    assert shapes["synthesis.to_rgb.1024.weight"] == (3, 16, 1, 1)
    judge = {name: tuple(shape) for name, shape in style.discriminator.layout}
    assert judge["from_rgb.1024.weight"] == (16, 3, 1, 1)
    assert judge["blocks.64.conv_down.weight"] == (512, 256, 3, 3)
    assert judge["verdict.conv.weight"] == (512, 513, 3, 3)
    assert judge["verdict.hidden.weight"] == (512, 8192)


@pytest.mark.parametrize("resolution", [8, 16, 64, 128, 256, 512, 1024])
def test_every_published_resolution_makes_and_judges_images(resolution, stream):
    """At full size on the meta device: shapes alone, no memory."""
    for module, config in (
        (stylegan, stylegan.StyleGANConfig()),
        (progan, progan.ProGANConfig()),
    ):
        networks = module.build(config, (3, resolution, resolution))
        inputs = send(networks.noise(4, stream), torch.device("meta"))
        fakes = networks.generator.module(inputs)
        assert fakes.shape == (4, 3, resolution, resolution)
        assert networks.discriminator.module(fakes).shape == (4,)


@pytest.mark.parametrize("shape", [(3, 24, 24), (3, 16, 32), (3, 4, 4), (3, 2048, 2048), (2,)])
@pytest.mark.parametrize("module", [stylegan, progan])
def test_data_of_another_shape_are_refused(module, shape):
    config = stylegan.StyleGANConfig() if module is stylegan else progan.ProGANConfig()
    with pytest.raises(ValueError, match=r"backbone.name: (stylegan|progan) makes"):
        module.build(config, shape)


def test_initial_weights_are_a_function_of_the_stream(networks):
    for function in (networks.generator, networks.discriminator):
        first, second, other = (
            function.initialise(torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)
        )
        assert torch.equal(first.params, second.params)
        assert not torch.equal(first.params, other.params)
        assert first.params.isfinite().all()


@given(resolution=st.sampled_from([4, 8, 16, 32]), alpha=st.sampled_from([0.0, 0.3, 1.0]))
@settings(max_examples=12, deadline=None)
def test_a_call_is_deterministic_and_leaves_the_weights_alone(resolution, alpha):
    config = stylegan.StyleGANConfig(latent=6, style=5, mapping_layers=2, fmap_base=32, fmap_max=8)
    networks = stylegan.build(config, (3, 32, 32))
    stream = torch.Generator().manual_seed(7)
    weights = networks.generator.initialise(stream)
    before = {name: buffer.clone() for name, buffer in weights.buffers.items()}
    inputs, stage = networks.noise(4, stream), Stage(resolution, alpha)
    images, _ = networks.generator(weights, inputs, stage=stage)
    again, _ = networks.generator(weights, inputs, stage=stage)
    assert images.shape == (4, 3, resolution, resolution)
    assert torch.equal(images, again)
    assert all(torch.equal(before[name], weights.buffers[name]) for name in before)


@pytest.mark.parametrize("resolution", [8, 16, 32])
def test_at_alpha_0_the_images_are_the_previous_stages_upsampled_exactly(
    networks, resolution, lively, stream
):
    weights, inputs = lively(networks.generator), networks.noise(4, stream)
    faded, _ = networks.generator(weights, inputs, stage=Stage(resolution, 0.0), training=False)
    before, _ = networks.generator(weights, inputs, stage=Stage(resolution // 2), training=False)
    assert torch.equal(faded, upsample(before))


@pytest.mark.parametrize("resolution", [8, 32])
def test_at_alpha_1_the_images_are_the_new_stages(networks, resolution, lively, stream):
    weights, inputs = lively(networks.generator), networks.noise(4, stream)
    almost, _ = networks.generator(weights, inputs, stage=Stage(resolution, 1 - 1e-7))
    whole, _ = networks.generator(weights, inputs, stage=Stage(resolution, 1.0))
    torch.testing.assert_close(almost, whole)


def test_the_fade_is_linear_in_alpha(networks, lively, stream):
    weights, inputs = lively(networks.generator), networks.noise(4, stream)
    old, half, new = (
        networks.generator(weights, inputs, stage=Stage(16, alpha))[0] for alpha in (0.0, 0.5, 1.0)
    )
    torch.testing.assert_close(half, (old + new) / 2)


def test_at_alpha_0_the_discriminator_judges_the_images_averaged_down(networks, lively, stream):
    weights = lively(networks.discriminator)
    images = torch.randn(4, 3, 16, 16, generator=stream)
    faded, _ = networks.discriminator(weights, images, stage=Stage(16, 0.0))
    halved = images.unflatten(3, (8, 2)).unflatten(2, (8, 2)).mean((3, 5))
    before, _ = networks.discriminator(weights, halved, stage=Stage(8))
    torch.testing.assert_close(faded, before)


def test_growing_by_a_fade_from_zero_changes_no_verdict_on_grown_fakes(networks, lively, stream):
    """The step to a new resolution is seamless for G and D together."""
    g, d = lively(networks.generator), lively(networks.discriminator)
    inputs = networks.noise(8, stream)

    def verdicts(stage):
        fakes, _ = networks.generator(g, inputs, stage=stage, training=False)
        return networks.discriminator(d, fakes, stage=stage)[0]

    torch.testing.assert_close(verdicts(Stage(32, 0.0)), verdicts(Stage(16)), rtol=1e-4, atol=1e-5)


def plain(networks):
    return getattr(networks.config, "discriminator", None) == "plain"


def active(name, stage):
    """Whether a parameter takes part in a stage, by the papers' figures."""
    resolution = introduced(name)
    if "rgb" in name:
        fading = stage.alpha < 1 and resolution == stage.resolution // 2
        return resolution == stage.resolution or fading
    return resolution <= stage.resolution


@pytest.mark.parametrize("stage", [Stage(4), Stage(8), Stage(16, 0.5), Stage(32, 0.5), Stage(32)])
def test_gradients_of_inactive_layers_are_exactly_zero_and_of_active_ones_not(
    networks, stage, lively, stream
):
    if plain(networks) and stage.resolution < FIRST:
        pytest.skip("a plain discriminator judges images of 8 pixels or more")
    g, d = lively(networks.generator), lively(networks.discriminator)
    inputs = networks.noise(8, stream)
    leaves = [w.params.requires_grad_() for w in (g, d)]
    fakes, _ = networks.generator(g, inputs, stage=stage)
    logits, _ = networks.discriminator(d, fakes, stage=stage)
    gradients = torch.autograd.grad(logits.square().sum(), leaves)
    for function, gradient in zip(
        (networks.generator, networks.discriminator), gradients, strict=True
    ):
        for name, part in function.named(gradient).items():
            assert bool(part.count_nonzero()) == active(name, stage), name


def test_r1_is_differentiable_by_the_discriminators_parameters(networks, lively, stream):
    weights = lively(networks.discriminator)
    params = weights.params.requires_grad_()
    images = torch.randn(4, 3, 8, 8, generator=stream)

    def judge(samples, _):
        return networks.discriminator(Weights(params, {}), samples["x"], stage=Stage(8, 0.5))[0]

    norm = squared_gradient_norm(judge, {"x": images}, {})
    (gradient,) = torch.autograd.grad(norm.mean(), params)
    assert gradient.isfinite().all()
    assert gradient.count_nonzero()


def test_the_published_discriminator_sees_a_collapsed_batch(networks, lively, stream):
    """Minibatch standard deviation: the same image judged among copies, and among others."""
    weights = lively(networks.discriminator)
    varied = torch.randn(4, 3, 32, 32, generator=stream)
    among_others, _ = networks.discriminator(weights, varied)
    among_copies, _ = networks.discriminator(weights, varied[:1].repeat(4, 1, 1, 1))
    difference = (among_others[0] - among_copies[0]).abs()
    if plain(networks):  # each image by itself
        torch.testing.assert_close(difference, torch.tensor(0.0), rtol=0, atol=1e-6)
    else:
        assert difference > 1e-4


def test_an_impossible_stage_is_refused(networks, stream):
    weights, inputs = networks.generator.initialise(stream), networks.noise(4, stream)
    with pytest.raises(ValueError, match="of 32 pixels has no stage at 64"):
        networks.generator(weights, inputs, stage=Stage(64))
    with pytest.raises(ValueError, match="no stage at 12"):
        networks.generator(weights, inputs, stage=Stage(12))
    with pytest.raises(ValueError, match=r"alpha lies in \[0, 1\], not at 1.5"):
        networks.generator(weights, inputs, stage=Stage(16, 1.5))


def test_images_of_another_resolution_are_not_judged(networks, stream):
    weights = networks.discriminator.initialise(stream)
    with pytest.raises(ValueError, match="images of 16 pixels at this stage, not of 32"):
        networks.discriminator(weights, torch.zeros(4, 3, 32, 32), stage=Stage(16))


def test_progan_is_its_paper_layer_by_layer(pro_networks, lively, stream):
    """The generator at 8 x 8 in plain numpy."""
    weights, z = lively(pro_networks.generator), pro_networks.noise(2, stream)
    named = {k: v.double().numpy() for k, v in pro_networks.generator.named(weights.params).items()}

    def norm(x):
        return x / np.sqrt((x**2).mean(axis=1, keepdims=True) + 1e-8)

    def conv(x, name, gain):
        w = named[f"{name}.weight"]
        w = w * gain / np.sqrt(w[0].size)
        reach = w.shape[-1] // 2
        padded = np.pad(x, ((0, 0), (0, 0), (reach, reach), (reach, reach)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, w.shape[2:], axis=(2, 3))
        return np.einsum("nchwij,ocij->nohw", windows, w) + named[f"{name}.bias"][:, None, None]

    def act(x):
        return norm(np.maximum(x, 0.2 * x))

    he = np.sqrt(2)
    dense = named["blocks.4.dense.weight"] * he / 4 / np.sqrt(z.shape[1])
    x = (norm(z.double().numpy()) @ dense.T).reshape(2, -1, 4, 4)
    x = act(x + named["blocks.4.bias.bias"][:, None, None])
    x = act(conv(x, "blocks.4.conv", he))
    x = act(conv(x.repeat(2, axis=2).repeat(2, axis=3), "blocks.8.conv_up", he))
    x = act(conv(x, "blocks.8.conv", he))
    expected = conv(x, "to_rgb.8", 1.0)
    images, _ = pro_networks.generator(weights, z, stage=Stage(8))
    np.testing.assert_allclose(images, expected, atol=1e-4)


def test_mixed_precision_stays_near_full_precision(networks, lively, stream):
    g, d = lively(networks.generator), lively(networks.discriminator)
    inputs, stage = networks.noise(8, stream), Stage(16, 0.5)
    found = {}
    for half in (False, True):
        for network in (networks.generator, networks.discriminator):
            network.compute_in("bfloat16" if half else "float32")
        params = g.params.detach().requires_grad_()
        fakes, buffers = networks.generator(Weights(params, g.buffers), inputs, stage=stage)
        logits, _ = networks.discriminator(d, fakes, stage=stage)
        (gradient,) = torch.autograd.grad(logits.sum(), params)
        assert all(b.dtype in (torch.float32, torch.int64) for b in buffers.values())
        found[half] = fakes.detach(), gradient
    for whole, half in zip(found[False], found[True], strict=True):
        assert half.dtype is torch.float32
        assert torch.cosine_similarity(whole.flatten(), half.flatten(), dim=0) > 0.98


def test_batch_statistics_under_the_styles_are_the_running_ones_outside_training(stream):
    """By hand: leaky ReLU, the statistics of all images, then the style's scale and shift."""
    layer = StyledLayer(style=5, channels=8, batch_norm=True)
    layer.reset(stream)
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter, generator=stream)
    x, w = torch.randn(6, 8, 4, 4, generator=stream), torch.randn(6, 5, generator=stream)
    noise = torch.randn(6, 1, 4, 4, generator=stream)
    inside = x + noise * layer.noise_scale[:, None, None] + layer.bias[:, None, None]
    inside = torch.where(inside > 0, inside, 0.2 * inside)
    scale, shift = layer.style(w)[:, :, None, None].chunk(2, 1)

    def normalised(mean, variance):
        return (inside - mean) / (variance + 1e-5).sqrt() * (1 + scale) + shift

    over = {"dim": (0, 2, 3), "keepdim": True}
    mean, variance = inside.mean(**over), inside.var(**over, correction=0)
    torch.testing.assert_close(layer(x, noise, w), normalised(mean, variance))
    layer.eval()
    running = 0.1 * mean, 0.9 + 0.1 * inside.var(**over)
    torch.testing.assert_close(layer(x, noise, w), normalised(*running))


@pytest.mark.parametrize("up", [False, True])
def test_a_modulated_layer_convolves_each_image_with_weights_of_its_own(up, stream):
    """By hand, 1912.04958, equations 1 and 3: scaled weights, divided by their size."""
    layer = ModulatedLayer(style=5, inputs=3, outputs=4, resample="up" if up else "none")
    layer.reset(stream)
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter, generator=stream)
    x, w = torch.randn(2, 3, 4, 4, generator=stream), torch.randn(2, 5, generator=stream)
    noise = torch.randn(2, 1, 8 if up else 4, 8 if up else 4, generator=stream)
    plain = layer.conv.weight.detach().clone()
    for image in range(2):
        scale = layer.style(w)[image] + 1
        weights = scale[None, :, None, None] * plain * layer.conv.scale
        size = weights.square().sum((1, 2, 3)).sqrt()
        weights = weights / size[:, None, None, None]
        with torch.no_grad():
            layer.conv.weight.copy_(weights / layer.conv.scale)
            found = layer.conv(x[image : image + 1])
            layer.conv.weight.copy_(plain)
        found = found + noise[image] * layer.noise_scale[:, None, None] + layer.bias[:, None, None]
        expected = 2**0.5 * torch.where(found > 0, found, 0.2 * found)
        torch.testing.assert_close(layer(x, noise, w)[image : image + 1], expected)


def test_images_of_all_resolutions_are_summed(stream):
    config = stylegan.StyleGANConfig(rgb="sum", fmap_base=16, fmap_max=4)
    to_rgb = ToRGB(config, 3, 16, summed=True)
    for parameter in to_rgb.parameters():
        torch.nn.init.normal_(parameter, generator=stream)
    features = {
        side: torch.randn(2, config.channels(side), side, side, generator=stream)
        for side in (4, 8, 16)
    }
    own = {side: to_rgb.get_submodule(str(side))(x) for side, x in features.items()}
    expected = blur(upsample(blur(upsample(own[4])) + own[8])) + own[16]
    torch.testing.assert_close(to_rgb(lambda side, x: features[side], Stage(16)), expected)


def test_every_weight_of_modulated_networks_learns_and_an_image_is_its_rows(
    modulated_networks, lively, stream
):
    networks, g = modulated_networks, lively(modulated_networks.generator)
    inputs, params = networks.noise(4, stream), g.params.requires_grad_()
    images, _ = networks.generator(g, inputs)
    assert images.abs().max() <= 1
    (gradient,) = torch.autograd.grad(images.square().sum(), params)
    parts = networks.generator.named(gradient)
    assert [name for name, part in parts.items() if not part.count_nonzero()] == []
    with torch.no_grad():
        alone, _ = networks.generator(g, mapped(inputs, lambda rows: rows[1:2]))
    torch.testing.assert_close(alone, images[1:2].detach(), rtol=1e-4, atol=1e-5)


def test_a_sum_of_all_resolutions_does_not_grow():
    with pytest.raises(ValueError, match=r"rgb: sum .* leave growth out"):
        stylegan.StyleGANConfig(rgb="sum", growth={"start": 8})


def test_a_plain_discriminator_with_a_norm_has_the_layers_of_dcgans():
    """At equal width, on the way of images at full size."""
    config = stylegan.StyleGANConfig(
        discriminator="plain", discriminator_norm="batch", discriminator_width=4
    )
    own = stylegan.build(config, (3, 32, 32)).discriminator.layout
    theirs = dcgan.DCGANConfig(width=4).build((3, 32, 32)).discriminator.layout
    shapes = [tuple(shape) for name, shape in own if not name.startswith(SMALLER)]
    assert sorted(shapes) == sorted(tuple(shape) for _, shape in theirs)


def test_what_only_a_plain_discriminator_has_is_refused_of_another():
    with pytest.raises(
        ValueError, match=r"discriminator_norm is for discriminator: plain, not pro"
    ):
        stylegan.StyleGANConfig(discriminator_norm="batch")


def test_a_plain_discriminator_is_a_dcgans_without_its_norm():
    """One of four halvings and no norm: its parameters are those of DCGAN's layers, with biases."""
    config = stylegan.StyleGANConfig(discriminator="plain", fmap_base=64, fmap_max=64)
    own = stylegan.build(config, (3, 16, 16)).discriminator
    channels = {side: config.channels(side) for side in (4, 8)}
    assert {name: tuple(shape) for name, shape in own.layout if "weight" in name} == {
        "from_rgb.8.weight": (channels[4], 3, 4, 4),
        "from_rgb.16.weight": (channels[8], 3, 4, 4),
        "blocks.16.weight": (channels[4], channels[8], 4, 4),
        "verdict.weight": (1, channels[4], 4, 4),
    }


def test_a_plain_discriminator_grows_from_eight_pixels_and_takes_any_batch():
    with pytest.raises(ValueError, match=r"growth.start is 4, .* take growth.start: 8"):
        stylegan.StyleGANConfig(discriminator="plain", growth={"start": 4})
    stylegan.StyleGANConfig(discriminator="plain").check_batch("population.batch", 7)
    for grouped in ("progressive", "residual"):
        with pytest.raises(ValueError, match=r"population.batch: 7 does not divide"):
            stylegan.StyleGANConfig(discriminator=grouped).check_batch("population.batch", 7)
