"""The arithmetic of a generation: pure functions of tensors, on the networks of a context.

The engine draws the arguments and checks the results. No function here reads a number back from the
device or draws at random, so a GPU can run each of them as one graph (`egan/cuda_graphs.py`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn.functional import softplus

from egan.context import Context
from egan.discriminator import LOSSES, penalties
from egan.games.game import Batch, Buffers, Genes, Samples
from egan.mutations import Mutation, takes_reals
from egan.state import Weights
from fitness.scores import diversity, quality

Critics = Mapping[str, Weights]
# A loss () and gradients (P,) of each network, or why there is none; and, where there is a fixed
# loss, the norm of the adversarial gradient divided by that of the fixed one's, ().
Descent = tuple[Tensor, Sequence[Tensor], Tensor | None] | str


def descents(
    context: Context,
    parent: Genes,
    critics: Critics,
    inputs: Batch,
    reals: Batch,
    mutations: Sequence[Mutation],
) -> tuple[list[Descent], Buffers]:
    """Return each mutation's loss and gradients, and the parent's buffers after the call.

    Siblings share the fakes, the critics' forward passes and the gradient of the game's fixed loss;
    a mutation adds one vector-Jacobian product. `reals` is empty where nothing asks for them.
    """
    genes = {role: _leaf(weights) for role, weights in parent.items()}
    params = [weights.params for weights in genes.values()]
    judges = {role: replace(w, params=w.params.detach()) for role, w in critics.items()}
    fakes, buffers = context.generate(genes, inputs)
    verdicts = {
        role: context.judge(role, judge, fakes, inputs)[0] for role, judge in judges.items()
    }
    logits = {role: verdict["logits"] for role, verdict in verdicts.items()}
    logits_real: Mapping[str, Tensor] = {}
    if any(map(takes_reals, mutations)):
        logits_real = {
            role: context.judge(role, judge, reals, reals)[0]["logits"]
            for role, judge in judges.items()
        }
    fixed = context.game.fixed_loss(genes, inputs, fakes, verdicts, context.stage)
    shared = None if fixed is None else torch.autograd.grad(fixed, params, retain_graph=True)
    found: list[Descent] = []
    for mutation in mutations:
        try:
            loss = _adversarial(mutation, logits, logits_real)
            gradients = torch.autograd.grad(loss, params, retain_graph=True)
        except torch.OutOfMemoryError:
            raise  # the device's fault, not the child's: another worker would have made it
        except Exception as error:  # a user's mutation may raise anything; it fails its child
            found.append(f"{type(error).__name__}: {error}")
            continue
        ratio = None
        if fixed is not None and shared is not None:
            loss = loss + fixed
            ratio = _norm(gradients) / _norm(shared)
            gradients = tuple(own + common for own, common in zip(gradients, shared, strict=True))
        found.append((loss.detach(), gradients, ratio))
    return found, buffers


def _norm(gradients: Sequence[Tensor]) -> Tensor:
    norm: Tensor = torch.linalg.vector_norm(torch.cat(list(gradients)), dtype=torch.float64)
    return norm


def _adversarial(
    mutation: Mutation, logits: Mapping[str, Tensor], logits_real: Mapping[str, Tensor]
) -> Tensor:
    """Return the sum over the critics of a mutation's loss."""
    losses = [
        # Copies: a mutation that works in place must not reach its siblings.
        mutation(fake.clone(), logits_real[role].clone())
        if takes_reals(mutation)
        else mutation(fake.clone())
        for role, fake in logits.items()
    ]
    return sum(losses[1:], losses[0])


def objectives(
    context: Context,
    child: Genes,
    critics: Critics,
    inputs: Batch,
    gradients_real: Mapping[str, Tensor],
    reconstruct: bool = False,
) -> Tensor:
    """Return a child's (Fq, Fd), (2,) in float64, or with `reconstruct` (Fq, Fd, Fr), (3,).

    Fq is the mean over the critics and their patches; Fd is of the joint gradient of all critics;
    Fr is the negative distance of reconstructions from what they should be.
    """
    made = fakes(context, child, inputs)
    qualities, gradients = [], []
    for role, weights in critics.items():
        critic = _leaf(weights)
        logits = context.judge(role, critic, made, inputs)[0]["logits"]
        (gradient,) = torch.autograd.grad(softplus(logits).mean(), critic.params)
        qualities.append(quality(logits.detach()).double())
        gradients.append(gradients_real[role] + gradient)
    found = [torch.stack(qualities).mean(), diversity(torch.cat(gradients))]
    if reconstruct:
        with torch.no_grad():
            distance = context.game.reconstruction(child, inputs, made)
        assert distance is not None, "the game has a reconstruction"
        found.append(-distance.double())
    return torch.stack(found)


def gradients_on_reals(context: Context, critics: Critics, reals: Batch) -> dict[str, Tensor]:
    """Return each critic's grad(-E log D(x)) (P,), which all children of a state share."""
    found = {}
    for role, weights in critics.items():
        critic = _leaf(weights)
        logits = context.judge(role, critic, reals, reals)[0]["logits"]
        (found[role],) = torch.autograd.grad(softplus(-logits).mean(), critic.params)
    return found


def fakes(context: Context, genes: Genes, inputs: Batch) -> Samples:
    """Return fakes by name that are not differentiated."""
    with torch.no_grad():
        return context.generate(genes, inputs)[0]


def critic_gradient(
    context: Context,
    weights: Weights,
    real: Batch,
    fake: Samples,
    inputs: Batch,
    mix: Tensor | None,
    strengths: Sequence[Tensor],
    role: str,
    loss: str,
    due: Sequence[str],
) -> tuple[Tensor, Tensor, Mapping[str, Tensor]]:
    """Return a critic's loss (), its gradient (P,), and its buffers after seeing reals, then fakes.

    `inputs` are what the fakes were made from, `strengths` () the weights of the penalties `due`.
    """
    critic = _leaf(weights)
    of_real, buffers = context.judge(role, critic, real, real)
    of_fake, buffers = context.judge(role, Weights(critic.params, buffers), fake, inputs)
    total = LOSSES[loss](of_real["logits"], of_fake["logits"])
    total = total + penalties(
        lambda samples, own: context.judge(role, critic, samples, own)[0]["logits"],
        dict(zip(due, strengths, strict=True)), real, fake, inputs, mix,
    )  # fmt: skip
    own = context.game.critic_loss(role, real, of_real, inputs, of_fake)
    total = total if own is None else total + own
    (gradient,) = torch.autograd.grad(total, critic.params)
    return total.detach(), gradient, buffers


def _leaf(weights: Weights) -> Weights:
    return replace(weights, params=weights.params.detach().requires_grad_())
