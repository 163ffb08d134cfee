"""Files of the ports' true structure, random: the ports' own arithmetic, written out here, must
give the images that our generator gives with the converted weights.
"""

from fractions import Fraction
from math import sqrt

import pytest
import torch
from safetensors.torch import save_file
from torch.nn import functional as F

from egan.backbones.progressive.growth import Stage
from egan.backbones.stylegan import latents as latent_rows
from egan.backbones.stylegan import networks as stylegan
from egan.backbones.stylegan.noise import noise_images
from egan.backbones.stylegan.ports import backbone_of, convert, read_port
from egan.backbones.stylegan.styles import map_latents, synthesise, tracked_mean

LATENT, CHANNELS, MAPPING = 6, {4: 8, 8: 8, 16: 4, 32: 4, 64: 4, 128: 2}, 8


def network(resolution):
    config = stylegan.StyleGANConfig(latent=LATENT, style=LATENT, fmap_base=32, fmap_max=8)
    if resolution > 16:
        config = stylegan.StyleGANConfig(latent=LATENT, style=LATENT, fmap_base=128, fmap_max=4)
    return stylegan.build(config, (3, resolution, resolution))


def blur(x):
    kernel = torch.tensor([[1.0, 2, 1], [2, 4, 2], [1, 2, 1]]).div(16).expand(x.shape[1], 1, 3, 3)
    return F.conv2d(x, kernel, padding=1, groups=x.shape[1])


def widened(weight):
    weight = F.pad(weight, (1, 1, 1, 1))
    return (
        weight[:, :, 1:, 1:]
        + weight[:, :, :-1, 1:]
        + weight[:, :, 1:, :-1]
        + weight[:, :, :-1, :-1]
    )


def normalised(x, epsilon):
    mean, variance = x.mean((2, 3), keepdim=True), x.var((2, 3), unbiased=False, keepdim=True)
    return (x - mean) / (variance + epsilon).sqrt()


# --------------------------------------------------------------------------- the progression layout


def progression_file(stream, blocks=3, fused=(2,)):
    """Tensors named and shaped as the port's; its last block is upsampled by transposition."""

    def draw(*shape):
        return torch.randn(shape, generator=stream)

    tensors = {}
    for index in range(MAPPING):
        tensors[f"style.{2 * index + 1}.linear.bias"] = 0.1 * draw(LATENT)
        tensors[f"style.{2 * index + 1}.linear.weight_orig"] = draw(LATENT, LATENT)
    for index in range(blocks):
        own, before = f"generator.progression.{index}", CHANNELS[4 << max(index - 1, 0)]
        channels = CHANNELS[4 << index]
        if index == 0:
            tensors[f"{own}.conv1.input"] = draw(1, channels, 4, 4)
        elif index in fused:
            tensors[f"{own}.conv1.0.weight"] = draw(before, channels, 3, 3)
            tensors[f"{own}.conv1.0.bias"] = torch.zeros(channels)
            tensors[f"{own}.conv1.1.weight"] = torch.ones(channels, 1, 3, 3)
            tensors[f"{own}.conv1.1.weight_flip"] = torch.ones(channels, 1, 3, 3)
        else:
            tensors[f"{own}.conv1.1.conv.weight_orig"] = draw(channels, before, 3, 3)
            tensors[f"{own}.conv1.1.conv.bias"] = torch.zeros(channels)
            tensors[f"{own}.conv1.2.weight"] = torch.ones(channels, 1, 3, 3)
            tensors[f"{own}.conv1.2.weight_flip"] = torch.ones(channels, 1, 3, 3)
        tensors[f"{own}.conv2.conv.weight_orig"] = draw(channels, channels, 3, 3)
        tensors[f"{own}.conv2.conv.bias"] = draw(channels)
        for number in (1, 2):
            tensors[f"{own}.noise{number}.weight_orig"] = draw(1, channels, 1, 1)
            tensors[f"{own}.adain{number}.style.linear.weight_orig"] = draw(2 * channels, LATENT)
            tensors[f"{own}.adain{number}.style.linear.bias"] = draw(2 * channels)
        tensors[f"generator.to_rgb.{index}.conv.weight_orig"] = draw(3, channels, 1, 1)
        tensors[f"generator.to_rgb.{index}.conv.bias"] = draw(3)
    return tensors


def progression_images(t, z, noise, step):
    """The port's forward pass at block `step`; `noise` holds one image per block."""

    def equal(name):
        weight = t[f"{name}.weight_orig"]
        return weight * sqrt(2 / (weight.shape[1] * weight[0][0].numel()))

    def conv(x, name, padding):
        return F.conv2d(x, equal(name), t[f"{name}.bias"], padding=padding)

    w = z / (z.square().mean(1, keepdim=True) + 1e-8).sqrt()
    for index in range(MAPPING):
        name = f"style.{2 * index + 1}.linear"
        w = F.leaky_relu(F.linear(w, equal(name), t[f"{name}.bias"]), 0.2)
    for index in range(step + 1):
        own = f"generator.progression.{index}"
        if index == 0:
            x = t[f"{own}.conv1.input"].repeat(len(z), 1, 1, 1)
        elif f"{own}.conv1.0.weight" in t:
            weight = t[f"{own}.conv1.0.weight"]
            weight = widened(weight * sqrt(2 / (len(weight) * 9))) / 4
            x = F.conv_transpose2d(x, weight, t[f"{own}.conv1.0.bias"], stride=2, padding=1)
            x = blur(x)
        else:
            x = blur(conv(F.interpolate(x, scale_factor=2), f"{own}.conv1.1.conv", 1))
        for number in (1, 2):
            if number == 2:
                x = conv(x, f"{own}.conv2.conv", 1)
            x = F.leaky_relu(x + equal(f"{own}.noise{number}") * noise[index], 0.2)
            name = f"{own}.adain{number}.style.linear"
            style = F.linear(w, equal(name), t[f"{name}.bias"])
            gamma, beta = style[:, :, None, None].chunk(2, 1)
            x = gamma * normalised(x, 1e-5) + beta
    return conv(x, f"generator.to_rgb.{step}.conv", 0)


@pytest.mark.parametrize("step", [0, 1, 2])
def test_the_progression_layouts_images_come_out_the_same(step, stream):
    tensors = progression_file(stream)
    generator = network(16).generator
    weights = convert(tensors, generator, stream)
    z, seeds = torch.randn(3, LATENT, generator=stream), torch.arange(3)
    noise = noise_images(seeds, 16)[::2]  # the port's layers share a block's noise
    side = 4 << step
    w = map_latents(generator, weights, z)
    styles = latent_rows.every_layer(w, 2 * (step + 1))
    shared = [image for image in noise for _ in range(2)]
    images = synthesise(generator, weights, styles, shared, Stage(side))
    torch.testing.assert_close(
        images, progression_images(tensors, z, noise, step), rtol=1e-3, atol=1e-3
    )


def test_an_upsampling_bias_differs_at_the_border_alone(stream):
    """The port adds it before the filter; the convolution after it sees the same inside."""
    bias = torch.ones(1, 1, 8, 8)
    assert blur(bias)[0, 0, 1:-1, 1:-1].eq(1).all()
    assert blur(bias)[0, 0, 0].lt(1).all()


def test_blocks_above_the_resolution_are_left_out():
    own, longer = (
        convert(
            progression_file(torch.Generator().manual_seed(1), blocks=blocks),
            network(16).generator,
            torch.Generator().manual_seed(0),
        )
        for blocks in (3, 6)
    )
    assert torch.equal(own.params, longer.params)


# ----------------------------------------------------------------------------- the published layout


def published_file(stream, resolution=128):
    def draw(*shape):
        return torch.randn(shape, generator=stream)

    tensors = {}
    for index in range(MAPPING):
        tensors[f"g_mapping.dense{index}.weight"] = draw(LATENT, LATENT) / 0.01
        tensors[f"g_mapping.dense{index}.bias"] = draw(LATENT)
    channels, side = 4, 4
    while side <= resolution:
        own, before = f"g_synthesis.blocks.{side}x{side}", channels
        channels = min(4, 2 * 128 // side)
        if side == 4:
            tensors[f"{own}.const"] = draw(1, channels, 4, 4)
            tensors[f"{own}.bias"] = draw(channels)
        else:
            tensors[f"{own}.conv0_up.weight"] = draw(channels, before, 3, 3)
            tensors[f"{own}.conv0_up.bias"] = draw(channels)
            tensors[f"{own}.conv0_up.intermediate.kernel"] = torch.ones(1, 1, 3, 3)
        conv = "conv" if side == 4 else "conv1"
        tensors[f"{own}.{conv}.weight"] = draw(channels, channels, 3, 3)
        tensors[f"{own}.{conv}.bias"] = draw(channels)
        for number in (1, 2):
            tensors[f"{own}.epi{number}.top_epi.noise.weight"] = draw(channels)
            tensors[f"{own}.epi{number}.style_mod.lin.weight"] = draw(2 * channels, LATENT)
            tensors[f"{own}.epi{number}.style_mod.lin.bias"] = draw(2 * channels)
        side *= 2
    tensors["g_synthesis.torgb.weight"] = draw(3, channels, 1, 1)
    tensors["g_synthesis.torgb.bias"] = draw(3)
    return tensors


def published_images(t, z, noise, resolution=128):
    """The published code's forward pass, with its transposed upsampling from 128 pixels on."""

    def scaled(weight, gain):
        return weight * gain / sqrt(weight[0].numel())

    w = z / (z.square().mean(1, keepdim=True) + 1e-8).sqrt()
    for index in range(MAPPING):
        weight = scaled(t[f"g_mapping.dense{index}.weight"], sqrt(2)) * 0.01
        w = F.leaky_relu(F.linear(w, weight, t[f"g_mapping.dense{index}.bias"] * 0.01), 0.2)
    side, layer = 4, 0
    x = t["g_synthesis.blocks.4x4.const"].expand(len(z), -1, -1, -1)
    while side <= resolution:
        own = f"g_synthesis.blocks.{side}x{side}"
        for number in (1, 2):
            if number == 2:
                name = f"{own}.conv" if side == 4 else f"{own}.conv1"
                x = F.conv2d(x, scaled(t[f"{name}.weight"], sqrt(2)), padding=1)
                bias = t[f"{name}.bias"]
            elif side == 4:
                bias = t[f"{own}.bias"]
            else:
                weight = scaled(t[f"{own}.conv0_up.weight"], sqrt(2))
                if side >= 128:
                    kernel = widened(weight.transpose(0, 1))
                    x = F.conv_transpose2d(x, kernel, stride=2, padding=1)
                else:
                    x = F.conv2d(F.interpolate(x, scale_factor=2), weight, padding=1)
                x, bias = blur(x), t[f"{own}.conv0_up.bias"]
            scale = t[f"{own}.epi{number}.top_epi.noise.weight"]
            x = x + noise[layer] * scale[:, None, None] + bias[:, None, None]
            x = normalised(F.leaky_relu(x, 0.2), 1e-8)
            name = f"{own}.epi{number}.style_mod.lin"
            style = F.linear(w, scaled(t[f"{name}.weight"], 1.0), t[f"{name}.bias"])
            style = style.view(len(z), 2, -1, 1, 1)
            x = x * (style[:, 0] + 1) + style[:, 1]
            layer += 1
        side *= 2
    weight = scaled(t["g_synthesis.torgb.weight"], 1.0)
    return F.conv2d(x, weight, t["g_synthesis.torgb.bias"])


def test_the_published_layouts_images_come_out_the_same(stream):
    tensors, generator = published_file(stream), network(128).generator
    weights = convert(tensors, generator, stream)
    latents = latent_rows.Latents(torch.randn(2, LATENT, generator=stream), torch.arange(2))
    images, _ = generator(weights, latents, training=False)
    expected = published_images(tensors, latents.z, noise_images(latents.seeds, 128))
    torch.testing.assert_close(images, expected, rtol=1e-3, atol=1e-3)


def test_what_the_published_layout_lacks_keeps_initial_values(stream):
    generator = network(128).generator
    weights = convert(published_file(stream), generator, torch.Generator().manual_seed(4))
    initial = generator.named(generator.initialise(torch.Generator().manual_seed(4)).params)
    named = generator.named(weights.params)
    assert torch.equal(named["synthesis.to_rgb.64.weight"], initial["synthesis.to_rgb.64.weight"])
    assert not torch.equal(
        named["synthesis.to_rgb.128.weight"], initial["synthesis.to_rgb.128.weight"]
    )


# ------------------------------------------------------------------------------- both, and mistakes


def test_the_mean_of_w_is_that_of_many_latents(stream):
    generator = network(16).generator
    weights = convert(progression_file(stream), generator, torch.Generator().manual_seed(0))
    z = torch.randn(20_000, LATENT, generator=stream)
    w = map_latents(generator, weights, z)
    error = (tracked_mean(weights) - w.mean(0)).abs()
    assert (error < 5 * w.std(0) / sqrt(4096)).all()


def test_a_file_is_read_in_both_formats(tmp_path, stream):
    tensors = progression_file(stream)
    torch.save(tensors, tmp_path / "plain.pt")
    nested = {f"module.{name}": tensor for name, tensor in tensors.items()}
    torch.save({"g_running": tensors, "generator": nested}, tmp_path / "checkpoint.model")
    torch.save({"generator": nested, "g_optimizer": {"lr": 1}}, tmp_path / "parallel.model")
    save_file(tensors, tmp_path / "weights.safetensors")
    for name in ("plain.pt", "checkpoint.model", "parallel.model", "weights.safetensors"):
        read = read_port(tmp_path / name)
        assert read.keys() == tensors.keys()
        assert all(torch.equal(read[key], tensors[key]) for key in tensors)


def test_a_file_that_is_no_state_dict_is_named(tmp_path):
    torch.save({"generator": Fraction(1, 2)}, tmp_path / "pickled.pt")
    (tmp_path / "text.safetensors").write_text("no")
    torch.save([1, 2], tmp_path / "list.pt")
    torch.save({"epoch": 3}, tmp_path / "numbers.pt")
    with pytest.raises(ValueError, match="no such file"):
        read_port(tmp_path / "missing.pt")
    for name, message in {
        "pickled.pt": r"pickled\.pt is neither .* weights_only=True",
        "text.safetensors": "text.safetensors is neither",
        "list.pt": "holds no mapping",
        "numbers.pt": "more than tensors: epoch",
    }.items():
        with pytest.raises(ValueError, match=message):
            read_port(tmp_path / name)


def test_missing_tensors_are_counted_and_named(stream):
    tensors = progression_file(stream)
    del tensors["generator.progression.1.noise2.weight_orig"]
    with pytest.raises(ValueError, match=r"1 of the tensors .* missing: .*1\.noise2\.weight_orig"):
        convert(tensors, network(16).generator, stream)


def test_a_file_of_a_lower_resolution_lacks_what_is_above(stream):
    with pytest.raises(ValueError, match=r"32 pixels needs are missing: .*progression\.3"):
        convert(progression_file(stream), network(32).generator, stream)


def test_tensors_without_a_place_are_named(stream):
    with pytest.raises(ValueError, match=r"tensors do not belong to .* of 16 pixels"):
        convert(
            progression_file(stream) | {"style.17.extra": torch.ones(1)},
            network(16).generator,
            stream,
        )


def test_shapes_that_do_not_fit_are_named_with_both_shapes(stream):
    tensors = progression_file(stream)
    tensors["generator.to_rgb.2.conv.weight_orig"] = torch.ones(3, 5, 1, 1)
    message = r"1 tensors do not fit.*weight_orig gives \(3, 5, 1, 1\) for .*\(3, 4, 1, 1\)"
    with pytest.raises(ValueError, match=message):
        convert(tensors, network(16).generator, stream)


def test_an_unknown_layout_and_another_backbone_are_refused(stream, pro_networks):
    with pytest.raises(ValueError, match=r"not a known layout: .* but are synthesis\.b4\.const"):
        convert({"synthesis.b4.const": torch.ones(1)}, network(16).generator, stream)
    with pytest.raises(ValueError, match=r"backbone\.name=stylegan alone"):
        convert(progression_file(stream), pro_networks.generator, stream)


# ---------------------------------------------------------------------------------------- its sizes


def test_the_config_and_the_images_shape_are_read_off_the_tensors(stream):
    config, shape = backbone_of(progression_file(stream))
    assert shape == (3, 16, 16)
    assert (config.latent, config.style, config.mapping_layers) == (LATENT, LATENT, MAPPING)
    assert [config.channels(side) for side in (4, 8, 16)] == [8, 8, 4]
    convert(progression_file(stream), stylegan.build(config, shape).generator, stream)
    config, shape = backbone_of(published_file(stream))
    assert shape == (3, 128, 128)
    assert [config.channels(4 << step) for step in range(6)] == [4, 4, 4, 4, 4, 2]
    convert(published_file(stream), stylegan.build(config, shape).generator, stream)


def test_the_published_schedule_of_1024_pixels_is_found_again():
    published = stylegan.StyleGANConfig()
    tensors = {"generator.to_rgb.8.conv.bias": torch.empty(3)}
    for layer in range(8):
        tensors[f"style.{2 * layer + 1}.linear.weight_orig"] = torch.empty(512, 512)
    for block in range(9):
        width = published.channels(4 << block)
        tensors[f"generator.progression.{block}.conv2.conv.weight_orig"] = torch.empty(width, 1)
    assert backbone_of(tensors) == (published, (3, 1024, 1024))
    assert backbone_of(tensors, 256) == (published, (3, 256, 256))
    with pytest.raises(ValueError, match=r"resolution 2048: the file's generator has 4, 8, 16"):
        backbone_of(tensors, 2048)
    tensors["generator.progression.3.conv2.conv.weight_orig"] = torch.empty(7, 1)
    with pytest.raises(ValueError, match=r"follow no backbone\.fmap_base and fmap_max"):
        backbone_of(tensors)


def test_parts_of_a_generator_have_no_config(stream):
    tensors = progression_file(stream)
    mapping = {name: t for name, t in tensors.items() if not name.startswith("style.")}
    with pytest.raises(ValueError, match=r"generator\.progression\. are there, but no whole"):
        backbone_of(mapping)
    with pytest.raises(ValueError, match="not a known layout"):
        backbone_of({"a": torch.ones(1)})
