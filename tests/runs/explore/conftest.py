"""A linear generator, a small StyleGAN, and small runs."""

import numpy as np
import pytest
import torch
from torch import nn

from egan.backbones import StyleGANConfig, build_networks
from egan.backbones.function import NetworkFunction
from egan.backbones.networks import Networks
from egan.games import NoiseGame
from egan.state import Weights
from egan.streams import Purpose, torch_stream
from runs.config.loading import load_config
from runs.sampling.sampler import Sampler
from runs.training.driver import evolve
from tests.runs.copies import no_pictures

LATENT, SIDE = 5, 4

DIGITS = """\
name: digits
seed: 1
generations: 4
data: {source: digits, resolution: 8, condition: labels}
backbone: {name: dcgan, latent: 4, width: 4, condition: projection}
population: {batch: 4, mutations: [heuristic]}
fitness: {batch: 4}
execution: {executor: local}
evaluation: {every: null}
checkpoint: {every: 2, keep: 2}
tracking: {enabled: false}
"""
LETTERS = """\
name: letters
seed: 2
generations: 2
data: {source: glyphs, resolution: 16, count: 64}
backbone: {name: unet, width: 4, downs: 2, critic_width: 2, critic_layers: 1}
population: {batch: 2, mutations: [heuristic]}
fitness: {batch: 2, reconstruction: 1}
execution: {executor: local}
checkpoint: {every: 2}
tracking: {enabled: false}
"""
POINTS = """\
name: points
generations: 2
data: {source: gaussians}
backbone: {name: mlp, width: 8, depth: 1}
population: {batch: 4}
fitness: {batch: 4}
execution: {executor: local}
evaluation: {every: null}
tracking: {enabled: false}
"""


class Linear(nn.Module):
    """Images (N, 1, 4, 4) that are a matrix times the noise."""

    def __init__(self):
        super().__init__()
        self.matrix = nn.Parameter(torch.empty(SIDE**2, LATENT))

    def forward(self, noise):
        return (noise @ self.matrix.T).view(-1, 1, SIDE, SIDE)


@pytest.fixture(scope="session")
def matrix():
    """A matrix whose singular values are 0.2, 0.1, 0.05, 0.025, 0.0125."""
    stream = np.random.default_rng(3)
    left, _, right = np.linalg.svd(stream.standard_normal((SIDE**2, LATENT)), full_matrices=False)
    values = 0.2 / 2 ** np.arange(LATENT)
    return torch.from_numpy(left * values @ right).float()


@pytest.fixture(scope="session")
def linear(matrix):
    function = NetworkFunction(Linear, lambda module, generator: None)
    networks = Networks(function, function, LATENT, "normal")
    weights = {"generator": Weights(matrix.flatten(), {})}
    return Sampler(NoiseGame(networks), weights, (1, SIDE, SIDE))


@pytest.fixture(scope="session")
def styled():
    backbone = StyleGANConfig(latent=6, style=5, mapping_layers=2, fmap_base=64, fmap_max=8)
    networks = build_networks(backbone, (3, 16, 16))
    stream = torch_stream(0, 0, Purpose.INITIALISE)
    weights = {"generator": networks.generator.initialise(stream)}
    return Sampler(NoiseGame(networks), weights, (3, 16, 16))


@pytest.fixture(scope="session")
def run_of(tmp_path_factory):
    """Return a function that gives the folder of a text's run; it evolves each once."""
    torch.set_num_threads(1)
    made = {}

    def run(text):
        if text not in made:
            folder = tmp_path_factory.mktemp("explore")
            (folder / "config.yaml").write_text(text)
            made[text] = folder / text.split()[1]
            with no_pictures():
                evolve(load_config(folder / "config.yaml"), made[text])
        return made[text]

    return run


@pytest.fixture(scope="session")
def digits(run_of):
    return run_of(DIGITS)


@pytest.fixture(scope="session")
def letters(run_of):
    return run_of(LETTERS)


@pytest.fixture(scope="session")
def points(run_of):
    return run_of(POINTS)
