"""Adam (Kingma and Ba, arXiv 1412.6980, algorithm 1) as a pure function on flat vectors.

The order of operations is that of `torch.optim.Adam`, bit for bit, so published settings carry
over. A child inherits its parent's moments; nothing is updated in place.
"""

from dataclasses import dataclass
from math import sqrt
from typing import Annotated

import torch
from pydantic import BaseModel, Field
from torch import Tensor

from egan.state import Weights

Momentum = Annotated[float, Field(ge=0, lt=1)]


class OptimizerConfig(BaseModel, extra="forbid", frozen=True):
    """Adam's settings, for the generators and, unless it has its own rate, the discriminator."""

    learning_rate: float = Field(2e-4, gt=0, le=1e30)
    discriminator_learning_rate: float | None = Field(None, gt=0, le=1e30)
    betas: tuple[Momentum, Momentum] = (0.5, 0.99)
    eps: float = Field(1e-8, gt=0, allow_inf_nan=False)

    @property
    def of_discriminator(self) -> "OptimizerConfig":
        """Return the settings with the discriminator's rate."""
        rate = self.discriminator_learning_rate or self.learning_rate
        return self.model_copy(update={"learning_rate": rate})


@dataclass(frozen=True)
class Learner:
    """A network and what Adam's next step needs, in tensors alone: a GPU's graph keeps no numbers.

    Attributes:
        weights: the network's.
        first: the running mean of the gradient (P,).
        second: the running mean of its square (P,).
        clock: what depends on the step's number, as `clock` gives it.
        late: for networks that grow, the steps (P,) before a parameter's layer came in, during
            which its gradients were zero; None: all are there from the start.
    """

    weights: Weights
    first: Tensor
    second: Tensor
    clock: Tensor
    late: Tensor | None = None


def clock(step: int, optimizer: OptimizerConfig) -> Tensor:
    """Return (3,), float64, of step 1, 2, ...: -a / (1 - b1^t), sqrt(1 - b2^t), and t."""
    beta1, beta2 = optimizer.betas
    scale = -optimizer.learning_rate / (1 - beta1**step)
    return torch.tensor([scale, sqrt(1 - beta2**step), step], dtype=torch.float64)


def adam(
    learner: Learner, gradient: Tensor, optimizer: OptimizerConfig
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the parameters (P,) and moments (P,) after one step along `gradient` (P,).

    The bias correction of a late layer counts from when it came in, as if it had an optimiser of
    its own.
    """
    beta1, beta2 = optimizer.betas
    scale, root, t = learner.clock
    params = learner.weights.params
    m = torch.lerp(learner.first, gradient, 1 - beta1)  # m_t = b1 m_{t-1} + (1 - b1) g
    v = (learner.second * beta2).addcmul_(gradient, gradient, value=1 - beta2)  # v_t, of g^2
    if learner.late is not None:
        age = (t - learner.late).clamp_(min=1)
        m_hat, v_hat = m / (1 - beta1**age), v / (1 - beta2**age)
        return params - optimizer.learning_rate * m_hat / (v_hat.sqrt() + optimizer.eps), m, v
    denominator = (v.sqrt() / root).add_(optimizer.eps)  # sqrt(v_hat) + eps
    return torch.addcdiv(params, m * scale, denominator), m, v
