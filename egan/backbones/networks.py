"""What every backbone gives the engine."""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol, Self

import torch
from pydantic import BaseModel
from torch import Tensor

from egan.backbones.function import NetworkFunction
from egan.backbones.progressive.growth import GrowthSchedule, Stage
from egan.data.condition import Conditions
from egan.state import Weights

Prior = Literal["normal", "uniform"]


class Rows(Protocol):
    """Aligned rows, one for each sample: a tensor (N, ...), or a backbone's own kind of rows.

    It is a tree of tensors (`egan/tensor_tree.py`), as `send` and CUDA graphs need.
    """

    def __len__(self) -> int: ...

    def __getitem__(self, rows: slice, /) -> Self: ...


class Backbone(BaseModel, extra="forbid", frozen=True):
    """A backbone's config: what is known of its networks before the data are.

    A class of a user's own is named by its import path and gives its networks by `build`.
    """

    name: str
    least_fakes: ClassVar[int] = 2  # of a survivor in the critics' batch

    @abstractmethod
    def build(self, shape: tuple[int, ...]) -> "Networks":
        """Return the networks that make and judge samples of `shape`, (C, H, W) or (D,).

        Raises:
            ValueError: the backbone cannot make samples of that shape.
        """

    def build_conditional(
        self, shape: tuple[int, ...], conditions: Conditions, classify: bool = False
    ) -> "Networks":
        """Return networks that take a condition (N, conditions.size) after their other input.

        With `classify` the discriminator is not told the condition but says it: its output is
        (N, 1 + conditions.size), the logit of being real and one for each place of the condition.

        Raises:
            ValueError: the backbone takes no conditions, or cannot make samples of that shape.
        """
        raise ValueError(
            f"backbone.name: {self.name} takes no conditions; set data.condition=null, or give "
            "its class a method build_conditional"
        )

    @property
    def advice(self) -> str | None:
        """A line on settings that are known to train badly; None: they are not."""
        return None

    @property
    def grows(self) -> bool:
        """Whether the networks grow while they are trained."""
        return False

    def batches(self, batch: int) -> Mapping[str, int]:
        """Return a run's batch sizes by the keys that set them; `batch` is population.batch."""
        return {"population.batch": batch}

    def counted(self, batch: int) -> GrowthSchedule | None:
        """Return a schedule that counts the images shown; None: every batch has size `batch`."""
        return None

    def check_batch(self, key: str, batch: int) -> None:
        """Refuse a batch that the networks cannot judge.

        Raises:
            ValueError: names `key`.
        """


@dataclass(frozen=True)
class Networks:
    """The generator z (N, latent) -> fakes, and the discriminator samples -> logits (N,).

    Conditional ones take a condition besides; see `Backbone.build_conditional`.
    """

    generator: NetworkFunction
    discriminator: NetworkFunction
    latent: int
    prior: Prior

    def noise(self, count: int, generator: torch.Generator) -> Rows:
        """Return z (count, latent), normal or uniform in (-1, 1), drawn on the CPU.

        The CPU draws for every device, so that a run sees the same noise wherever it runs.
        """
        if self.prior == "uniform":
            return torch.rand(count, self.latent, generator=generator) * 2 - 1
        return torch.randn(count, self.latent, generator=generator)

    def growth(self, batch: int) -> GrowthSchedule | None:
        """Return the schedule of growing networks, or None; see `egan.games.Game.growth`."""
        return None

    def directions(self, step: int, count: int, stage: Stage | None) -> tuple[int, ...] | None:
        """Return None: nothing is regularised; see `egan.games.Game.directions`."""
        return None

    def regularisation(
        self,
        weights: Weights,
        noise: Any,
        condition: Tensor | None,
        directions: Tensor,
        stage: Stage | None,
    ) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Return a loss () of the generator's own, and the buffers that it changes."""
        raise NotImplementedError


def check_condition(condition: Tensor | None, places: int) -> None:
    """Refuse a condition that a network does not take, or none where it takes one of `places`.

    Raises:
        TypeError: says what it takes.
    """
    given = None if condition is None else tuple(condition.shape[1:])
    if given != ((places,) if places else None):
        takes = f"a condition (N, {places})" if places else "no condition"
        arrived = "none" if condition is None else f"one of {tuple(condition.shape)}"
        raise TypeError(f"this network takes {takes}; {arrived} was given")


def refuse(backbone: str, shape: tuple[int, ...], needs: str, remedy: str) -> ValueError:
    """Return the error for data of a shape that a backbone cannot make."""
    size = " x ".join(map(str, shape))
    return ValueError(
        f"backbone.name: {backbone} makes {needs}, but the data's samples are {size}; {remedy}"
    )
