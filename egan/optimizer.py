"""Adam (Kingma and Ba, arXiv 1412.6980, algorithm 1) as a pure function on flat vectors.

The order of operations is that of `torch.optim.Adam`, bit for bit, so published settings carry
over. A child inherits its parent's moments; no argument is changed.
"""

from collections.abc import Mapping
from math import sqrt
from typing import Annotated, NamedTuple

import torch
from pydantic import AfterValidator, BaseModel, Field
from torch import Tensor

from egan.ramp import NUMBER, NUMBER_OR_RAMP, RAMP, Decay, Ramp, value_at, within
from egan.state import Moments, Network, Weights

NEGLIGIBLE = 2.0**-26  # 1 less this is 1 in float32
Momentum = Annotated[float, Field(ge=0, lt=1)]
Betas = tuple[
    Momentum,
    Annotated[
        Annotated[Momentum, NUMBER] | Annotated[Ramp, AfterValidator(within(0, 1)), RAMP],
        NUMBER_OR_RAMP,
    ],
]


class Settings(NamedTuple):
    """The settings of a step of Adam."""

    learning_rate: float
    betas: tuple[float, float]
    eps: float


class OptimizerConfig(BaseModel, extra="forbid", frozen=True):
    """Adam's settings, for the generators and, unless it has its own, the discriminator."""

    learning_rate: float = Field(2e-4, gt=0, le=1e30)
    discriminator_learning_rate: float | None = Field(
        None, gt=0, le=1e30, description="learning rate of the discriminator; null: learning_rate"
    )
    betas: Betas = Field(
        (0.5, 0.99),
        description="Adam's decay of the first and second moments; the second may be a schedule "
        "{from, to, over}",
    )
    discriminator_betas: Betas | None = Field(
        None, description="betas of the discriminator; null: betas"
    )
    eps: float = Field(1e-8, gt=0, allow_inf_nan=False)
    decay: Decay | None = Field(
        None,
        description="schedule of all learning rates: {over: 96} lowers them linearly to 0 within "
        "96,000 images shown to D; further keys are `after` (thousands of images), "
        "`from` and `to` (factors) and `shape: cosine`",
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


class Late(NamedTuple):
    """For networks that grow: when the layers were introduced.

    Attributes:
        before: the steps before a parameter's layer was introduced, in which its gradients were
            zero, (P,).
        most: the largest of them.
    """

    before: Tensor
    most: int


class Corrections(NamedTuple):
    """The corrections 1 - b^age of both moments in a step, (P,) each; None: all are 1."""

    step: int
    first: Tensor | None
    second: Tensor | None


def corrections(betas: tuple[float, float], step: int, late: Late | None) -> Corrections | None:
    """Return the corrections that count from each layer's introduction, or None: from step 1.

    So a late layer learns as if it had an optimiser of its own. A power for every parameter costs
    more than the rest of a step, so siblings share them, and those that are 1 are left out.
    """
    if late is None:
        return None
    youngest = max(1, step - late.most)
    age = (step - late.before).clamp_(min=1)
    first, second = (None if beta**youngest < NEGLIGIBLE else 1 - beta**age for beta in betas)
    return Corrections(step, first, second)


def adam(
    params: Tensor,
    gradient: Tensor,
    moments: Moments,
    settings: Settings,
    late: Corrections | None = None,
) -> tuple[Tensor, Moments]:
    """Return the parameters (P,) and moments after one step along `gradient` (P,).

    `late` are the step's `corrections` for networks that grow.
    """
    learning_rate, (beta1, beta2), eps = settings
    t = moments.step + 1
    m = torch.lerp(moments.first, gradient, 1 - beta1)  # m_t = b1 m_{t-1} + (1 - b1) g
    v = (moments.second * beta2).addcmul_(gradient, gradient, value=1 - beta2)  # v_t, of g^2
    if late is not None:
        assert late.step == t, (late.step, t)
        m_hat = m if late.first is None else m / late.first
        v_hat = v if late.second is None else v / late.second
        direction = (learning_rate * m_hat).div_(v_hat.sqrt().add_(eps))
        return params - direction, Moments(m, v, t)
    denominator = v.sqrt().div_(sqrt(1 - beta2**t)).add_(eps)  # sqrt(v_hat) + eps
    step_size = learning_rate / (1 - beta1**t)
    found = torch.addcdiv(params, m, denominator, value=-step_size, out=denominator)
    return found, Moments(m, v, t)


def descended(
    network: Network,
    gradient: Tensor,
    buffers: Mapping[str, Tensor],
    settings: Settings,
    late: Corrections | None = None,
) -> Network:
    """Return a network after one step along `gradient` (P,), with the buffers of its last call."""
    params, moments = adam(network.weights.params, gradient, network.moments, settings, late)
    return Network(Weights(params, buffers), moments)
