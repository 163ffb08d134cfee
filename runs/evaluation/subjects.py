"""Subjects of scoring: a run's generator, a generator alone, or any system's images."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor

from egan.data import ImageSource, Source, open_source
from egan.data.config import DataConfig
from egan.data.report import report_of
from fitness.metrics.names import BY_CLASS, METRICS, expand_metrics
from runs.common.errors import ConfigError
from runs.evaluation.classes import class_names
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
IMAGE_CLASSES = ("by-class",)  # beside these where samples can be asked for by class
POINT_CLASSES = ("mode-accuracy",)
SPACE = "classifier"


@dataclass(frozen=True)
class Subject:
    """A subject of scoring, and the defaults that fit it.

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
        classes: names of the classes that samples can be asked for; None: they cannot.
        draw_classes: `draw_classes(labels, seed)` gives batches of samples of these classes (N,).
        read: what was read of images, in lines.
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
    classes: tuple[str, ...] | None = None
    draw_classes: Callable[[Tensor, int], Iterable[Tensor]] | None = None
    read: tuple[str, ...] = ()


def run_subject(run: RunFolder, choice: Choice, device: Asked = "auto") -> tuple[Subject, int]:
    """Return a run's generator on a device, and the generation of the snapshot that it is of."""
    opened = open_run(run, choice, device)
    config, sampler = run.load_config(), opened.sampler
    asked = config.evaluation
    points = not sampler.images
    named = expand_metrics(asked.metrics)
    of_points = all(METRICS[name].need == "points" for name in named)
    metrics = asked.metrics if of_points == points else _usual(sampler)
    if sampler.classes is not None and not set(named) & set(BY_CLASS):
        metrics = (*metrics, *(POINT_CLASSES if points else IMAGE_CLASSES))
    subject = Subject(
        sampler.shape,
        sampler.batches,
        POINTS if points else IMAGES,
        metrics,
        asked.space,
        lambda: open_source(config.data),
        {"subject": str(run.path), "snapshot": opened.name},
        sampler.device.type,
        sampler,
        config.data,
        sampler.classes,
        sampler.of_classes,
    )
    return subject, opened.generation


def _usual(sampler: Sampler) -> tuple[str, ...]:
    return IMAGE_METRICS if sampler.images else POINT_METRICS


def generator_subject(path: Path, device: Asked = "auto") -> Subject:
    """Return a generator without a run: what it was trained on is not known."""
    chosen = opened_device(device)
    sampler = load_sampler(path).to(chosen)
    points = not sampler.images
    return Subject(
        sampler.shape,
        sampler.batches,
        POINTS if points else IMAGES,
        _usual(sampler),
        SPACE,
        None,
        {"subject": str(path), "snapshot": "generator"},
        chosen,
        sampler,
        None,
        sampler.classes,
        sampler.of_classes,
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

    def draw_classes(labels: Tensor, seed: int) -> Iterable[Tensor]:
        return batches_of(images.images, _of_classes(images, labels.numpy(), seed))

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
        classes=None if images.labels is None else class_names(images),
        draw_classes=draw_classes,
        read=tuple(report_of(images)),
    )


def _of_classes(images: ImageSource, labels: np.ndarray, seed: int) -> np.ndarray:
    """Return the places (N,) of different images of the classes (N,), drawn by the seed.

    Raises:
        ConfigError: there are too few images of a class.
    """
    assert images.labels is not None
    places = np.empty(len(labels), np.int64)
    order = np.random.default_rng(seed).permutation(len(images))
    for label in np.unique(labels):
        wanted, there = labels == label, order[images.labels[order] == label]
        if len(there) < wanted.sum():
            raise ConfigError(
                f"{images.name} holds {len(there)} images of class {class_names(images)[label]}, "
                f"and metrics by class compare with {wanted.sum()} reals of it: lower --count"
            )
        places[wanted] = there[: wanted.sum()]
    return places
