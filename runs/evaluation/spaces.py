"""A feature space by its name, with the files and the labelled data that it needs."""

import json
import warnings
from pathlib import Path
from typing import TypeVar

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from egan.cache import keep, recall
from egan.data import ImageSource
from egan.files import saving_tensors
from fitness.digest import digest
from fitness.features import SPACES, FeatureSpace, Progress, WeightsError
from fitness.features.classifier import NAMES, ClassifierSpace, check_labelled, recipe_for
from fitness.features.module import ModuleSpace
from fitness.features.pixels import PixelSpace
from fitness.features.stacked import StackedSpace
from fitness.metrics.names import nearest_name
from fitness.statistics import Statistics
from runs.evaluation.weights import efficientnet_space, inception_space

ABOUT = "classifier"  # the key of a file's metadata

T = TypeVar("T")


def open_space(
    name: str,
    real: ImageSource | Statistics | None,
    shape: tuple[int, ...],
    weights: Path | None = None,
    device: str | torch.device = "cpu",
    progress: Progress | None = None,
) -> FeatureSpace:
    """Return a feature space for images (C, H, W); `classifier` learns from the real ones' labels.

    Where each channel is a labelled image of its own, it learns from these, and is `stacked`.

    Raises:
        ValueError: no such space, or it needs what the real side does not have.
    """
    labelled, layers = None, None
    if name in NAMES and weights is None and isinstance(real, ImageSource):
        layers = real.layers
        labelled = _labelled(layers or real)
    space = feature_space(
        name, shape=shape, labelled=labelled, weights=weights, device=device, progress=progress
    )
    if layers is None:
        return space
    assert isinstance(space, ClassifierSpace)
    return StackedSpace(space, shape[0])


def _labelled(source: ImageSource) -> tuple[Tensor, Tensor] | None:
    if source.labels is None:
        return None
    with warnings.catch_warnings():  # of read-only memory, such as a map: nothing writes to it
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        return torch.from_numpy(source.images), torch.from_numpy(source.labels)


def feature_space(
    name: str,
    *,
    shape: tuple[int, ...] | None = None,
    labelled: tuple[Tensor, Tensor] | None = None,
    weights: str | Path | None = None,
    device: str | torch.device = "cpu",
    progress: Progress | None = None,
) -> FeatureSpace:
    """Return the feature space of a name.

    Args:
        name: one of `fitness.features.SPACES`, or the import path `package.module:Name` of a
            network.
        shape: (C, H, W) of the images, or (D,) of points; for `pixels` and import paths.
        labelled: images (N, C, H, W), uint8, and labels (N,), for `classifier` to learn from.
        weights: the Inception file, or a classifier that `save_classifier` wrote.
        device: where the space's network runs and its features live.
        progress: called while a classifier trains.

    Raises:
        ValueError: an unknown name (the nearest known one is offered), or what the space needs
            was not given.
        WeightsError: the space's weights are missing or damaged.
    """
    if ":" in name:
        return ModuleSpace(name, _given(shape, name, "shape=(C, H, W)"), device)
    if name == "pixels":
        return PixelSpace(_given(shape, name, "shape=(C, H, W)"), device)
    if name == "inception":
        return inception_space(weights, device=device)
    if name == "efficientnet-lite0":
        return efficientnet_space(device)
    if name in NAMES:
        if weights is not None:
            return load_classifier(weights, device)
        need = "labelled images to learn from; for unlabelled ones take 'inception'"
        return classifier_space(*_given(labelled, name, need), device=device, progress=progress)
    raise nearest_name(name, SPACES, "feature space")


def _given(value: T | None, name: str, need: str) -> T:
    if value is None:
        raise ValueError(f"feature space {name!r} needs {need}; none was given")
    return value


# -------------------------------------------------------------------------------------- classifier


def classifier_space(
    images: Tensor,
    labels: Tensor,
    *,
    seed: int = 0,
    device: str | torch.device = "cpu",
    progress: Progress | None = None,
) -> ClassifierSpace:
    """Return the classifier of labelled images: trained now, or kept in the cache.

    The cache's key is the hash of images, labels, seed and recipe.

    Raises:
        ValueError: the images or labels are not of the required form, or too few.
    """
    check_labelled(images, labels)
    recipe = recipe_for(len(images)).number
    name = f"classifier-{digest('classifier', recipe, seed, images, labels)[:16]}.safetensors"
    space = recall(name, lambda path: load_classifier(path, device))
    if space is None:
        space = ClassifierSpace.trained(images, labels, seed=seed, device=device, progress=progress)
        keep(name, lambda path: save_classifier(space, path))
    return space


def save_classifier(space: ClassifierSpace, path: Path) -> None:
    """Write a classifier's weights and what made them."""
    state, about = space.state()
    with saving_tensors(path):
        save_file(state, path, {ABOUT: json.dumps(about)})


def load_classifier(path: str | Path, device: str | torch.device = "cpu") -> ClassifierSpace:
    """Return a classifier that `save_classifier` wrote, so that other runs are scored in its space.

    Raises:
        WeightsError: the file is missing, damaged, or of another recipe.
    """
    if not Path(path).is_file():
        raise WeightsError(f"{path}: no such file")
    try:
        with safe_open(path, "pt") as file:
            about = json.loads((file.metadata() or {})[ABOUT])
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return ClassifierSpace.restored(state, about, device)
    except Exception as error:  # any JSON and any tensors may stand there
        raise WeightsError(f"{path}: cannot be read as a classifier space: {error}") from error
