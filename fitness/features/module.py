"""Any network as a feature space, named by its import path: `package.module:Name`."""

import importlib
from typing import Any

import torch
from torch import Tensor, nn

from fitness.digest import digest, digest_weights
from fitness.features.base import FeatureSpace
from fitness.metrics.names import nearest_name


def import_module_by_path(path: str) -> nn.Module:
    """The network that `package.module:Name` names: an instance, or a class or function that
    makes one without arguments.

    It is made under a fixed seed with the global random state put back, so that a network without
    trained weights is the same every time.

    Raises:
        ValueError: the path has no `:`, cannot be imported, lacks the name, or gives no network.
    """
    module_name, colon, name = path.partition(":")
    if not (module_name and colon and name):
        raise ValueError(f"{path!r} is not an import path of the form package.module:Name")
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # a user's module may raise anything while it is imported
        raise ValueError(f"{path!r}: cannot import {module_name!r}: {error}") from error
    if not hasattr(module, name):
        public = [known for known in vars(module) if not known.startswith("_")]
        raise nearest_name(name, public, f"name in module {module_name}:")
    found: Any = getattr(module, name)
    if not isinstance(found, nn.Module) and callable(found):
        with torch.random.fork_rng():
            torch.manual_seed(0)
            try:
                found = found()
            except Exception as error:  # as may its constructor
                raise ValueError(f"{path!r} cannot be called without arguments: {error}") from error
    if not isinstance(found, nn.Module):
        raise ValueError(f"{path!r} gives a {type(found).__name__}; a torch.nn.Module is required")
    return found


class ModuleSpace(FeatureSpace):
    """A user's network: float32 images (N, C, H, W) in 0..1 in, features (N, D) out.

    Args:
        path: import path of an `nn.Module`, or of what makes one without arguments.
        shape: (C, H, W) of the images; the network is tried on two of them to learn D.
        device: where it runs.

    Raises:
        ValueError: as `import_module_by_path`, or the network does not return (N, D) floats.
    """

    def __init__(
        self, path: str, shape: tuple[int, ...], device: str | torch.device = "cpu"
    ) -> None:
        self.network = import_module_by_path(path).to(device).eval().requires_grad_(False)
        self.path = path
        trial = self._features(torch.zeros((2, *shape), dtype=torch.uint8, device=device))
        identity = digest(path, digest_weights(self.network))
        super().__init__(path, trial.shape[1], identity, device=device)

    def embed(self, images: Tensor) -> tuple[Tensor, None]:
        """The network's answer to the images scaled to 0..1."""
        return self._features(images), None

    def _features(self, images: Tensor) -> Tensor:
        features = self.network(images.float() / 255)
        if (
            not isinstance(features, Tensor)
            or features.ndim != 2
            or len(features) != len(images)
            or not features.is_floating_point()
        ):
            got = tuple(features.shape) if isinstance(features, Tensor) else type(features).__name__
            raise ValueError(
                f"{self.path!r} returned {got} for {len(images)} images; "
                "one float vector each, (N, D), is required"
            )
        return features.float()
