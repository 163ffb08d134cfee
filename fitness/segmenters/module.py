"""Any network as a segmenter, named by its import path: `package.module:Name`."""

import torch
from torch import Tensor

from fitness.digest import digest, digest_weights
from fitness.features.module import import_module_by_path
from fitness.segmenters.base import Segmenter


class ModuleSegmenter(Segmenter):
    """A user's network: float32 images (N, C, H, W) in 0..1 in, logits (N, K, H, W) out.

    The attribute `classes` of the network, if there is one, names the K classes.

    Args:
        path: import path of an `nn.Module`, or of what makes one without arguments.
        shape: (C, H, W) of the images; the network is tried on two of them.
        device: where it runs.

    Raises:
        ValueError: as `import_module_by_path`, or the network does not return such logits.
    """

    def __init__(
        self, path: str, shape: tuple[int, ...], device: str | torch.device = "cpu"
    ) -> None:
        self.network = import_module_by_path(path).to(device).eval().requires_grad_(False)
        trial = self._logits(path, torch.zeros(2, *shape, device=device))
        names = getattr(self.network, "classes", None) or range(trial.shape[1])
        classes = tuple(map(str, names))
        if len(classes) != trial.shape[1] or len(set(classes)) != len(classes):
            raise ValueError(
                f"segmenter {path!r} returned {trial.shape[1]} classes, and its attribute "
                f"`classes` has {len(classes)} names; as many different names are needed"
            )
        super().__init__(path, classes, digest(path, digest_weights(self.network)))

    def presence(self, images: Tensor) -> Tensor:
        """Return the softmax of the network's logits."""
        return self._logits(self.name, (images + 1) / 2).softmax(1)

    def _logits(self, path: str, images: Tensor) -> Tensor:
        try:
            logits = self.network(images)
        except Exception as error:  # a user's network may raise anything
            size = " x ".join(map(str, images.shape[1:]))
            raise ValueError(
                f"segmenter {path!r} fails on images of {size}: {type(error).__name__}: {error}"
            ) from error
        wanted = (len(images), *images.shape[2:])
        fits = isinstance(logits, Tensor) and logits.dim() == 4 and logits.is_floating_point()
        if not fits or (len(logits), *logits.shape[2:]) != wanted or logits.shape[1] < 2:
            got = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
            raise ValueError(
                f"segmenter {path!r} returned {got} for images {tuple(images.shape)}; logits "
                f"(N, K, {images.shape[2]}, {images.shape[3]}) of at least 2 classes are needed"
            )
        found: Tensor = logits.float()
        return found
