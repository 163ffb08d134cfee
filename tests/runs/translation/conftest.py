"""A run of pairs and a run of two sets, of letters, and image files to translate."""

import numpy as np
import pytest
import torch
from PIL import Image

from egan.data import open_source
from runs.config.loading import load_config
from runs.training.driver import evolve
from tests.runs.copies import no_plots

CONFIG = """\
name: letters
seed: 2
generations: 4
data: {source: glyphs, resolution: 16, count: 64, aligned: ALIGNED}
backbone: BACKBONE
game: {pool: 3}
population: {batch: 2, average: 0.5, mutations: [heuristic, least_squares]}
fitness: {batch: 2, reconstruction: 1}
optimizer: {learning_rate: 0.002}
execution: {executor: local}
checkpoint: {every: 2}
tracking: {enabled: false}
"""
BACKBONES = {
    "true": "{name: unet, width: 4, downs: 2, critic_width: 2, critic_layers: 1}",
    "false": "{name: resnet, width: 4, blocks: 1, critic_width: 2, critic_layers: 1}",
}


@pytest.fixture(scope="session")
def letters(tmp_path_factory):
    """Return a function that gives the folder of a run; it evolves each once."""
    torch.set_num_threads(1)
    made = {}

    def run(aligned):
        if aligned not in made:
            folder = tmp_path_factory.mktemp("letters")
            text = CONFIG.replace("ALIGNED", aligned).replace("BACKBONE", BACKBONES[aligned])
            (folder / "config.yaml").write_text(text)
            with no_plots():
                evolve(load_config(folder / "config.yaml"), folder / "run")
            made[aligned] = folder / "run"
        return made[aligned]

    return run


@pytest.fixture
def images(letters, tmp_path):
    """Return a folder with three letters of A, 16 pixels a side."""
    from runs.store.folder import RunFolder

    source = open_source(RunFolder.open(letters("true")).load_config().data)
    for n in range(3):
        Image.fromarray(source.a[n, 0]).save(tmp_path / f"{n}.png")
    return tmp_path


@pytest.fixture
def without_plots():
    with no_plots():
        yield


@pytest.fixture
def look():
    """Return a function that reads an image file as an array."""
    return lambda path: np.array(Image.open(path))
