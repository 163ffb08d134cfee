"""Translators and PatchGANs: the published sizes, any that can be halved, dropout by seeds."""

import pytest
import torch
from torch import nn
from torch.nn.functional import pad

from egan.backbones.translation.config import ResNetConfig, UNetConfig
from egan.backbones.translation.layers import Dropout, reflected
from egan.backbones.translation.patchgan import receptive_field

RGB = (3, 256, 256)


def stream(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(
    ("side", "width", "norm", "count"),
    [
        (256, 64, "batch", 54_413_955),
        (256, 64, "instance", 54_409_603),
        (128, 64, "batch", 41_828_995),
        (128, 64, "instance", 41_825_667),
        (64, 64, "batch", 29_244_035),
        (64, 32, "batch", 7_314_755),
        (64, 64, "instance", 29_241_731),
        (32, 64, "batch", 16_659_075),
        (32, 32, "batch", 4_168_003),
        (32, 64, "instance", 16_657_795),
    ],
)
def test_a_unet_has_the_published_parameters(side, width, norm, count):
    config = UNetConfig(width=width, norm=norm)
    assert config.translator((3, side, side), 3).parameters == count


@pytest.mark.parametrize(
    ("layers", "norm", "field", "count", "sides"),
    [
        (1, "batch", 16, 139_585, {256: 126, 64: 30}),
        (2, "batch", 34, 666_433, {256: 62, 64: 14}),
        (3, "batch", 70, 2_768_705, {256: 30, 64: 6}),
        (3, "instance", 70, 2_767_809, {256: 30, 64: 6}),
        (4, "batch", 142, 6_964_033, {256: 14, 64: 2}),
        (5, "batch", 286, 11_159_361, {256: 6}),
        ("pixel", "batch", 1, 9_024, {256: 256, 64: 64}),
    ],
)
def test_a_patchgan_has_the_published_parameters_and_patches(layers, norm, field, count, sides):
    config = UNetConfig(critic_layers=layers, norm=norm)
    for side, logits in sides.items():
        critic, cut = config.critic((6, side, side)), config.patches((6, side, side))
        assert critic.parameters == count
        assert (cut.side, cut.rows, cut.columns) == (field, logits, logits)
        narrow = config.model_copy(update={"critic_width": 1}).critic((6, side, side))
        module = narrow.module.to_empty(device="cpu")
        assert module(torch.zeros(1, 6, side, side)).shape == (1, 1, logits, logits)


def test_a_logits_receptive_field_is_as_computed():
    critic = UNetConfig(critic_layers=2, critic_width=1, norm="none").critic((1, 64, 64))
    module = critic.module.to_empty(device="cpu")
    for weight in module.parameters():
        nn.init.constant_(weight, 0.1)
    image = torch.zeros(1, 1, 64, 64, requires_grad=True)
    module(image)[0, 0, 7, 7].backward()
    seen = image.grad[0, 0].nonzero()
    assert (seen.amax(0) - seen.amin(0) + 1).tolist() == [receptive_field(2)] * 2 == [34, 34]


@pytest.mark.parametrize(("side", "blocks", "count"), [(256, 9, 11_378_179), (128, 6, 7_837_699)])
@pytest.mark.parametrize("upsampling", ["transposed", "resized"])
def test_a_resnet_has_the_published_parameters(side, blocks, count, upsampling):
    function = ResNetConfig(upsampling=upsampling).translator((3, side, side), 3)
    assert function.parameters == count and len(function.module.blocks) == blocks


def test_cyclegans_critic_has_the_published_parameters():
    assert ResNetConfig().critic(RGB).parameters == 2_764_737


@pytest.mark.parametrize(("side", "layers"), [(16, 1), (32, 1), (64, 2), (128, 3), (512, 3)])
def test_the_critics_patch_lies_within_the_image(side, layers):
    cut = UNetConfig().patches((6, side, 2 * side))
    assert cut.layers == layers and cut.side <= side


@pytest.mark.parametrize(
    ("config", "shape"),
    [
        (UNetConfig(width=2), (1, 32, 64)),
        (UNetConfig(width=2, downs=3, norm="instance", dropout=0), (4, 24, 40)),
        (UNetConfig(width=2, skips=False), (3, 32, 32)),
        (ResNetConfig(width=2, blocks=1), (2, 12, 20)),
        (ResNetConfig(width=2, blocks=2, dropout=0.5, upsampling="resized"), (3, 16, 16)),
    ],
)
def test_any_size_that_can_be_halved_and_any_channels_are_translated(config, shape):
    function = config.translator(shape, 2)
    weights = function.initialise(stream())
    x = torch.rand(2, *shape, generator=stream()) * 2 - 1
    y, _ = function(weights, x, torch.arange(2))
    assert y.shape == (2, 2, *shape[1:]) and y.abs().max() <= 1
    logits, _ = config.critic((2, *shape[1:]))(
        config.critic((2, *shape[1:])).initialise(stream()), y
    )
    assert logits.isfinite().all()


@pytest.mark.parametrize(
    ("config", "shape", "message"),
    [
        (UNetConfig(), (3, 30, 64), r"multiples of 4, but .* 3 x 30 x 64; .*28 x 64 or 32 x 68"),
        (UNetConfig(downs=6), (3, 96, 64), r"multiples of 64.*128 x 128 or 64 x 64, or backbone"),
        (ResNetConfig(), (3, 30, 30), r"multiples of 4.*28 x 28 or 32 x 32"),
        (ResNetConfig(), (3, 4, 4), r"8 x 8 pixels or more"),
    ],
)
def test_other_sizes_are_refused_with_the_nearest(config, shape, message):
    with pytest.raises(ValueError, match=message):
        config.translator(shape, 3)


def test_images_that_are_too_small_for_the_critic_are_refused():
    with pytest.raises(ValueError, match=r"critic_layers: 5 halvings leave nothing .* such as 2"):
        UNetConfig(critic_layers=5).critic((6, 64, 64))


def test_no_image_is_made_from_noise():
    with pytest.raises(ValueError, match=r"unet translates images.*data.source=pairs"):
        UNetConfig().build(RGB)


def test_dropout_is_a_function_of_the_seed_the_place_and_the_mode():
    x = torch.ones(3, 50, 9, 9)
    drop, other = Dropout(0.3, 1), Dropout(0.3, 2)
    seeds = torch.tensor([5, 2**61 + 3, 5])
    y = drop(x, seeds)
    assert torch.equal(y[0], y[2]) and not torch.equal(y[0], y[1])
    assert torch.equal(y[1:2], drop(x[:1], seeds[1:2]))  # whatever the batch
    assert not torch.equal(y, other(x, seeds))
    assert (y[0] == 0).float().mean() == pytest.approx(0.3, abs=0.03)
    assert y[y > 0].unique().tolist() == pytest.approx([1 / 0.7])
    assert torch.equal(drop.eval()(x, seeds), x)


@pytest.mark.parametrize(("side", "layers"), [(256, 3), (128, 2), (64, 1), (32, 0)])
def test_dropout_lies_where_the_port_has_it(side, layers):
    module = UNetConfig().translator((3, side, side), 3).module
    assert sorted(module.drops) == [str(n) for n in range(4, 4 + layers)]


def test_a_translator_draws_nothing_of_its_own():
    function = UNetConfig(width=1).translator((1, 64, 64), 1)
    weights = function.initialise(stream())
    x = torch.rand(2, 1, 64, 64, generator=stream())
    seeds = torch.tensor([1, 2])
    before = torch.get_rng_state()
    one, two = (function(weights, x, seeds)[0] for _ in range(2))
    assert torch.equal(one, two) and torch.equal(torch.get_rng_state(), before)
    assert not torch.equal(one, function(weights, x, seeds + 7)[0])


def test_reflection_is_torchs():
    x = torch.rand(2, 3, 5, 7, generator=stream()).requires_grad_()
    y = x.detach().clone().requires_grad_()
    weights = torch.rand(2, 3, 11, 13, generator=stream(1))
    (reflected(x, 3) * weights).sum().backward()
    (pad(y, (3, 3, 3, 3), mode="reflect") * weights).sum().backward()
    assert torch.equal(reflected(x, 3), pad(x, (3, 3, 3, 3), mode="reflect"))
    torch.testing.assert_close(x.grad, y.grad)


def test_skips_hand_the_input_on():
    """With the innermost level cut off, the output still depends on the input through the skips."""
    for skips in (True, False):
        function = UNetConfig(width=2, norm="none", skips=skips).translator((1, 32, 32), 1)
        weights = function.initialise(stream())
        named = function.named(weights.params)
        named["downs.4.0.weight"].zero_()
        one, two = (
            function(weights, torch.rand(1, 1, 32, 32, generator=stream(s)), torch.zeros(1))[0]
            for s in range(2)
        )
        assert torch.equal(one, two) != skips
