"""Networks that take a condition: sizes, what the condition does to their output, refusals."""

from math import sqrt

import pytest
import torch
from torch.nn.functional import batch_norm, linear

from egan.backbones import (
    DCGANConfig,
    MaxoutConfig,
    MLPConfig,
    ProGANConfig,
    R3GANConfig,
    StyleGANConfig,
    build_networks,
)
from egan.backbones.dcgan.networks import EMBEDDING, ConditionalNorm
from egan.backbones.progressive.growth import Stage
from egan.backbones.stylegan.latents import Latents
from egan.backbones.stylegan.styles import make_truncated, map_latents, tracked_mean, truncate
from egan.data.condition import Conditions
from egan.state import Weights

LABELS = Conditions("labels", 3, ("cat", "dog", "hen"), (0.5, 0.3, 0.2))
TAGS = Conditions("tags", 3, ("red", "round", "big"), (0.5, 0.1, 0.7))
ONE_HOT = torch.eye(3)
SMALL = {"latent": 6, "fmap_base": 32, "fmap_max": 8}
TINY = {"latent": 4, "units": (5, 6, 7), "maxout_units": (4, 3, 5), "pieces": (2, 3, 2)}
BACKBONES = {
    "mlp": (MLPConfig(width=8, depth=2), (2,)),
    "maxout": (MaxoutConfig(**TINY), (1, 6, 5)),
    "dcgan": (DCGANConfig(latent=5, width=4), (3, 16, 16)),
    "dcgan, instance": (DCGANConfig(latent=5, width=4, generator_norm="instance"), (3, 16, 16)),
    "dcgan, concat": (DCGANConfig(latent=5, width=4, condition="concat"), (3, 16, 16)),
    "r3gan": (R3GANConfig(latent=5, width=8, blocks=1, group=4), (1, 16, 16)),
    "progan": (ProGANConfig(**SMALL), (1, 16, 16)),
    "stylegan": (StyleGANConfig(style=5, mapping_layers=2, **SMALL), (1, 16, 16)),
    "stylegan, residual": (
        StyleGANConfig(style=5, mapping_layers=2, discriminator="residual", **SMALL),
        (1, 16, 16),
    ),
}


def stream(seed=0):
    return torch.Generator().manual_seed(seed)


def lively(function, seed=1):
    """Return weights with nothing at zero."""
    weights = function.initialise(stream(seed))
    noise = torch.randn(weights.params.shape, generator=stream(seed))
    return Weights(weights.params + 0.1 * noise, weights.buffers)


@pytest.fixture(params=BACKBONES, scope="module")
def kind(request):
    return request.param


@pytest.fixture(scope="module")
def networks(kind):
    config, shape = BACKBONES[kind]
    return build_networks(config, shape, LABELS)


def test_a_samples_own_condition_changes_it_and_no_other(networks, kind):
    weights, noise = lively(networks.generator), networks.noise(3, stream())
    one, _ = networks.generator(weights, noise, ONE_HOT, training=False)
    other, _ = networks.generator(weights, noise, ONE_HOT[[0, 2, 2]], training=False)
    assert one.shape == (3, *BACKBONES[kind][1])
    changed = (one != other).flatten(1).any(1)
    assert changed.tolist() == [False, True, False]


def test_a_critic_judges_the_condition_too(networks, kind):
    weights = lively(networks.discriminator)
    samples = torch.randn(3, *BACKBONES[kind][1], generator=stream(3))
    one, _ = networks.discriminator(weights, samples, ONE_HOT, training=False)
    other, _ = networks.discriminator(weights, samples, ONE_HOT[[0, 2, 2]], training=False)
    assert one.shape == (3,)
    assert (one != other).tolist() == [False, True, False]


def test_a_critic_that_classifies_is_not_told(kind):
    config, shape = BACKBONES[kind]
    networks = build_networks(config, shape, LABELS, classify=True)
    weights, samples = lively(networks.discriminator), torch.zeros(4, *shape)
    said, _ = networks.discriminator(weights, samples)
    assert said.shape == (4, 4)
    with pytest.raises(TypeError, match=r"takes no condition; one of \(4, 3\) was given"):
        networks.discriminator(weights, samples, ONE_HOT[[0, 1, 2, 0]])


@pytest.mark.parametrize("wrong", [None, torch.eye(4)[:2]])
def test_conditions_that_do_not_fit_are_refused(networks, kind, wrong):
    noise, samples = networks.noise(2, stream()), torch.zeros(2, *BACKBONES[kind][1])
    arrived = "none was" if wrong is None else r"one of \(2, 4\) was"
    for function, rows in ((networks.generator, noise), (networks.discriminator, samples)):
        with pytest.raises(TypeError, match=rf"takes a condition \(N, 3\); {arrived} given"):
            function(function.initialise(stream()), rows, wrong)


def test_tags_are_vectors_like_any_other(kind):
    config, shape = BACKBONES[kind]
    networks = build_networks(config, shape, TAGS)
    tags = torch.tensor([[0.0, 0.0, 0.0], [1.0, 1.0, 0.0], [0.5, 0.0, 1.0]])
    fakes, buffers = networks.generator(
        lively(networks.generator), networks.noise(3, stream()), tags
    )
    assert fakes.isfinite().all() and "mapping.class_means" not in buffers
    logits, _ = networks.discriminator(lively(networks.discriminator), fakes, tags)
    assert logits.isfinite().all()


# --------------------------------------------------------------------------------------- each way


@pytest.mark.parametrize("size", [3, 10])
def test_joined_to_the_input_a_condition_adds_weights_to_the_first_layer(size):
    names = tuple(map(str, range(size)))
    conditions = Conditions("labels", size, names, (1 / size,) * size)
    config = MLPConfig(latent=2, width=8, depth=2)
    plain, told = (build_networks(config, (2,), each) for each in (None, conditions))
    for role in ("generator", "discriminator"):
        extra = getattr(told, role).parameters - getattr(plain, role).parameters
        assert extra == 8 * size


def test_mirza_and_osinderos_networks_have_the_published_sizes():
    digits = Conditions("labels", 10, tuple("0123456789"), (0.1,) * 10)
    networks = build_networks(MaxoutConfig(), (1, 28, 28), digits)
    joint = 1200 * (200 + 1000) + 1200
    assert networks.generator.parameters == (
        (200 * 100 + 200) + (1000 * 10 + 1000) + joint + (784 * 1200 + 784)
    )
    assert networks.discriminator.parameters == (
        240 * 5 * (784 + 1) + 50 * 5 * (10 + 1) + 240 * 4 * (240 + 50 + 1) + (240 + 1)
    )
    noise = networks.noise(500, stream())
    assert noise.shape == (500, 100) and -1 <= noise.min() < -0.9 and 0.9 < noise.max() <= 1


def test_a_maxout_unit_is_the_largest_of_its_pieces():
    networks = build_networks(MaxoutConfig(**TINY), (1, 6, 5), LABELS)
    function = networks.discriminator
    weights, images = lively(function), torch.randn(4, 1, 6, 5, generator=stream(2))
    named = function.named(weights.params)

    def units(prefix, x, pieces):
        rows = linear(x, named[f"{prefix}.linear.weight"], named[f"{prefix}.linear.bias"])
        return torch.stack(
            [rows[:, at : at + pieces].max(1)[0] for at in range(0, rows.shape[1], pieces)], 1
        )

    conditions = ONE_HOT[[0, 1, 2, 0]]
    hidden = [units("of_image", images.flatten(1), 2), units("of_condition", conditions, 3)]
    joint = units("joint", torch.cat(hidden, 1), 2)
    expected = linear(joint, named["out.weight"], named["out.bias"])[:, 0]
    torch.testing.assert_close(function(weights, images, conditions)[0], expected)


def test_a_conditional_norm_scales_and_shifts_what_is_normalised():
    with torch.device("meta"):  # its layers would draw from the global generator
        module = ConditionalNorm("batch", 4)
    module = module.to_empty(device="cpu")
    module.norm.reset_running_stats()
    torch.nn.init.normal_(module.scale.weight, generator=stream(1))
    torch.nn.init.normal_(module.shift.weight, generator=stream(2))
    x = torch.randn(5, 4, 3, 3, generator=stream(3))
    e = torch.randn(5, EMBEDDING, generator=stream(4))
    normalised = batch_norm(x, None, None, training=True)
    out = module(x, e)
    for sample in range(5):
        for channel in range(4):
            gain = 1 + module.scale.weight[channel] @ e[sample]
            shift = module.shift.weight[channel] @ e[sample]
            expected = gain * normalised[sample, channel] + shift
            torch.testing.assert_close(out[sample, channel], expected, rtol=1e-4, atol=1e-5)


def test_a_fresh_projecting_dcgan_begins_without_regard_to_the_class():
    networks = build_networks(DCGANConfig(latent=5, width=4), (3, 16, 16), LABELS)
    weights, noise = networks.generator.initialise(stream()), networks.noise(3, stream())
    one, _ = networks.generator(weights, noise, ONE_HOT)
    other, _ = networks.generator(weights, noise, ONE_HOT[[1, 2, 0]])
    assert torch.equal(one, other)


def test_a_projection_adds_the_inner_product_with_the_condition():
    """Miyato and Koyama: linear(h) + <V y, h>; so logits are linear in y, from linear(h) on."""
    config = DCGANConfig(latent=5, width=4, discriminator_norm="none")
    networks = build_networks(config, (3, 16, 16), TAGS)
    weights = lively(networks.discriminator)
    images = torch.randn(3, 3, 16, 16, generator=stream(3))

    def logits(*row):
        return networks.discriminator(weights, images, torch.tensor([row]).expand(3, -1))[0]

    plain = logits(0.0, 0.0, 0.0)
    parts = [logits(*row) - plain for row in ONE_HOT.tolist()]
    expected = plain + 0.5 * parts[0] - 2 * parts[2]
    torch.testing.assert_close(logits(0.5, 0.0, -2.0), expected)
    assert all(part.abs().min() > 0 for part in parts)


def test_a_projection_needs_a_norm_to_condition():
    config = DCGANConfig(generator_norm="none")
    with pytest.raises(ValueError, match=r"generator_norm: none .* backbone\.condition=concat"):
        build_networks(config, (1, 16, 16), LABELS)
    assert build_networks(config.model_copy(update={"condition": "concat"}), (1, 16, 16), LABELS)


def normalised(x):
    return x / (x.square().mean(1, keepdim=True) + 1e-8).sqrt()


def test_stylegan_maps_z_and_the_embedding_each_of_mean_square_one():
    """Karras et al., 2006.06676: w = f([z / |z|, e / |e|]), e = FC(c)."""
    config, shape = BACKBONES["stylegan"]
    function = build_networks(config, shape, TAGS).generator
    weights, tags = lively(function), torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.5, 0.0]])
    named = function.named(weights.params)
    z = torch.randn(2, 6, generator=stream(5))
    embedding = linear(
        tags, named["mapping.embedded.embed.weight"] / sqrt(3), named["mapping.embedded.embed.bias"]
    )
    w = torch.cat([normalised(z), normalised(embedding)], 1)
    for layer in range(2):
        weight, bias = (named[f"mapping.layers.{layer}.{part}"] for part in ("weight", "bias"))
        scale = sqrt(2) / sqrt(w.shape[1]) * config.mapping_multiplier
        w = torch.nn.functional.leaky_relu(
            linear(w, weight * scale, bias * config.mapping_multiplier), 0.2
        )
    torch.testing.assert_close(map_latents(function, weights, z, tags), w)


@pytest.mark.parametrize("name", ["stylegan", "progan"])
def test_a_progressive_critic_projects_its_features_on_the_mapped_condition(name):
    config, shape = BACKBONES[name]
    networks = build_networks(config, shape, TAGS)
    weights = lively(networks.discriminator)
    module = networks.discriminator.module
    assert len(module.verdict.mapped.layers) == (2 if name == "stylegan" else 0)
    width = module.verdict.out.weight.shape[0]
    images, tags = torch.randn(2, *shape, generator=stream(3)), torch.rand(2, 3, generator=stream())
    logits, _ = networks.discriminator(weights, images, tags)
    named = networks.discriminator.named(weights.params)
    # The last layer's output is linear in its weight and bias; doubled, so are the logits.
    twice = {key: 2 * t if ".out." in key else t for key, t in named.items()}
    params = torch.cat([t.flatten() for t in twice.values()])
    doubled, _ = networks.discriminator(Weights(params, {}), images, tags)
    torch.testing.assert_close(doubled, 2 * logits)
    assert width == config.channels(2)


def test_conditions_take_part_at_every_stage():
    config, shape = BACKBONES["progan"]
    networks = build_networks(config, shape, LABELS)
    weights, critic = lively(networks.generator), lively(networks.discriminator)
    for stage in (Stage(8), Stage(16, 0.5)):
        noise = networks.noise(3, stream())
        fakes, _ = networks.generator(weights, noise, ONE_HOT, stage=stage)
        assert fakes.shape[2] == stage.resolution
        logits, _ = networks.discriminator(critic, fakes, ONE_HOT, stage=stage)
        assert logits.shape == (3,)


# ------------------------------------------------------------------------------------ means of w


@pytest.fixture(scope="module")
def style():
    config, shape = BACKBONES["stylegan"]
    return config, build_networks(config, shape, LABELS).generator


def test_a_class_has_a_mean_of_w_of_its_own(style):
    config, function = style
    means = torch.randn(3, 5, generator=stream(8))
    buffers = {"mapping.mean": torch.zeros(5), "mapping.class_means": means}
    weights, expected = Weights(lively(function).params, buffers), means.clone()
    labels = torch.tensor([0, 2, 2, 0, 0])
    latents = Latents(torch.randn(5, 6, generator=stream(2)), torch.arange(5))
    _, after = function(weights, latents, ONE_HOT[labels])
    w = map_latents(function, weights, latents.z, ONE_HOT[labels])
    for label in (0, 2):  # the batch has none of class 1
        mean = w[labels == label].mean(0)
        expected[label] += (1 - config.mean_decay) * (mean - expected[label])
    torch.testing.assert_close(after["mapping.class_means"], expected)
    torch.testing.assert_close(after["mapping.mean"], (1 - config.mean_decay) * w.mean(0))
    assert torch.equal(after["mapping.class_means"][1], means[1])


def test_truncation_goes_towards_the_mean_of_the_class(style):
    _, function = style
    means = torch.randn(3, 5, generator=stream(8))
    buffers = {"mapping.mean": torch.ones(5), "mapping.class_means": means}
    weights = Weights(lively(function).params, buffers)
    assert torch.equal(tracked_mean(weights), torch.ones(5))
    assert torch.equal(tracked_mean(weights, ONE_HOT[[2, 0]]), means[[2, 0]])
    between = tracked_mean(weights, torch.tensor([[0.25, 0.75, 0.0]]))
    torch.testing.assert_close(between, 0.25 * means[:1] + 0.75 * means[1:2])
    styles = torch.randn(2, 4, 5, generator=stream(4))
    one_by_one = [
        truncate(styles[i : i + 1], means[label], 0.3, 3) for i, label in enumerate((2, 0))
    ]
    torch.testing.assert_close(truncate(styles, means[[2, 0]], 0.3, 3), torch.cat(one_by_one))
    latents = Latents(torch.randn(2, 6, generator=stream(2)), torch.zeros(2, dtype=torch.int64))
    still = make_truncated(function, weights, latents, 0.0, condition=ONE_HOT[[1, 1]])
    torch.testing.assert_close(still[0], still[1])


# -------------------------------------------------------------------------------------- refusals


def test_networks_without_a_way_to_take_conditions_refuse_them():
    class Plain(MLPConfig, frozen=True):
        name: str = "mine:Plain"
        build_conditional = MLPConfig.__mro__[1].build_conditional

    with pytest.raises(ValueError, match=r"mine:Plain takes no conditions; set data\.condition"):
        build_networks(Plain(), (2,), LABELS)


class Own(MLPConfig, frozen=True):
    """A user's networks, whose critic says nothing of the condition."""

    name: str = "mine:Own"

    def build_conditional(self, shape, conditions, classify=False):
        return super().build_conditional(shape, conditions, False)


def test_a_users_own_networks_take_conditions():
    networks = build_networks(Own(width=4, depth=1), (2,), LABELS)
    assert networks.generator.parameters == 4 * (2 + 3 + 1) + 2 * (4 + 1)


def test_a_users_critic_that_cannot_classify_is_told_what_it_gave():
    with pytest.raises(ValueError, match=r"mine:Own fails on two samples: TypeError"):
        build_networks(Own(), (2,), LABELS, classify=True)
