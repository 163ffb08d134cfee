import pytest
import torch

from egan.backbones.progressive import progan
from egan.backbones.stylegan import networks as stylegan

SMALL = {"latent": 6, "fmap_base": 32, "fmap_max": 8}


@pytest.fixture
def stream():
    return torch.Generator().manual_seed(7)


@pytest.fixture
def style_config():
    return stylegan.StyleGANConfig(style=5, mapping_layers=3, **SMALL)


@pytest.fixture
def style_networks(style_config):
    return stylegan.build(style_config, (3, 32, 32))


@pytest.fixture
def pro_networks():
    return progan.build(progan.ProGANConfig(**SMALL), (3, 32, 32))


@pytest.fixture
def plain_networks(style_config):
    own = {"norm": "batch", "constant": "normal", "discriminator": "plain"}
    return stylegan.build(style_config.model_copy(update=own), (3, 32, 32))


@pytest.fixture
def modulated_networks(style_config):
    own = {"norm": "demodulation", "rgb": "sum", "output": "tanh", "discriminator": "plain"}
    config = style_config.model_copy(update=own | {"discriminator_norm": "batch"})
    return stylegan.build(config, (3, 32, 32))


@pytest.fixture
def residual_networks(style_config):
    own = {"norm": "demodulation", "discriminator": "residual", "filter_taps": 4}
    return stylegan.build(style_config.model_copy(update=own), (3, 32, 32))


@pytest.fixture
def filtered_networks(style_config):
    return stylegan.build(style_config.model_copy(update={"filter_taps": 4}), (3, 32, 32))


@pytest.fixture(params=["stylegan", "progan", "plain", "residual", "filtered"])
def networks(request):
    kind = {"stylegan": "style", "progan": "pro"}.get(request.param, request.param)
    return request.getfixturevalue(f"{kind}_networks")


@pytest.fixture
def lively(stream):
    """Weights with nothing at zero: noise, biases and the constant all have their effect."""

    def draw(function):
        weights = function.initialise(stream)
        noise = torch.randn(weights.params.shape, generator=stream)
        return type(weights)(weights.params + 0.3 * noise, weights.buffers)

    return draw
