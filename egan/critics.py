"""Training of the critics, on reals and on fakes of the survivors."""

from collections.abc import Callable, Mapping, Sequence
from math import isfinite
from typing import Any

import torch
from torch import Tensor

from egan import gradients
from egan.config import GameConfig
from egan.context import Context
from egan.determinism import send
from egan.games.game import Batch, Samples, joined, rows
from egan.optimizer import Late, corrections, descended
from egan.replay import replayed
from egan.state import Genome, Network, extremes, weights_of
from egan.streams import Purpose

Run = Callable[..., Any]  # calls one of `egan.gradients` in a context


class Diverged(RuntimeError):
    """A critic's loss or weights became non-finite; the last snapshot is intact."""


def train_critics(
    context: Context,
    critics: Mapping[str, Network],
    reals: Batch,
    parents: Sequence[Genome],
    config: GameConfig,
    run: Run,
    late: Mapping[str, Late | None],
    pools: Mapping[str, Tensor],
    last: Samples | None = None,
) -> tuple[dict[str, Network], dict[str, Tensor], dict[str, float]]:
    """Take `discriminator.updates` steps on fresh reals and fresh fakes of all survivors.

    Args:
        context: the generation's.
        critics: as they are, by role.
        reals: the generation's, for all updates.
        parents: the survivors.
        config: the game's, with the settings of the state.
        run: calls one of `egan.gradients` in a context.
        late: when each critic's layers are introduced.
        pools: earlier fakes, by name, which the critics see again.
        last: the fakes of the last update, see `seen_in`, if they were made already.

    Returns:
        The new critics, the pools afterwards, and the critics' mean loss; where images are
        augmented, also the strength of that, and how sure the critics are of reals (`sure`, see
        `egan.augment.certainty`).

    Raises:
        Diverged: a loss, or the weights, became non-finite.
    """
    updates = config.discriminator.updates
    trained, kept, losses, certainties = dict(critics), dict(pools), [], []
    for update in range(updates):
        real = context.batch_of(reals, update)
        made = last if update == updates - 1 else None
        fake, inputs = _fakes_of(context, parents, real, update, updates, run, made)
        fake, kept = _replayed(context, fake, kept, update, updates)
        for role in critics:
            loss, trained[role], sure = _step(
                context, role, trained[role], real, fake, inputs, update, config, run, late[role]
            )
            losses.append((role, update, loss))
            certainties += [] if sure is None else [sure]
    # Read together, once: each reading waits for the device. Nothing is adopted before.
    values = [loss for _, _, loss in losses]
    report = [*values, torch.stack(values).mean(), *(extremes(own) for own in trained.values())]
    report += [torch.stack(certainties).mean()] if certainties else []
    numbers = iter(torch.stack([value.double() for value in report]).tolist())
    for role, update, _ in losses:
        if not isfinite(value := next(numbers)):
            raise Diverged(
                f"generation {context.generation}: the {role}'s loss is {value} "
                f"in update {update + 1} of {updates}"
            )
    mean = next(numbers)
    for role in trained:
        if not isfinite(next(numbers)):
            raise Diverged(
                f"generation {context.generation}: the {role}'s weights or moments are not "
                f"finite after update {updates}, though its losses were"
            )
    told = {"loss": mean}
    if certainties:
        told |= {"sure": next(numbers), "augment_strength": config.discriminator.strength}
    return trained, kept, told


def seen_in(context: Context, reals: Batch, update: int) -> tuple[Batch, Batch]:
    """Return the reals of an update, and the inputs of its fakes, all of which one parent makes."""
    real = context.batch_of(reals, update)
    return real, context.inputs(context.batch, Purpose.DISCRIMINATOR_NOISE, (update, 0), real)


def _replayed(
    context: Context, fake: Samples, pools: dict[str, Tensor], update: int, updates: int
) -> tuple[Samples, dict[str, Tensor]]:
    """Return the fakes that critics see, some of them from the pools, and the pools afterwards."""
    seen, kept = dict(fake), dict(pools)
    earlier = context.batch * (context.generation * updates + update)  # fakes, of the whole run
    for index, (name, pool) in enumerate(sorted(pools.items())):
        stream = context.stream(Purpose.POOL, update, index)
        filled = min(earlier, len(pool))
        seen[name], kept[name] = replayed(pool, filled, fake[name], stream)
    return seen, kept


def _step(
    context: Context,
    role: str,
    critic: Network,
    real: Batch,
    fake: Samples,
    inputs: Batch,
    update: int,
    config: GameConfig,
    run: Run,
    late: Late | None,
) -> tuple[Tensor, Network, Tensor | None]:
    """Return a critic's loss (), the critic after one optimiser step, and how sure it was."""
    step = context.generation * config.discriminator.updates + update
    shape = next(iter(fake.values())).shape[1:]
    due = config.discriminator.weights(step, context.shown, shape, context.batch)
    # Tensors, so that a recorded step serves all values of a weight that is scheduled.
    strengths = [torch.full((), weight, device=context.device) for weight in due.values()]
    mix = None
    if "gradient_penalty" in due:
        places = torch.rand(context.batch, generator=context.stream(Purpose.PENALTY, update))
        mix = send(places, context.device)
    changes = context.changes(config.discriminator, 1, update)
    loss, gradient, buffers, sure = run(
        gradients.critic_gradient,
        context, critic.weights, real, fake, inputs, mix, strengths, changes,
        role=role, loss=config.discriminator.loss, due=tuple(due),
        augment=config.discriminator.augment,
    )  # fmt: skip
    settings = config.optimizer.at(context.shown, critic=True)
    own = corrections(settings.betas, critic.moments.step + 1, late)
    return loss, descended(critic, gradient, buffers, settings, own), sure


def _fakes_of(
    context: Context,
    parents: Sequence[Genome],
    real: Batch,
    update: int,
    updates: int,
    run: Run,
    made: Samples | None,
) -> tuple[Samples, Batch]:
    """Return a batch of fakes (N, ...) and their inputs.

    Each parent's share is equal; the remainder goes to the parents in turn. `made` are those of
    the only parent, if they were made already.
    """
    share, remainder = divmod(context.batch, len(parents))
    step = context.generation * updates + update
    fakes, inputs, start = [], [], 0
    for index, parent in enumerate(parents):
        count = share + ((index + step) % len(parents) < remainder)
        share_of_reals = rows(real, slice(start, start + count))
        own = context.inputs(count, Purpose.DISCRIMINATOR_NOISE, (update, index), share_of_reals)
        fakes.append(made or run(gradients.fakes, context, weights_of(parent.networks), own))
        inputs.append(own)
        start += count
    return joined(fakes), joined(inputs)
