"""Small runs that are scored while they evolve, and what looks at them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

import egan.cache
from runs.config.loading import load_config
from runs.config.schema import RunConfig
from runs.store.journal import Scoring, read_journal
from runs.store.snapshots import newest
from runs.training.driver import evolve
from tests.runs import copies

POINTS = """\
name: points
seed: 1
generations: 60
data: {source: gaussians}
backbone: {name: mlp, width: 8, depth: 1}
population: {batch: 8}
fitness: {batch: 16}
optimizer: {learning_rate: 0.01}
execution: {executor: local}
evaluation: {every: 5, metrics: [kl, modes], count: 200}
checkpoint: {every: 7, keep: 3}
tracking: {enabled: false}
"""
IMAGES = """\
name: images
seed: 3
generations: 7
data: {source: digits, resolution: 8}
backbone: {name: dcgan, latent: 4, width: 4}
population: {batch: 8, survivors: 2}
fitness: {batch: 16}
optimizer: {learning_rate: 0.01}
execution: {executor: local}
evaluation: {every: 2, metrics: [fid, kid, prdc], space: pixels, count: 60}
checkpoint: {every: 3, keep: 9}
tracking: {enabled: false}
"""
# Scored 5 to 20 better and better; at 25 there is an alarm, and in the forks as well.
FORK = {"metric": "kl", "factor": 1.05, "action": "fork", "forks": 2}


class Told:
    """Keeps what a run says."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def start(self, config: RunConfig, generation: int) -> None:
        pass

    def generation(self, entry: Any, lineage: Any) -> None:
        pass

    def message(self, text: str) -> None:
        self.lines.append(text)

    def stage(self, name: str, done: int, total: int) -> None:
        if done == total:
            self.lines.append(f"{name}: {done} of {total}")

    def close(self) -> None:
        pass

    def __contains__(self, text: str) -> bool:
        return any(text in line for line in self.lines)


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    torch.set_num_threads(1)


@contextmanager
def surroundings(cache: Path) -> Iterator[None]:
    """Keep what is cached in `cache`, and draw no pictures, which take most of the time."""
    # Before the cache is another one: matplotlib would look for this machine's fonts anew.
    with copies.no_pictures(), pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(cache))
        yield


@pytest.fixture(autouse=True, scope="module")
def _surroundings(tmp_path_factory) -> Iterator[None]:
    with surroundings(tmp_path_factory.mktemp("cache")):
        yield


@pytest.fixture(scope="session")
def evolved(config, tmp_path_factory) -> Callable[..., Path]:
    """Evolve a run that several modules look at; give its folder."""

    def make(name: str, **changes: Any) -> Path:
        folder = tmp_path_factory.mktemp(name)
        with surroundings(folder / "cache"):
            return evolve(config(name, **changes), folder / "run").path

    return make


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    """Each test's own cache of classifiers and statistics."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    egan.cache._warn.cache_clear()  # else a warning of an earlier test is not told again
    return Path(tmp_path / "cache" / "evolutionary-gan")


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture(scope="session")
def config(tmp_path_factory) -> Callable[..., RunConfig]:
    """Give the config of points or images with changes, such as `evaluation__every=3`."""
    folder = tmp_path_factory.mktemp("configs")
    (folder / "points.yaml").write_text(POINTS)
    (folder / "images.yaml").write_text(IMAGES)

    def make(name: str, **changes: Any) -> RunConfig:
        return load_config(folder / f"{name}.yaml", (), **changes)

    return make


@pytest.fixture(scope="session")
def forked(evolved) -> Path:
    """The folder of an undisturbed run of points that is forked twice; the forks lie beside it."""
    return evolved("points", evaluation__collapse=FORK).parent / "run"


@pytest.fixture(scope="session")
def long_run(evolved) -> Path:
    """The folder of an undisturbed run of points, of 28 generations."""
    return evolved("points", generations=28)


@pytest.fixture(scope="session")
def images_run(evolved) -> Path:
    """The folder of an undisturbed run of 8 x 8 digits whose survivors are scored too."""
    return evolved("images", evaluation__survivors=True)


@pytest.fixture(scope="session")
def points_run(evolved) -> Path:
    """The folder of an undisturbed run of points."""
    return evolved("points", generations=10)


@pytest.fixture(scope="session")
def scorings() -> Callable[[Path], dict[int, Scoring]]:
    """Give a run's scorings by generation; there must be one of each."""

    def read(folder: Path) -> dict[int, Scoring]:
        lines = [x for x in read_journal(folder / "journal.jsonl") if isinstance(x, Scoring)]
        assert len({line.generation for line in lines}) == len(lines)
        return {line.generation: line for line in lines}

    return read


@pytest.fixture(scope="session")
def record() -> Callable[[Path], list[dict]]:
    """Give a journal's lines without what differs between runs of the same bits."""
    return copies.record


@pytest.fixture(scope="session")
def end_of() -> Callable[[Path], str]:
    """Give the checksum of a run's newest snapshot."""

    def read(folder: Path) -> str:
        return newest(folder / "snapshots")[1]

    return read
