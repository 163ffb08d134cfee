"""Fully connected networks for low-dimensional mixtures, as in the published toy experiments."""

import itertools
from math import sqrt
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from egan.backbones.function import NetworkFunction
from egan.backbones.networks import Backbone, Networks, refuse


class MLPConfig(Backbone, extra="forbid", frozen=True):
    """An MLP generator and discriminator of equal depth and width."""

    name: Literal["mlp"] = "mlp"
    latent: int = Field(2, ge=1, description="size of the noise vector z")
    prior: Literal["normal", "uniform"] = "normal"
    width: int = Field(128, ge=1, description="units of each hidden layer")
    depth: int = Field(3, ge=1, description="hidden layers")

    def build(self, shape: tuple[int, ...]) -> Networks:
        """Return the networks for samples of `shape`; see `build` below."""
        return build(self, shape)


class MLP(nn.Module):
    """`depth` hidden layers of ReLU units; takes (N, inputs), gives (N, outputs)."""

    def __init__(self, inputs: int, outputs: int, width: int, depth: int) -> None:
        super().__init__()
        sizes = [inputs] + [width] * depth
        layers: list[nn.Module] = []
        for size, following in itertools.pairwise(sizes):
            layers += [nn.Linear(size, following), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.Linear(sizes[-1], outputs))

    def forward(self, x: Tensor) -> Tensor:
        """Return the last layer's output."""
        out: Tensor = self.layers(x)
        return out


class PointCritic(MLP):
    """A discriminator of points: (N, inputs) to one logit each, (N,)."""

    def forward(self, x: Tensor) -> Tensor:
        """Return D's logits (N,)."""
        return super().forward(x).squeeze(1)


def initialise(module: nn.Module, generator: torch.Generator) -> None:
    """Draw a linear layer as torch does by default: uniform within 1 / sqrt(inputs)."""
    if isinstance(module, nn.Linear):
        bound = 1 / sqrt(module.in_features)
        nn.init.uniform_(module.weight, -bound, bound, generator=generator)
        nn.init.uniform_(module.bias, -bound, bound, generator=generator)


def build(config: MLPConfig, shape: tuple[int, ...]) -> Networks:
    """Return the networks for points of `shape` (D,).

    Raises:
        ValueError: the data are images.
    """
    if len(shape) != 1:
        needs = "points, such as the gaussians source gives"
        raise refuse("mlp", shape, needs, "take backbone.name=dcgan")
    size, width, depth = shape[0], config.width, config.depth
    return Networks(
        generator=NetworkFunction(
            lambda: MLP(config.latent, size, width, depth), initialise, direct=True
        ),
        discriminator=NetworkFunction(
            lambda: PointCritic(size, 1, width, depth), initialise, direct=True
        ),
        latent=config.latent,
        prior=config.prior,
    )
