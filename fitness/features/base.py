"""What every feature space offers: images in, one feature vector each out."""

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor

# Called as progress(stage, done, total).
Progress = Callable[[str, int, int], None]


class WeightsError(ValueError):
    """A network's weights are missing, cut, or not the ones that the space is defined by."""


class FeatureSpace(ABC):
    """A fixed map from images to vectors, in which metrics compare sets of images.

    Attributes:
        name: the name that a metric carries, as in `fid-inception-10k`.
        dimension: D, the length of a feature vector.
        identity: hash of everything that fixes the map, weights above all. Two spaces of one name
            and different identities give scores that cannot be compared.
        classes: K, the number of logits, or None where the space has no classifier.
        device: where the network and the features live.
    """

    # Images embedded at once, which bounds memory whatever batch the caller brings. Large networks
    # are up to three times faster on a CPU when a few images' activations fit its caches.
    chunk = 128
    chunk_on_cpu = 128

    def __init__(
        self,
        name: str,
        dimension: int,
        identity: str,
        classes: int | None = None,
        device: str | torch.device = "cpu",
    ) -> None:
        self.name = name
        self.dimension = dimension
        self.identity = identity
        self.classes = classes
        self.device = torch.device(device)

    def __call__(self, images: Tensor) -> Tensor:
        """Features (N, D), float32, of images (N, C, H, W), uint8.

        Raises:
            ValueError: the images are not of that form, or not what the space takes.
        """
        return self.features_and_logits(images)[0]

    def features_and_logits(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        """Features (N, D) and, where there is a classifier, logits (N, K), in one pass.

        Raises:
            ValueError: as for calling the space.
        """
        self.check(images)
        features, logits = [], []
        with torch.no_grad():
            chunk = self.chunk_on_cpu if self.device.type == "cpu" else self.chunk
            for part in torch.split(images, chunk):
                feature, logit = self.embed(part.to(self.device))
                features.append(feature)
                logits.append(logit)
        present = [logit for logit in logits if logit is not None]
        return torch.cat(features), torch.cat(present) if present else None

    def check(self, images: Tensor) -> None:
        """Refuse what is not a batch of byte images.

        Raises:
            ValueError: says what arrived and what is required.
        """
        if images.dtype != torch.uint8 or images.ndim != 4 or 0 in images.shape:
            raise ValueError(
                f"space {self.name!r} takes images as bytes, uint8 (N, C, H, W); "
                f"{images.dtype} {tuple(images.shape)} arrived"
            )

    @abstractmethod
    def embed(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        """Features (N, D) and logits (N, K) or None, float32, of a few checked images."""


def as_rgb(images: Tensor) -> Tensor:
    """Images with three channels: grey ones repeat theirs, colour ones pass.

    Raises:
        ValueError: neither 1 nor 3 channels.
    """
    channels = images.shape[1]
    if channels not in (1, 3):
        raise ValueError(f"images have {channels} channels; grey (1) or RGB (3) is required")
    return images.expand(-1, 3, -1, -1)
