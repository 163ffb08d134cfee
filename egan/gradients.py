"""The arithmetic of a generation: pure functions of tensors, on the networks of a context.

The engine draws the arguments and checks the results. No function here reads a number back from the
device or draws at random, so a GPU can run each of them as one graph (`egan/cuda_graphs.py`).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.linalg import vector_norm
from torch.nn.functional import softplus

from egan.augment import Draws, Kind, augmented, certainty
from egan.context import Context
from egan.discriminator import LOSSES, UNANCHORED, penalties
from egan.games.game import Batch, Buffers, Genes, Samples, Verdict
from egan.mutations import Mutation, takes_reals
from egan.state import Weights
from fitness.scores import diversity, quality, spread

ROW = 4096  # numbers whose squares are added in float32

Critics = Mapping[str, Weights]
# A loss () and gradients (P,) of each network, or why there is none; and, where there is a fixed
# loss that is differentiated apart, the norm of the adversarial gradient divided by its one's, ().
Descent = tuple[Tensor, Sequence[Tensor], Tensor | None] | str


@dataclass(frozen=True)
class Forward:
    """A call of the generators: leaves to differentiate, fakes with their graph, new buffers."""

    genes: Genes
    fakes: Samples
    buffers: Buffers


def forward(context: Context, parent: Genes, inputs: Batch) -> Forward:
    """Return a call of a parent's generators that can be differentiated."""
    genes = {role: _leaf(weights) for role, weights in parent.items()}
    fakes, buffers = context.generate(genes, inputs)
    return Forward(genes, fakes, buffers)


def descents(
    context: Context,
    parent: Genes,
    critics: Critics,
    inputs: Batch,
    reals: Batch,
    changes: Draws | None,
    directions: Tensor | None,
    made: Forward | None = None,
    *,
    mutations: Sequence[Mutation],
    augment: Kind = "none",
    ratio: bool = True,
) -> tuple[list[Descent], Buffers]:
    """Return each mutation's loss and gradients, and the parent's buffers after the call.

    Siblings share the fakes, the critics' forward passes and the gradient of the game's fixed loss,
    to which a regularisation is added where `directions` for it are given; a mutation adds one
    vector-Jacobian product. Without `ratio` that is of the sum of its loss and the fixed one.
    `reals` is empty where nothing asks for them. Critics see all images after the `changes` of an
    augmentation. `made` is the parent's call on `inputs`, if there was one already.
    """
    made = made or forward(context, parent, inputs)
    genes, fakes, buffers = made.genes, made.fakes, made.buffers
    params = [weights.params for weights in genes.values()]
    judges = {role: replace(w, params=w.params.detach()) for role, w in critics.items()}
    seen = _changed(fakes, augment, changes)
    verdicts = {role: context.judge(role, judge, seen, inputs)[0] for role, judge in judges.items()}
    logits = {role: verdict["logits"] for role, verdict in verdicts.items()}
    logits_real: Mapping[str, Tensor] = {}
    if any(map(takes_reals, mutations)):
        logits_real = {
            role: context.judge(role, judge, _changed(reals, augment, changes), reals)[0]["logits"]
            for role, judge in judges.items()
        }
    fixed = context.game.fixed_loss(genes, inputs, fakes, verdicts, context.stage)
    if directions is not None:
        smooth, buffers = context.game.regularisation(
            genes, inputs, directions, buffers, context.stage
        )
        fixed = smooth if fixed is None else fixed + smooth
    shared = None
    if ratio and fixed is not None:
        shared = torch.autograd.grad(fixed, params, retain_graph=True)
    size = None if shared is None else _norm(shared)
    found: list[Descent] = []
    for mutation in mutations:
        try:
            loss = _adversarial(mutation, logits, logits_real)
            total = loss if fixed is None else loss + fixed
            descended = total if shared is None else loss
            gradients = torch.autograd.grad(descended, params, retain_graph=True)
        except torch.OutOfMemoryError:
            raise  # the device's fault, not the child's: another worker would have made it
        except Exception as error:  # a user's mutation may raise anything; it fails its child
            found.append(f"{type(error).__name__}: {error}")
            continue
        relation = None
        if shared is not None and size is not None:
            relation = _norm(gradients) / size
            gradients = tuple(own + common for own, common in zip(gradients, shared, strict=True))
        found.append((total.detach(), gradients, relation))
    return found, buffers


def _norm(gradients: Sequence[Tensor]) -> Tensor:
    """Return the norm of all gradients together, (), in float64.

    A large vector in float64 would take longer than all its other uses: rows are short enough.
    """
    parts = []
    for gradient in gradients:
        rows = len(gradient) // ROW
        inside, rest = gradient[: rows * ROW], gradient[rows * ROW :]
        parts += [vector_norm(inside.reshape(rows, ROW), dim=1), rest]
    norm: Tensor = vector_norm(torch.cat(parts), dtype=torch.float64)
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


def distillation(
    context: Context,
    student: Genes,
    teachers: Sequence[Genes],
    critics: Critics,
    inputs: Batch,
    diversity: float,
) -> tuple[Descent, Buffers]:
    """Return the loss and gradients of a crossover's child, and its buffers after the call.

    IE-GAN (Li et al., 2109.11078): from each noise, the child learns the fake of that one of two
    teachers for which C(G(z)) + `diversity` d(G(z)) is higher, by the mean squared error. Where
    both are equal, the first teacher is followed.
    """
    first, second = (fakes(context, teacher, inputs) for teacher in teachers)
    better = _worth(context, critics, second, inputs, diversity) > _worth(
        context, critics, first, inputs, diversity
    )
    genes = {role: _leaf(weights) for role, weights in student.items()}
    made, buffers = context.generate(genes, inputs)
    errors = [
        (own - torch.where(_alongside(better, own), second[name], first[name])).square().mean()
        for name, own in made.items()
    ]
    loss = sum(errors[1:], errors[0])
    found = torch.autograd.grad(loss, [weights.params for weights in genes.values()])
    return (loss.detach(), found, None), buffers


def _worth(
    context: Context, critics: Critics, made: Samples, inputs: Batch, weight: float
) -> Tensor:
    """Return C(G(z)) + `weight` d(G(z)) of each fake, (N,): IE-GAN's fitness of a sample."""
    with torch.no_grad():
        logits = [
            context.judge(role, critic, made, inputs)[0]["logits"]
            for role, critic in critics.items()
        ]
        return _mean_of_rows(logits) + weight * _mean_of_rows(map(spread, made.values()))


def _mean_of_rows(parts: Iterable[Tensor]) -> Tensor:
    """Return the mean of each row over all parts (N, ...), (N,)."""
    return torch.stack([part.reshape(len(part), -1).mean(1) for part in parts]).mean(0)


def _alongside(mask: Tensor, samples: Tensor) -> Tensor:
    return mask.view(-1, *[1] * (samples.dim() - 1))


def objectives(
    context: Context,
    child: Genes,
    critics: Critics,
    inputs: Batch,
    gradients_real: Mapping[str, Tensor],
    fitness: str = "egan",
    reconstruct: bool = False,
) -> Tensor:
    """Return a child's (Fq, Fd), (2,) in float64, or with `reconstruct` (Fq, Fd, Fr), (3,).

    Fq is the mean over the critics and their patches; Fd is of the joint gradient of all critics,
    or for `iegan` of the samples; Fr is the negative distance of reconstructions from what they
    should be.
    """
    made = fakes(context, child, inputs)
    if fitness == "iegan":
        found = _objectives_of_samples(context, critics, made, inputs)
    else:
        found = _objectives_of_critics(context, critics, made, inputs, gradients_real)
    if reconstruct:
        with torch.no_grad():
            distance = context.game.reconstruction(child, inputs, made)
        assert distance is not None, "the game has a reconstruction"
        found.append(-distance.double())
    return torch.stack(found)


def _objectives_of_critics(
    context: Context,
    critics: Critics,
    made: Samples,
    inputs: Batch,
    gradients_real: Mapping[str, Tensor],
) -> list[Tensor]:
    """Return E-GAN's Fq and Fd, () each."""
    qualities, gradients = [], []
    for role, weights in critics.items():
        critic = _leaf(weights)
        logits = context.judge(role, critic, made, inputs)[0]["logits"]
        (gradient,) = torch.autograd.grad(softplus(logits).mean(), critic.params)
        qualities.append(quality(logits.detach()).double())
        gradients.append(gradients_real[role] + gradient)
    return [torch.stack(qualities).mean(), diversity(torch.cat(gradients))]


def _objectives_of_samples(
    context: Context, critics: Critics, made: Samples, inputs: Batch
) -> list[Tensor]:
    """Return IE-GAN's E[C(G(z))] and E[d(G(z))], () each."""
    with torch.no_grad():
        logits = [
            context.judge(role, critic, made, inputs)[0]["logits"].double().mean()
            for role, critic in critics.items()
        ]
    spreads = [spread(samples).double().mean() for samples in made.values()]
    return [torch.stack(logits).mean(), torch.stack(spreads).mean()]


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
    changes: Draws | None,
    role: str,
    loss: str,
    due: Sequence[str],
    augment: Kind = "none",
) -> tuple[Tensor, Tensor, Mapping[str, Tensor], Tensor | None]:
    """Return a critic's loss (), its gradient (P,), and its buffers after seeing reals, then fakes.

    `inputs` are what the fakes were made from, `strengths` () the weights of the penalties `due`.
    The critic sees all images after the `changes` of an augmentation; then how sure it is of reals
    is returned, too.
    """
    critic = _leaf(weights)

    def judge(weights: Weights, samples: Batch, own: Batch) -> tuple[Verdict, Mapping[str, Tensor]]:
        return context.judge(role, weights, _changed(samples, augment, changes), own)

    of_real, buffers = judge(critic, real, real)
    of_fake, buffers = judge(Weights(critic.params, buffers), fake, inputs)
    total = LOSSES[loss](of_real["logits"], of_fake["logits"])
    total = total + penalties(
        lambda samples, own: judge(critic, samples, own)[0]["logits"],
        dict(zip(due, strengths, strict=True)), real, fake, inputs, mix,
    )  # fmt: skip
    own = context.game.critic_loss(role, real, of_real, inputs, of_fake)
    total = total if own is None else total + own
    (gradient,) = torch.autograd.grad(total, critic.params)
    sure = None
    if changes is not None:
        logits = of_real["logits"].detach(), of_fake["logits"].detach()
        sure = certainty(*logits, anchored=loss not in UNANCHORED)
    return total.detach(), gradient, buffers, sure


def _changed(samples: Batch, augment: Kind, changes: Draws | None) -> Batch:
    """Return samples with their images as critics see them."""
    if changes is None:
        return samples
    images = samples["x"]
    assert isinstance(images, Tensor)
    return {**samples, "x": augmented(augment, images, changes)}


def _leaf(weights: Weights) -> Weights:
    return replace(weights, params=weights.params.detach().requires_grad_())
