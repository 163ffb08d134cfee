"""Adam (Kingma and Ba, arXiv 1412.6980, algorithm 1) as a pure function on flat vectors.

The order of operations is that of `torch.optim.Adam`, bit for bit, so published settings carry
over. A child inherits its parent's moments; nothing is updated in place.
"""

from math import sqrt
from typing import Annotated, NamedTuple

import torch
from pydantic import AfterValidator, BaseModel, Field
from torch import Tensor

from egan.ramp import NUMBER, NUMBER_OR_RAMP, RAMP, Decay, Ramp, value_at, within
from egan.state import Moments

Momentum = Annotated[float, Field(ge=0, lt=1)]
Betas = tuple[
    Momentum,
    Annotated[
        Annotated[Momentum, NUMBER] | Annotated[Ramp, AfterValidator(within(0, 1)), RAMP],
        NUMBER_OR_RAMP,
    ],
]


class Settings(NamedTuple):
    """What Adam takes a step with."""

    learning_rate: float
    betas: tuple[float, float]
    eps: float


class OptimizerConfig(BaseModel, extra="forbid", frozen=True):
    """Adam's settings, for the generators and, unless it has its own, the discriminator."""

    learning_rate: float = Field(2e-4, gt=0, le=1e30)
    discriminator_learning_rate: float | None = Field(
        None, gt=0, le=1e30, description="null: learning_rate"
    )
    betas: Betas = Field(
        (0.5, 0.99), description="decay of both moments; the second may be {from, to, over, ...}"
    )
    discriminator_betas: Betas | None = Field(None, description="null: betas")
    eps: float = Field(1e-8, gt=0, allow_inf_nan=False)
    decay: Decay | None = Field(
        None,
        description="of all learning rates: {over: 96} takes them to 0 in 96,000 images shown to "
        "D; `after` (thousands of images), `to` (a factor) and `shape: cosine` refine it",
    )

    def at(self, images: int, critic: bool = False) -> Settings:
        """Return the settings of a generator, or of a critic, after `images` were shown to D."""
        rate, betas = self.learning_rate, self.betas
        if critic:
            rate = self.discriminator_learning_rate or rate
            betas = self.discriminator_betas or betas
        if self.decay is not None:
            rate *= self.decay.at(images)
        return Settings(rate, (betas[0], value_at(betas[1], images)), self.eps)


def adam(
    params: Tensor,
    gradient: Tensor,
    moments: Moments,
    settings: Settings,
    steps_before_introduction: Tensor | None = None,
) -> tuple[Tensor, Moments]:
    """Return the parameters (P,) and moments after one step along `gradient` (P,).

    `steps_before_introduction` (P,) is for networks that grow: the number of steps before a
    parameter's layer was introduced, in which its gradients were zero. Its bias correction counts
    from there, as if the layer had an optimiser of its own.
    """
    learning_rate, (beta1, beta2), eps = settings
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
