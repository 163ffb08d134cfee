"""What is scored: a run's generator, a generator alone, or any system's images."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor

from egan.data import Source, open_source
from egan.data.config import DataConfig
from fitness.metrics.names import METRICS, expand_metrics
from runs.common.errors import ConfigError
from runs.evaluation.reals import batches_of, open_images
from runs.sampling.device import Asked, opened_device
from runs.sampling.generators import load_sampler
from runs.sampling.opening import Choice, open_run
from runs.sampling.sampler import Sampler
from runs.store.folder import RunFolder

POINTS = 2500  # the usual number in the papers on mixtures
IMAGES = 10_000
IMAGE_METRICS = ("fid", "kid", "prdc")
POINT_METRICS = ("mixture",)
SPACE = "classifier"


@dataclass(frozen=True)
class Subject:
    """What is scored, and what suits it where nothing else is asked for.

    Attributes:
        shape: of one sample, (C, H, W) or (2,).
        draw: `draw(count, seed)` gives batches of samples.
        count: how many samples.
        metrics: short names or groups.
        space: the feature space.
        real: opens the data that it was trained on, if they are known.
        about: what is reported of it.
        device: where its features are computed, and its samples made if it is a generator.
        sampler: the generator, if it is one.
        data: the config of the data that it was trained on, if they are known.
    """

    shape: tuple[int, ...]
    draw: Callable[[int, int], Iterable[Tensor]]
    count: int
    metrics: tuple[str, ...]
    space: str
    real: Callable[[], Source] | None
    about: dict[str, str]
    device: str
    sampler: Sampler | None = None
    data: DataConfig | None = None


def run_subject(run: RunFolder, choice: Choice, device: Asked = "auto") -> tuple[Subject, int]:
    """Return a run's generator on a device, and the generation of the snapshot that it is of."""
    opened = open_run(run, choice, device)
    config, sampler = run.load_config(), opened.sampler
    asked = config.evaluation
    points = not sampler.images
    of_points = all(METRICS[name].need == "points" for name in expand_metrics(asked.metrics))
    usual = POINT_METRICS if points else IMAGE_METRICS
    subject = Subject(
        sampler.shape,
        sampler.batches,
        POINTS if points else IMAGES,
        asked.metrics if of_points == points else usual,
        asked.space,
        lambda: open_source(config.data),
        {"subject": str(run.path), "snapshot": opened.name},
        sampler.device.type,
        sampler,
        config.data,
    )
    return subject, opened.generation


def generator_subject(path: Path, device: Asked = "auto") -> Subject:
    """Return a generator without a run: what it was trained on is not known."""
    chosen = opened_device(device)
    sampler = load_sampler(path).to(chosen)
    points = not sampler.images
    return Subject(
        sampler.shape,
        sampler.batches,
        POINTS if points else IMAGES,
        POINT_METRICS if points else IMAGE_METRICS,
        SPACE,
        None,
        {"subject": str(path), "snapshot": "generator"},
        chosen,
        sampler,
    )


def images_subject(path: Path, resolution: int | None, device: Asked = "auto") -> Subject:
    """Return images of any origin: a folder, .zip, .npy or .npz."""
    images = open_images(str(path), resolution)

    def draw(count: int, seed: int) -> Iterable[Tensor]:
        if count > len(images):
            raise ConfigError(f"--count {count}: {path} holds only {len(images)} images")
        # A part is drawn at random, for a folder's files are often sorted by class.
        drawn = np.random.default_rng(seed).permutation(len(images))[:count]
        return batches_of(images.images, np.sort(drawn))

    about = {"subject": str(path)}
    return Subject(
        images.shape,
        draw,
        len(images),
        IMAGE_METRICS,
        SPACE,
        None,
        about,
        opened_device(device),
    )
