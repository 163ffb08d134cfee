"""The arithmetic of a generation: pure functions of tensors, on the networks of a turn.

The engine draws their arguments and judges their results. None reads a number back from the device
or draws at random, so that a GPU may run each of them as one graph (`egan/recordings.py`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn.functional import softplus

from egan.backbones import Inputs
from egan.discriminator import LOSSES, DiscriminatorConfig, penalties
from egan.mutations import Mutation
from egan.optimizer import Learner, OptimizerConfig, adam
from egan.state import Weights
from egan.turn import Turn
from fitness.scores import diversity, quality

Learned = tuple[Weights, Tensor, Tensor]  # a network's weights and Adam's moments after a step
Descent = tuple[Tensor, Sequence[Tensor]]  # a loss () and a gradient (P,) for each network


def children(
    turn: Turn,
    parent: Mapping[str, Learner],
    judge: Weights,
    inputs: Inputs,
    mutations: Sequence[Mutation],
    optimizer: OptimizerConfig,
) -> list[tuple[Tensor, dict[str, Learned]] | str]:
    """Return a parent one step on under each mutation, or why it is not.

    Before each stand (2,) in float64: the loss, and a number that is finite if Adam can go on.
    """
    weights = {role: learner.weights for role, learner in parent.items()}
    found, buffers = _descents(turn, weights, judge, inputs, mutations)
    made: list[tuple[Tensor, dict[str, Learned]] | str] = []
    for descent in found:
        if isinstance(descent, str):
            made.append(descent)
            continue
        loss, gradients = descent
        child: dict[str, Learned] = {}
        for (role, learner), gradient in zip(parent.items(), gradients, strict=True):
            params, first, second = adam(learner, gradient, optimizer)
            child[role] = (Weights(params, buffers[role]), first, second)
        made.append((torch.stack([loss.double(), total(*child.values())]), child))
    return made


def total(*networks: Learned) -> Tensor:
    """Return a number that is finite if Adam can go on from all of these networks.

    An infinite second moment would freeze a weight for good, so the moments count, too.
    """
    tensors = [tensor for weights, *moments in networks for tensor in (weights.params, *moments)]
    extremes = [value for tensor in tensors for value in torch.aminmax(tensor)]
    return torch.stack(extremes).double().sum()


def _descents(
    turn: Turn,
    parent: Mapping[str, Weights],
    judge: Weights,
    inputs: Inputs,
    mutations: Sequence[Mutation],
) -> tuple[list[Descent | str], dict[str, dict[str, Tensor]]]:
    """Return where each mutation would take a parent, and the parent's buffers after the call."""
    leaves = {role: _leaf(weights) for role, weights in parent.items()}
    params = [weights.params for weights in leaves.values()]
    fakes, buffers = turn.generate(leaves, inputs)
    logits, _ = turn.judge(replace(judge, params=judge.params.detach()), fakes)
    found: list[Descent | str] = []
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


def discriminator_step(
    turn: Turn,
    learner: Learner,
    real: Tensor,
    fake: Tensor,
    mix: Tensor | None,
    config: DiscriminatorConfig,
    optimizer: OptimizerConfig,
) -> tuple[Tensor, Learned]:
    """Return D's loss (), and D a step on; its buffers have seen reals, then fakes."""
    judge = _leaf(learner.weights)
    logits_real, buffers = turn.judge(judge, real)
    logits_fake, buffers = turn.judge(Weights(judge.params, buffers), fake)
    loss = LOSSES[config.loss](logits_real, logits_fake)
    loss = loss + penalties(lambda x: turn.judge(judge, x)[0], config, real, fake, mix)
    (gradient,) = torch.autograd.grad(loss, judge.params)
    params, first, second = adam(learner, gradient, optimizer)
    return loss.detach(), (Weights(params, buffers), first, second)


def _leaf(weights: Weights) -> Weights:
    return replace(weights, params=weights.params.detach().requires_grad_())
