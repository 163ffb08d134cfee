"""The fully connected networks of Mirza and Osindero (arXiv 1411.1784, section 4.1) for images.

G: z to 200 ReLU units, y to 1,000, both to 1,200, then the image. D: x to 240 maxout units of 5
pieces, y to 50 of 5, both to 240 of 4, then the logit. Without conditions they are the same less
what takes y. The paper's dropout is left out, since networks here draw nothing at random, and so
are its sigmoid, for images lie in [-1, 1] (tanh instead), and its SGD.
"""

from math import prod
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from egan.backbones.function import NetworkFunction
from egan.backbones.mlp import initialise
from egan.backbones.networks import Backbone, Networks, Prior, check_condition, refuse
from egan.data.condition import Conditions


class MaxoutConfig(Backbone, extra="forbid", frozen=True):
    """Mirza and Osindero's networks; the defaults are the published ones."""

    name: Literal["maxout"] = "maxout"
    latent: int = Field(100, ge=1, description="size of the noise vector z")
    prior: Prior = "uniform"
    units: tuple[int, int, int] = Field(
        (200, 1000, 1200),
        description="G's units in the layers after z, after the condition and after both joined",
    )
    maxout_units: tuple[int, int, int] = Field(
        (240, 50, 240),
        description="D's units in the layers after x, after the condition and after both joined",
    )
    pieces: tuple[int, int, int] = Field(
        (5, 5, 4), description="linear pieces per unit, for each of these layers"
    )
    condition: Literal["concat"] | None = Field(
        None,
        description="how networks use the condition (data.condition); null: concat, joined to a "
        "hidden layer",
    )

    def build(self, shape: tuple[int, ...]) -> Networks:
        """Return the networks for images of `shape`; see `build` below."""
        return build(self, shape)

    def build_conditional(
        self, shape: tuple[int, ...], conditions: Conditions, classify: bool = False
    ) -> Networks:
        """Return networks that take conditions; see `Backbone.build_conditional`."""
        return build(self, shape, conditions, classify)


class Maxout(nn.Module):
    """Goodfellow et al., 1302.4389: each of `units` is the largest of `pieces` linear functions."""

    def __init__(self, inputs: int, units: int, pieces: int) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, units * pieces)
        self.pieces = pieces

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, units) of (N, inputs)."""
        largest: Tensor = self.linear(x).unflatten(1, (-1, self.pieces)).amax(2)
        return largest


class Generator(nn.Module):
    """z (N, latent) to images (N, C, H, W) in [-1, 1]."""

    def __init__(self, config: MaxoutConfig, shape: tuple[int, ...], told: int) -> None:
        super().__init__()
        first, second, both = config.units
        self.shape, self.told = shape, told
        self.of_noise = nn.Linear(config.latent, first)
        self.of_condition = nn.Linear(told, second) if told else None
        self.joint = nn.Linear(first + (second if told else 0), both)
        self.out = nn.Linear(both, prod(shape))

    def forward(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        """Return images; `condition` (N, size) is for networks that take one."""
        check_condition(condition, self.told)
        hidden = self.of_noise(z).relu()
        if self.of_condition is not None:
            hidden = torch.cat([hidden, self.of_condition(condition).relu()], 1)
        images: Tensor = self.out(self.joint(hidden).relu()).tanh()
        return images.view(-1, *self.shape)


class Discriminator(nn.Module):
    """Images (N, C, H, W) to logits (N,), or (N, 1 + said) of one that says the condition."""

    def __init__(self, config: MaxoutConfig, size: int, told: int, said: int) -> None:
        super().__init__()
        (first, second, both), pieces = config.maxout_units, config.pieces
        self.told = told
        self.of_image = Maxout(size, first, pieces[0])
        self.of_condition = Maxout(told, second, pieces[1]) if told else None
        self.joint = Maxout(first + (second if told else 0), both, pieces[2])
        self.out = nn.Linear(both, 1 + said)

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """Return D's logits; `condition` (N, size) is for networks that are told one."""
        check_condition(condition, self.told)
        hidden = self.of_image(x.flatten(1))
        if self.of_condition is not None:
            hidden = torch.cat([hidden, self.of_condition(condition)], 1)
        logits: Tensor = self.out(self.joint(hidden))
        return logits.squeeze(1)


def build(
    config: MaxoutConfig,
    shape: tuple[int, ...],
    conditions: Conditions | None = None,
    classify: bool = False,
) -> Networks:
    """Return the networks for images of `shape` (C, H, W), conditional where there are conditions.

    Raises:
        ValueError: the data are points.
    """
    if len(shape) != 3:
        raise refuse("maxout", shape, "images", "take backbone.name=mlp")
    size = conditions.size if conditions else 0
    told, said = (0, size) if classify else (size, 0)
    return Networks(
        generator=NetworkFunction(lambda: Generator(config, shape, size), initialise, direct=True),
        discriminator=NetworkFunction(
            lambda: Discriminator(config, prod(shape), told, said), initialise, direct=True
        ),
        latent=config.latent,
        prior=config.prior,
    )
