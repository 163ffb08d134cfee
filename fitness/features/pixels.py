"""The images themselves as features: for mixtures of points, for tests, for pixel statistics."""

import math

import torch
from torch import Tensor

from fitness.digest import digest
from fitness.features.base import FeatureSpace


class PixelSpace(FeatureSpace):
    """Images (N, C, H, W) flattened, bytes scaled to 0..1; or points (N, D), floats as they are.

    Args:
        shape: of one image, (C, H, W), or of one point, (D,).
        device: where the features live.
    """

    def __init__(self, shape: tuple[int, ...], device: str | torch.device = "cpu") -> None:
        super().__init__("pixels", math.prod(shape), digest("pixels", str(shape)), device=device)
        self.shape = tuple(shape)

    def check(self, images: Tensor) -> None:
        """Refuse images or points of another shape.

        Raises:
            ValueError: says what arrived and what is required.
        """
        points = len(self.shape) == 1
        fits = images.is_floating_point() if points else images.dtype == torch.uint8
        if not fits or tuple(images.shape[1:]) != self.shape or not len(images):
            raise ValueError(
                f"space 'pixels' takes {'float points' if points else 'uint8 images'} of shape "
                f"(N, {', '.join(map(str, self.shape))}); "
                f"{images.dtype} {tuple(images.shape)} arrived"
            )

    def embed(self, images: Tensor) -> tuple[Tensor, None]:
        """Flatten: (N, C * H * W)."""
        scale = 255.0 if images.dtype == torch.uint8 else 1.0
        return images.flatten(1).float() / scale, None
