"""Metrics by class: the samples of each class are compared with the reals of that class.

Intra-class FID: Miyato and Koyama, *cGANs with Projection Discriminator*, arXiv 1802.05637, sec. 5.
GAN-train and GAN-test: Shmelkov et al., *How good is my GAN?*, arXiv 1807.09499; the former is also
called classification accuracy score, Ravuri and Vinyals, arXiv 1905.10887.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fitness.metrics.fid import frechet_distance
from fitness.metrics.kid import kernel_distance
from fitness.statistics import RunningStatistics, Statistics


@dataclass(frozen=True)
class ByClass:
    """A metric's value of all samples, and that of each class by its number."""

    value: float
    classes: Mapping[int, float]


def split_by_class(
    labels: np.ndarray, count: int, stream: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return the places of two disjoint sets of images with the same number of each class.

    Both are in mixed order. Of a class with an odd number, one image is in neither.

    Args:
        labels: (N,), the images' classes.
        count: how many images a set has at most; the classes keep their shares.
        stream: chooses the images.

    Raises:
        ValueError: some class would have fewer than two images in each set.
    """
    chosen = stream.permutation(len(labels))[: 2 * count]
    halves: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    for label in np.unique(labels):
        places = chosen[labels[chosen] == label]
        half = len(places) // 2
        if half < 2:
            raise ValueError(
                f"class {label} has {len(places)} real images among {len(chosen)}; metrics by "
                "class need at least 4: two to compare with, and two that are held out. "
                "Raise the count, or bring more images of it"
            )
        halves[0].append(places[:half])
        halves[1].append(places[half : 2 * half])
    first, second = (stream.permutation(np.concatenate(half)) for half in halves)
    return first, second


def frechet_by_class(
    real: Tensor, real_labels: Tensor, fake: Tensor, fake_labels: Tensor
) -> ByClass:
    """The Fréchet distance of features (N, D) and (M, D) within each class, and their mean.

    Raises:
        ValueError: a class of the reals has fewer than two rows on a side.
    """

    def distance(real: Tensor, fake: Tensor) -> float:
        return frechet_distance(_moments(real), _moments(fake))

    return _distances(real, real_labels, fake, fake_labels, distance)


def kernel_by_class(
    real: Tensor, real_labels: Tensor, fake: Tensor, fake_labels: Tensor
) -> ByClass:
    """The kernel distance of features within each class, and their mean; see `frechet_by_class`."""
    return _distances(real, real_labels, fake, fake_labels, kernel_distance)


def accuracy_by_class(predicted: Tensor, labels: Tensor) -> ByClass:
    """The share of samples (N,) whose predicted class is their label."""
    right = predicted == labels
    classes = torch.unique(labels).tolist()
    return ByClass(
        float(right.double().mean()),
        {label: float(right[labels == label].double().mean()) for label in classes},
    )


def _distances(
    real: Tensor,
    real_labels: Tensor,
    fake: Tensor,
    fake_labels: Tensor,
    distance: Callable[[Tensor, Tensor], float],
) -> ByClass:
    classes = {}
    for label in torch.unique(real_labels).tolist():
        ours, theirs = real[real_labels == label], fake[fake_labels == label]
        if min(len(ours), len(theirs)) < 2:
            raise ValueError(
                f"class {label} has {len(ours)} real and {len(theirs)} generated images; a "
                "distance within a class needs at least two of each"
            )
        classes[label] = distance(ours, theirs)
    return ByClass(sum(classes.values()) / len(classes), classes)


def _moments(features: Tensor) -> Statistics:
    running = RunningStatistics(features.shape[1], features.device)
    running.update(features)
    return running.finish("", None, None)
