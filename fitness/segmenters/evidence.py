"""The evidence for a class as its region: Grad-CAM, Selvaraju et al., arXiv 1610.02391.

The classifier ends with a mean over positions and a linear layer, for which Grad-CAM's weights are
those of that layer: relu(sum_k w_ck A_k).
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from fitness.features.classifier import ClassifierSpace
from fitness.segmenters.base import Segmenter

ENOUGH = 0.5  # of the largest evidence in an image, where the class is seen


class EvidenceSegmenter(Segmenter):
    """Where the project's classifier of a data set sees each of its classes."""

    def __init__(self, space: ClassifierSpace, classes: tuple[str, ...]) -> None:
        """Keep a classifier of `classes`.

        Raises:
            ValueError: it knows another number of classes.
        """
        if space.classes != len(classes):
            raise ValueError(f"the classifier knows {space.classes} classes, not {len(classes)}")
        super().__init__("classes", classes, space.identity)
        self._space = space

    def presence(self, images: Tensor) -> Tensor:
        """Return the evidence in units of its largest in the image, times the class's probability.

        Raises:
            ValueError: another number of channels than the classifier was trained on.
        """
        self._space.check_channels(images)
        network = self._space.network
        features = network.body(images)  # (N, 128, h, w)
        weight = network.head.weight
        evidence = torch.einsum("kd,ndhw->nkhw", weight, features).relu()
        sure = network.head(features.mean((2, 3))).softmax(1)
        large = F.interpolate(evidence, images.shape[2:], mode="bilinear", align_corners=False)
        most = large.amax((2, 3), keepdim=True).clamp(min=1e-6)
        shares: Tensor = large / most * sure[:, :, None, None]
        return shares

    def masks(self, images: Tensor) -> Tensor:
        """Return where an image's own class has at least half of its largest evidence.

        Raises:
            ValueError: as `presence`.
        """
        with torch.no_grad():
            return self.presence(images) > ENOUGH
