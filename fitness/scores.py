"""A child's score against the discriminator: quality and diversity.

`egan` is Wang et al., 1803.00657, section 3.3: Fq = E[D(G(z))], and Fd is of D's gradient. `iegan`
is Li et al., 2109.11078: Fq = E[C(G(z))], the raw logit, and Fd is how far samples lie apart.

The score is a vector; making one number of it is a selection policy's business.
"""

from typing import Literal

import torch
from pydantic import BaseModel, Field
from torch import Tensor

OBJECTIVES = ("quality", "diversity", "reconstruction")  # the last one of translators alone
USUAL = 2  # of them, what every game has


class FitnessConfig(BaseModel, extra="forbid", frozen=True):
    """How children are scored: F = Fq + gamma Fd, each estimated on `batch` fakes and reals."""

    name: Literal["egan", "iegan"] = Field(
        "egan",
        description="which Fq and Fd. egan: E[D(G(z))], and the negative log norm of D's gradient; "
        "iegan: the mean logit, and the mean absolute difference between samples (its authors' "
        "gamma is 0.05)",
    )
    gamma: float = Field(
        0.01,
        allow_inf_nan=False,
        description="gamma: the weight of diversity Fd in the fitness F = Fq + gamma Fd",
    )
    batch: int = Field(
        256,
        ge=2,
        description="batch size of an evaluation of children: the number of fakes, and of reals",
    )
    every: int = Field(
        100,
        ge=1,
        description="where there is nothing to choose (one child per survivor), evaluate children"
        " in every n-th generation only, to report their scores; 1: in all, and "
        "survivors are ranked",
    )

    reconstruction: float | None = Field(
        None,
        ge=0,
        allow_inf_nan=False,
        description="for translators: weight in the fitness of a third objective Fr, the negative"
        " distance of translations of held-out pairs from their targets; null: no "
        "such objective",
    )

    @property
    def objectives(self) -> tuple[str, ...]:
        """The objectives' names."""
        return OBJECTIVES[: len(self.weights)]

    @property
    def weights(self) -> tuple[float, ...]:
        """The objectives' weights in F = Fq + gamma Fd (+ reconstruction Fr)."""
        third = () if self.reconstruction is None else (self.reconstruction,)
        return (1.0, self.gamma, *third)


def spread(samples: Tensor) -> Tensor:
    """Return d of each sample (N, ...): its mean absolute difference to the next one, (N,).

    The rows are drawn independently, so the next one stands for another one at random.
    """
    return (samples - samples.roll(-1, 0)).abs().flatten(1).mean(1)


def quality(logits: Tensor) -> Tensor:
    """Return Fq = E_z[D(G(z))] from the logits (N,) of the fakes; higher is better."""
    return torch.sigmoid(logits).mean()


def diversity(gradient: Tensor) -> Tensor:
    """Return Fd = -log ||grad_D(-E log D(x) - E log(1 - D(G(z))))||; higher is better.

    `gradient` (P,) is that of D's loss by D's parameters: where it is small, D has nothing left to
    correct, so the fakes are spread like the reals.
    """
    return -torch.log(torch.linalg.vector_norm(gradient, dtype=torch.float64))
