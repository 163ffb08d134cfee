"""What every segmenter offers: images in, which class each pixel shows out."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor
from torch.nn import functional as F


class Segmenter(ABC):
    """Says of each pixel of an image which of some classes it shows.

    Attributes:
        name: how a user named it.
        classes: the names of the K classes.
        identity: hash of everything that fixes its answers, weights above all.
    """

    def __init__(self, name: str, classes: tuple[str, ...], identity: str) -> None:
        self.name = name
        self.classes = classes
        self.identity = identity

    @abstractmethod
    def presence(self, images: Tensor) -> Tensor:
        """Return how sure it is of each class, in 0..1, (N, K, H, W), differentiable.

        Args:
            images: float (N, C, H, W) in [-1, 1].

        Raises:
            ValueError: images that it cannot take.
        """

    def masks(self, images: Tensor) -> Tensor:
        """Return what each pixel shows, bool (N, K, H, W): its most probable class.

        Raises:
            ValueError: images that it cannot take.
        """
        with torch.no_grad():
            sure = self.presence(images)
        return F.one_hot(sure.argmax(1), sure.shape[1]).movedim(3, 1).bool()
