"""The objective of a critic: losses and regularisers, with the paper of each."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Annotated, Literal

import torch
from pydantic import AfterValidator, BaseModel, Field
from torch import Tensor
from torch.nn.functional import relu, softplus

from egan.augment import Kind, adapted
from egan.ramp import NUMBER, NUMBER_OR_RAMP, RAMP, Ramp, value_at, within

Judge = Callable[[Mapping, Mapping], Tensor]  # logits of samples and their conditions
HEAVIEST = 1e38  # what float32 holds
Weight = Annotated[float, Field(ge=0, lt=HEAVIEST)]
WeightRamp = Annotated[Ramp, AfterValidator(within(0, HEAVIEST)), RAMP]
ScheduledWeight = Annotated[Annotated[Weight, NUMBER] | WeightRamp, NUMBER_OR_RAMP]


def r1_by_rule(shape: Sequence[int], batch: int) -> float:
    """Return R1's weight for images (C, H, W): .0002 H W / batch.

    It is that of StyleGAN2-ADA's public code (Karras et al., 2006.06676), where it was fitted to
    the weights that served best at 256 to 1024 pixels.

    Raises:
        ValueError: the samples are no images.
    """
    if len(shape) != 3:
        raise ValueError(
            "discriminator.r1: auto is a rule for images, and the data's samples are points; "
            "give a number, such as 0.1"
        )
    return 0.0002 * shape[1] * shape[2] / batch


class DiscriminatorConfig(BaseModel, extra="forbid", frozen=True):
    """How every critic is trained in each generation, on the survivors' fakes.

    A penalty's weight is a number or, by images shown to D, {from: 1, to: .1, over: 2000}.
    `egan.augment` has the changes of images.
    """

    updates: int = Field(
        1, ge=1, description="optimiser steps of D per generation (n_D in the paper)"
    )
    loss: Literal["bce", "least_squares", "hinge", "wasserstein", "relativistic"] = "bce"
    r1: Annotated[Annotated[Weight | Literal["auto"], NUMBER] | WeightRamp, NUMBER_OR_RAMP] = Field(
        0.0,
        description="weight of the gradient penalty on reals (R1); auto: .0002 x pixels / batch",
    )
    r1_every: int = Field(
        1,
        ge=1,
        description="compute the penalty on reals in every n-th update only, with n times its "
        "weight",
    )
    r2: ScheduledWeight = Field(0.0, description="weight of the gradient penalty on fakes (R2)")
    gradient_penalty: ScheduledWeight = Field(
        0.0, description="weight of the gradient penalty between reals and fakes (WGAN-GP)"
    )
    augment: Kind = Field(
        "none",
        description="random changes of all images that D sees, real and fake, for few images. "
        "diffaug: colour, shift, cutout; ada: more of them the surer D is of reals",
    )
    augment_strength: float | None = Field(
        None,
        ge=0,
        le=1,
        description="probability of each change; null: 1 for diffaug, 0 at the start for ada",
    )
    augment_target: float = Field(
        0.6, ge=-1, le=1, description="how sure D may be of reals, E[sign D(x)], for ada"
    )
    augment_kimg: float = Field(
        500.0,
        gt=0,
        allow_inf_nan=False,
        description="thousands of images in which the strength goes from 0 to 1 at most, for ada",
    )

    @property
    def strength(self) -> float:
        """The probability of each change of an image."""
        if self.augment_strength is not None:
            return self.augment_strength
        return float(self.augment == "diffaug")

    def adapted(self, certainty: float, images: int) -> float:
        """Return ADA's strength after a step on `images` reals; see `egan.augment.adapted`."""
        return adapted(self.strength, certainty, self.augment_target, images, self.augment_kimg)

    def weights(
        self, update: int, images: int, shape: Sequence[int] = (), batch: int = 1
    ) -> dict[str, float]:
        """Return the weights of the penalties in the run's `update`-th step (from 0), by name.

        `images` were shown to D before; a batch of samples of `shape` is shown now. What has no
        weight is left out. Lazy regularisation (Karras et al., 1912.04958, section 3.1): every k-th
        step, k times R1.
        """
        r1 = r1_by_rule(shape, batch) if self.r1 == "auto" else value_at(self.r1, images)
        weights = {
            "r1": 0.0 if update % self.r1_every else r1 * self.r1_every,
            "r2": value_at(self.r2, images),
            "gradient_penalty": value_at(self.gradient_penalty, images),
        }
        return {name: weight for name, weight in weights.items() if weight}


def bce(real: Tensor, fake: Tensor) -> Tensor:
    """Goodfellow et al., 1406.2661: -E[log D(x)] - E[log(1 - D(G(z)))], from logits (N,)."""
    return softplus(-real).mean() + softplus(fake).mean()


def least_squares(real: Tensor, fake: Tensor) -> Tensor:
    """Mao et al., 1611.04076: 1/2 E[(C(x) - 1)^2] + 1/2 E[C(G(z))^2], on raw logits."""
    return ((real - 1).square().mean() + fake.square().mean()) / 2


def hinge(real: Tensor, fake: Tensor) -> Tensor:
    """Lim and Ye, 1705.02894: E[max(0, 1 - C(x))] + E[max(0, 1 + C(G(z)))]."""
    return relu(1 - real).mean() + relu(1 + fake).mean()


def wasserstein(real: Tensor, fake: Tensor) -> Tensor:
    """Arjovsky et al., 1701.07875: E[C(G(z))] - E[C(x)]; with `gradient_penalty`, WGAN-GP."""
    return fake.mean() - real.mean()


def relativistic(real: Tensor, fake: Tensor) -> Tensor:
    """Jolicoeur-Martineau, 1807.00734: -E[log sigmoid(C(x) - C(G(z)))], of pairs, (N, ...) each.

    With R1 and R2 it is the loss of Huang et al., 2501.05441 (R3GAN).
    """
    return softplus(fake - real).mean()


LOSSES = {
    "bce": bce,
    "least_squares": least_squares,
    "hinge": hinge,
    "wasserstein": wasserstein,
    "relativistic": relativistic,
}
# The built-in mutations that are published with each loss.
FITTING = {
    "bce": ("minimax", "heuristic", "least_squares", "least_squares_logit", "blend"),
    "least_squares": ("least_squares_logit",),
    "hinge": ("wasserstein",),
    "wasserstein": ("wasserstein",),
    "relativistic": ("relativistic",),
}
UNANCHORED = ("wasserstein", "relativistic")  # their logits mean nothing but by comparison


def misfit(loss: str, mutations: Iterable[str]) -> str | None:
    """Return a line on mutations that do not fit a loss of D, or None.

    Only built-in ones are judged.
    """
    known, fitting = {name for names in FITTING.values() for name in names}, FITTING[loss]
    others = [name for name in mutations if name in known and name not in fitting]
    if not others:
        return None
    return (
        f"discriminator.loss: {loss} is published with population.mutations=[{','.join(fitting)}], "
        f"not with {', '.join(others)}"
    )


def squared_gradient_norm(judge: Judge, samples: Mapping, inputs: Mapping) -> Tensor:
    """Return ||grad_x C(x)||^2 for each sample, (N,), differentiable by D's parameters.

    x is all that `samples` holds of what C looks at; `inputs` are conditions, held constant.
    """
    own = {name: tensor.detach().requires_grad_() for name, tensor in samples.items()}
    logits = judge({**inputs, **own}, inputs)
    gradients = torch.autograd.grad(
        logits.sum(), list(own.values()), create_graph=True, allow_unused=True
    )
    norms = [g.flatten(1).square().sum(1) for g in gradients if g is not None]
    return sum(norms[1:], norms[0])


def penalties(
    judge: Judge,
    weights: Mapping[str, Tensor],
    real: Mapping,
    fake: Mapping[str, Tensor],
    inputs: Mapping,
    mix: Tensor | None,
) -> Tensor:
    """Return the weighted sum of the regularisers that have a weight (), by name.

    `inputs` are what the fakes were made from. `mix` (N,) in [0, 1] places WGAN-GP's points between
    real and fake, where it is asked for. `judge` must leave D's buffers as they are.
    """
    total = torch.zeros((), device=next(iter(fake.values())).device)
    made = {name: real[name] for name in fake if name in real}  # the reals, less conditions
    if "r1" in weights:  # Mescheder et al., 1801.04406: g/2 E_x ||grad C(x)||^2
        total = total + weights["r1"] / 2 * squared_gradient_norm(judge, made, real).mean()
    if "r2" in weights:  # the same on fakes
        total = total + weights["r2"] / 2 * squared_gradient_norm(judge, fake, inputs).mean()
    if "gradient_penalty" in weights:  # Gulrajani et al., 1704.00028: E (||grad C(x^)|| - 1)^2
        assert mix is not None
        between = {
            name: made[name].lerp(tensor, mix.view(-1, *[1] * (tensor.dim() - 1)))
            for name, tensor in fake.items()
            if name in made
        }
        norm = (squared_gradient_norm(judge, between, inputs) + 1e-12).sqrt()
        total = total + weights["gradient_penalty"] * (norm - 1).square().mean()
    return total
