"""Adam (Kingma and Ba, arXiv 1412.6980, algorithm 1) as a pure function on flat vectors.

The order of operations is that of `torch.optim.Adam`, bit for bit, so published settings carry
over. A child inherits its parent's moments; nothing is updated in place.
"""

from math import sqrt
from typing import Annotated

import torch
from pydantic import BaseModel, Field
from torch import Tensor

from egan.state import Moments

Momentum = Annotated[float, Field(ge=0, lt=1)]


class OptimizerConfig(BaseModel, extra="forbid", frozen=True):
    """Adam's settings, for the generators and, unless it has its own rate, the discriminator."""

    learning_rate: float = Field(2e-4, gt=0, le=1e30)
    discriminator_learning_rate: float | None = Field(None, gt=0, le=1e30)
    betas: tuple[Momentum, Momentum] = (0.5, 0.99)
    eps: float = Field(1e-8, gt=0, allow_inf_nan=False)


def adam(
    params: Tensor,
    gradient: Tensor,
    moments: Moments,
    learning_rate: float,
    betas: tuple[float, float],
    eps: float,
    steps_before_introduction: Tensor | None = None,
) -> tuple[Tensor, Moments]:
    """Return the parameters (P,) and moments after one step along `gradient` (P,).

    `steps_before_introduction` (P,) is for networks that grow: the number of steps before a
    parameter's layer was introduced, in which its gradients were zero. Its bias correction counts
    from there, as if the layer had an optimiser of its own.
    """
    beta1, beta2 = betas
    t = moments.step + 1
    m = torch.lerp(moments.first, gradient, 1 - beta1)  # m_t = b1 m_{t-1} + (1 - b1) g
    v = (moments.second * beta2).addcmul_(gradient, gradient, value=1 - beta2)  # v_t, of g^2
    if steps_before_introduction is not None:
        age = (t - steps_before_introduction).clamp_(min=1)
        m_hat, v_hat = m / (1 - beta1**age), v / (1 - beta2**age)
        return params - learning_rate * m_hat / (v_hat.sqrt() + eps), Moments(m, v, t)
    denominator = (v.sqrt() / sqrt(1 - beta2**t)).add_(eps)  # sqrt(v_hat) + eps
    step_size = learning_rate / (1 - beta1**t)
    return torch.addcdiv(params, m, denominator, value=-step_size), Moments(m, v, t)
