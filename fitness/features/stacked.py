"""A feature space for images whose channels are images of their own, such as stacked digits.

A classifier of single layers looks at each channel; an image's class is that of all its layers in
order, so K classes of a layer make K^C of an image: Srivastava et al., arXiv 1705.07761, sec. 4.1.
"""

import torch
from torch import Tensor

from fitness.digest import digest
from fitness.features.base import FeatureSpace
from fitness.features.classifier import ClassifierSpace


class StackedSpace(FeatureSpace):
    """The layers' features side by side, (N, C D), and the log probabilities of their classes."""

    chunk = chunk_on_cpu = 512

    def __init__(self, layers: ClassifierSpace, channels: int) -> None:
        assert layers.classes is not None
        self._layers, self._channels = layers, channels
        identity = digest("stacked", channels, layers.identity)
        classes = layers.classes**channels
        super().__init__(
            "stacked", layers.dimension * channels, identity, classes, device=layers.device
        )

    def embed(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Features (N, C D) and logits (N, K^C), the first channel's class the weightiest.

        Raises:
            ValueError: another number of channels.
        """
        count, channels = images.shape[:2]
        if channels != self._channels:
            raise ValueError(
                f"space 'stacked' takes images of {self._channels} layers; {channels} arrived"
            )
        features, logits = self._layers.embed(images.flatten(0, 1)[:, None])
        each = logits.log_softmax(1).view(count, channels, -1)
        joint = torch.zeros(count, 1, device=logits.device)
        for layer in each.unbind(1):
            joint = (joint[:, :, None] + layer[:, None]).flatten(1)
        return features.reshape(count, -1), joint
