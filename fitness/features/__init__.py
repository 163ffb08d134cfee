"""Feature spaces: what sets of images are compared in.

=====================  =====  ==========================================  =========================
name                   D      images it is for                            weights from
=====================  =====  ==========================================  =========================
``inception``          2048   natural, colour; published FID figures      a file, SHA-256 verified
``classifier``         128    small or grey, labelled                     trained on the data
``efficientnet-lite0`` 1280   natural, colour, where Inception is absent  an optional package
``pixels``             C*H*W  points of mixtures, tests                   none
``package.module:Name``  D    whatever its author says                    its author
=====================  =====  ==========================================  =========================
"""

from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor

from fitness.features.base import FeatureSpace, Progress, WeightsError
from fitness.metrics.names import nearest_name

T = TypeVar("T")

SPACES = ("classifier", "efficientnet-lite0", "inception", "pixels")


def feature_space(
    spec: str,
    *,
    shape: tuple[int, ...] | None = None,
    labelled: tuple[Tensor, Tensor] | None = None,
    weights: str | Path | None = None,
    check_hash: bool = True,
    cache: Path | None = None,
    seed: int = 0,
    device: str | torch.device = "cpu",
    progress: Progress | None = None,
) -> FeatureSpace:
    """The feature space that ``spec`` names.

    Args:
        spec: one of :data:`SPACES`, or the import path ``package.module:Name`` of a network.
        shape: (C, H, W) of the images, or (D,) of points; for ``pixels`` and import paths.
        labelled: images (N, C, H, W), uint8, and labels (N,), for ``classifier`` to learn from.
        weights: the Inception file, or a classifier saved by another run.
        check_hash: see :class:`fitness.features.inception.InceptionSpace`.
        cache: folder where ``classifier`` keeps what it trained.
        seed: of the classifier's training.
        device: where the space's network runs and its features live.
        progress: called while a classifier trains.

    Raises:
        ValueError: an unknown name (the nearest known one is offered), or what the space needs
            was not given.
        WeightsError: the space's weights are missing or damaged.
    """
    if ":" in spec:
        from fitness.features.module import ModuleSpace

        return ModuleSpace(spec, _given(shape, spec, "shape=(C, H, W)"), device)
    if spec == "pixels":
        from fitness.features.pixels import PixelSpace

        return PixelSpace(_given(shape, spec, "shape=(C, H, W)"), device)
    if spec == "inception":
        from fitness.features.inception import InceptionSpace

        return InceptionSpace(weights, check_hash=check_hash, device=device)
    if spec == "efficientnet-lite0":
        from fitness.features.efficientnet import EfficientNetSpace

        return EfficientNetSpace(device)
    if spec == "classifier":
        from fitness.features.classifier import ClassifierSpace

        if weights is not None:
            return ClassifierSpace.loaded(weights, device)
        need = "labelled images to learn from; for unlabelled ones take 'inception'"
        images, labels = _given(labelled, spec, need)
        return ClassifierSpace.trained(
            images, labels, cache=cache, seed=seed, device=device, progress=progress
        )
    raise nearest_name(spec, SPACES, "feature space")


def _given(value: T | None, spec: str, need: str) -> T:
    if value is None:
        raise ValueError(f"feature space {spec!r} needs {need}; none was given")
    return value


__all__ = ["SPACES", "FeatureSpace", "Progress", "WeightsError", "feature_space"]
