"""The arithmetic of a generation: pure functions of tensors, on the networks of a turn.

The engine draws their arguments and judges their results. None reads a number back from the device
or draws at random, so that a GPU may run each of them as one graph (`egan/cuda_graphs.py`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn.functional import softplus

from egan.backbones import Inputs
from egan.context import Turn
from egan.discriminator import LOSSES, DiscriminatorConfig, penalties
from egan.mutations import Mutation
from egan.state import Weights
from fitness.scores import diversity, quality

Descent = (
    tuple[Tensor, Sequence[Tensor]] | str
)  # a loss () and gradients (P,), or why there is none


def descents(
    turn: Turn,
    parent: Mapping[str, Weights],
    judge: Weights,
    inputs: Inputs,
    mutations: Sequence[Mutation],
) -> tuple[list[Descent], dict[str, dict[str, Tensor]]]:
    """Return where each mutation would take a parent, and the parent's buffers after the call."""
    leaves = {role: _leaf(weights) for role, weights in parent.items()}
    params = [weights.params for weights in leaves.values()]
    fakes, buffers = turn.generate(leaves, inputs)
    logits, _ = turn.judge(replace(judge, params=judge.params.detach()), fakes)
    found: list[Descent] = []
    for mutation in mutations:
        try:
            # A copy: a mutation that works in place must not reach its siblings.
            loss = mutation(logits.clone())
            gradients = torch.autograd.grad(loss, params, retain_graph=True)
        except torch.OutOfMemoryError:
            raise  # the device's fault, not the child's: another worker would have made it
        except Exception as error:  # a user's mutation may raise anything; it fails its child
            found.append(f"{type(error).__name__}: {error}")
            continue
        found.append((loss.detach(), gradients))
    return found, buffers


def objectives(
    turn: Turn,
    child: Mapping[str, Weights],
    judge: Weights,
    inputs: Inputs,
    gradient_real: Tensor,
) -> Tensor:
    """Return a child's (Fq, Fd), (2,) in float64."""
    judge = _leaf(judge)
    logits, _ = turn.judge(judge, fakes(turn, child, inputs))
    (gradient_fake,) = torch.autograd.grad(softplus(logits).mean(), judge.params)
    return torch.stack(
        [quality(logits.detach()).double(), diversity(gradient_real + gradient_fake)]
    )


def gradient_on_reals(turn: Turn, judge: Weights, reals: Tensor) -> Tensor:
    """Return grad_D(-E log D(x)) (P,), which all children of a state share."""
    judge = _leaf(judge)
    logits, _ = turn.judge(judge, reals)
    (gradient,) = torch.autograd.grad(softplus(-logits).mean(), judge.params)
    return gradient


def fakes(turn: Turn, genome: Mapping[str, Weights], inputs: Inputs) -> Tensor:
    """Return fakes (N, ...) that are not differentiated."""
    with torch.no_grad():
        return turn.generate(genome, inputs)[0]


def discriminator_gradient(
    turn: Turn,
    judge: Weights,
    real: Tensor,
    fake: Tensor,
    mix: Tensor | None,
    config: DiscriminatorConfig,
) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    """Return D's loss (), its gradient (P,), and D's buffers after seeing reals, then fakes."""
    judge = _leaf(judge)
    logits_real, buffers = turn.judge(judge, real)
    logits_fake, buffers = turn.judge(Weights(judge.params, buffers), fake)
    loss = LOSSES[config.loss](logits_real, logits_fake)
    loss = loss + penalties(lambda x: turn.judge(judge, x)[0], config, real, fake, mix)
    (gradient,) = torch.autograd.grad(loss, judge.params)
    return loss.detach(), gradient, buffers


def _leaf(weights: Weights) -> Weights:
    return replace(weights, params=weights.params.detach().requires_grad_())
