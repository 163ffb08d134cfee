"""A growing run of styles, one without styles and one of points, and the command."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from runs.config.loading import load_config
from runs.config.schema import RunConfig
from runs.training.driver import evolve
from tests.runs.copies import no_pictures

COMMAND = [sys.executable, str(Path(__file__).parents[3] / "run_evolution.py")]

# 8 px for generations 0 to 2, then fading into 16 px up to 12.
GROWING = """\
name: growing
seed: 3
generations: 8
data: {source: digits, resolution: 16}
backbone:
  name: stylegan
  latent: 6
  style: 5
  mapping_layers: 2
  fmap_base: 64
  fmap_max: 8
  growth: {start: 8, training_kimg: 0.016, transition_kimg: 0.08}
population: {batch: 8, mutations: [minimax, heuristic]}
fitness: {batch: 8}
execution: {executor: local}
checkpoint: {every: 3}
tracking: {enabled: false}
"""
OTHERS = {
    "dcgan": "data: {source: digits, resolution: 8}\nbackbone: {name: dcgan, latent: 4, width: 4}",
    "mlp": "data: {source: gaussians}\nbackbone: {name: mlp, width: 8, depth: 1}",
}
OTHER = """\
generations: 2
population: {batch: 8}
fitness: {batch: 8}
execution: {executor: local}
tracking: {enabled: false}
"""


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def growing_yaml(tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("growing") / "growing.yaml"
    path.write_text(GROWING)
    return str(path)


@pytest.fixture
def config_of(tmp_path) -> Callable[..., RunConfig]:
    """Give the config of a YAML text, with changes such as `population__survivors=2`."""

    def load(text: str, **changes: object) -> RunConfig:
        (tmp_path / "config.yaml").write_text(text)
        return load_config(tmp_path / "config.yaml", (), **changes)

    return load


@pytest.fixture(scope="session")
def growing(growing_yaml, tmp_path_factory) -> Path:
    """The folder of a run of 8 generations, the last of them in the middle of a fade-in."""
    folder = tmp_path_factory.mktemp("runs") / "growing"
    with no_pictures():
        evolve(load_config(growing_yaml), folder)
    return folder


@pytest.fixture(scope="session")
def grown(growing_yaml, tmp_path_factory) -> Path:
    """The folder of the same run, at its full resolution."""
    folder = tmp_path_factory.mktemp("runs") / "grown"
    with no_pictures():
        evolve(load_config(growing_yaml, generations=16), folder)
    return folder


@pytest.fixture(scope="session")
def plain(tmp_path_factory) -> dict[str, Path]:
    """The folders of runs without styles, by backbone."""
    folders = {}
    for name, text in OTHERS.items():
        place = tmp_path_factory.mktemp(name)
        (place / "config.yaml").write_text(f"{text}\n{OTHER}")
        with no_pictures():
            evolve(load_config(place / "config.yaml"), place / "run")
        folders[name] = place / "run"
    return folders


@pytest.fixture(scope="session")
def refusal(invoke) -> Callable[..., str]:
    """Call the command for a user's mistake; return its message."""

    def call(*arguments: object) -> str:
        result = invoke(*arguments)
        assert result.exit_code == 2
        return result.stderr

    return call


@pytest.fixture
def start():
    """Start the command in a process of its own; what still runs at the end is killed."""
    started: list[subprocess.Popen] = []

    def call(*arguments: object) -> subprocess.Popen:
        command = [*COMMAND, *map(str, arguments)]
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        started.append(process)
        return process

    yield call
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()
