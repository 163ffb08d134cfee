"""Fully connected networks for low-dimensional mixtures, as in the published toy experiments.

A condition is joined to the input of each network: Mirza and Osindero, arXiv 1411.1784.
"""

import itertools
from math import sqrt
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from egan.backbones.function import NetworkFunction
from egan.backbones.networks import Backbone, Networks, check_condition, refuse
from egan.data.condition import Conditions


class MLPConfig(Backbone, extra="forbid", frozen=True):
    """An MLP generator and discriminator of equal depth and width."""

    name: Literal["mlp"] = "mlp"
    latent: int = Field(2, ge=1, description="size of the noise vector z")
    prior: Literal["normal", "uniform"] = "normal"
    width: int = Field(128, ge=1, description="units of each hidden layer")
    depth: int = Field(3, ge=1, description="number of hidden layers")
    condition: Literal["concat"] | None = Field(
        None,
        description="how networks use the condition (data.condition); null: concat, joined to the"
        " input",
    )

    def build(self, shape: tuple[int, ...]) -> Networks:
        """Return the networks for samples of `shape`; see `build` below."""
        return build(self, shape)

    def build_conditional(
        self, shape: tuple[int, ...], conditions: Conditions, classify: bool = False
    ) -> Networks:
        """Return networks that take conditions; see `Backbone.build_conditional`."""
        return build(self, shape, conditions, classify)


class MLP(nn.Module):
    """`depth` hidden layers of ReLU units; takes (N, inputs), gives (N, outputs).

    A condition of `told` places is joined to the input.
    """

    def __init__(self, inputs: int, outputs: int, width: int, depth: int, told: int = 0) -> None:
        super().__init__()
        self.told = told
        sizes = [inputs + told] + [width] * depth
        layers: list[nn.Module] = []
        for size, following in itertools.pairwise(sizes):
            layers += [nn.Linear(size, following), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.Linear(sizes[-1], outputs))

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """Return the last layer's output."""
        check_condition(condition, self.told)
        out: Tensor = self.layers(x if condition is None else torch.cat([x, condition], 1))
        return out


class PointCritic(MLP):
    """A discriminator of points: (N, inputs) to one logit each, (N,), or several, (N, outputs)."""

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """Return D's logits."""
        return super().forward(x, condition).squeeze(1)


def initialise(module: nn.Module, generator: torch.Generator) -> None:
    """Draw a linear layer as torch does by default: uniform within 1 / sqrt(inputs)."""
    if isinstance(module, nn.Linear):
        bound = 1 / sqrt(module.in_features)
        nn.init.uniform_(module.weight, -bound, bound, generator=generator)
        nn.init.uniform_(module.bias, -bound, bound, generator=generator)


def build(
    config: MLPConfig,
    shape: tuple[int, ...],
    conditions: Conditions | None = None,
    classify: bool = False,
) -> Networks:
    """Return the networks for points of `shape` (D,), conditional where there are conditions.

    Raises:
        ValueError: the data are images.
    """
    if len(shape) != 1:
        needs = "points, such as the gaussians source gives"
        raise refuse("mlp", shape, needs, "take backbone.name=dcgan")
    size, width, depth = shape[0], config.width, config.depth
    places = conditions.size if conditions else 0
    told, said = (0, places) if classify else (places, 0)
    return Networks(
        generator=NetworkFunction(
            lambda: MLP(config.latent, size, width, depth, places), initialise, direct=True
        ),
        discriminator=NetworkFunction(
            lambda: PointCritic(size, 1 + said, width, depth, told), initialise, direct=True
        ),
        latent=config.latent,
        prior=config.prior,
    )
