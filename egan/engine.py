"""The evolutionary game as pure functions of (state, run seed).

Wang et al., Evolutionary GAN, arXiv 1803.00657, algorithm 1:

    vary(state, jobs)         -> children      one optimiser step (or n) under each mutation
    evaluate(state, children) -> scores        (Fq, Fd) against the discriminator
    advance(state, survivors) -> state'        adopt the survivors, train the discriminator

Siblings share the parent's forward pass and the discriminator's; each mutation is one
vector-Jacobian product from there, bit-equal to making the children one at a time. The
discriminator on the evaluation reals, and its gradient, is computed once for all children.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from math import isfinite
from typing import TypeVar

import torch
from torch import Tensor

from egan import gradients
from egan.backbones import Inputs, build_networks
from egan.config import GameConfig
from egan.context import Pace, Turn
from egan.cuda_graphs import Recorder, Recordings
from egan.data import Source
from egan.data.draws import Draws
from egan.determinism import send
from egan.games.noise import NoiseTask
from egan.mutations import Mutation
from egan.optimizer import adam
from egan.state import EvolutionState, Genome, Moments, Network, Weights
from egan.weights_file import first_parent
from populations.individual import Job, Score
from populations.seeding import Purpose, torch_seed

Result = TypeVar("Result")

AVERAGE_WARM_UP = 0.05  # the average's half-life is at most this part of the images shown


class Diverged(RuntimeError):
    """The discriminator's training became non-finite; the last snapshot is intact."""


@dataclass(frozen=True)
class Child:
    """A parent after a mutation, or why there is none."""

    job: Job
    networks: Mapping[str, Network]
    failure: str | None = None


class Engine:
    """One game on one device; it holds no state between calls."""

    def __init__(
        self,
        config: GameConfig,
        source: Source,
        mutations: Mapping[str, Mutation],
        device: torch.device,
        precision: str = "float32",
        record: Recorder | None = None,
    ) -> None:
        self.config = config
        self.networks = build_networks(config.backbone, source.shape)
        for function in (self.networks.generator, self.networks.discriminator):
            function.compute_in(precision)
        self.task = NoiseTask(self.networks)
        self.device = device
        self._mutations = mutations
        self._source = source
        self._draws: dict[int, Draws] = {}
        self._recordings = Recordings(record)
        self._pace = Pace.of(config, self.networks)
        self._late = {
            role: self._pace.late(function, config.population.steps, device)
            for role, function in self.task.functions.items()
        }
        self._late_discriminator = self._pace.late(
            self.networks.discriminator, config.discriminator.updates, device
        )

    def turn(self, generation: int) -> Turn:
        """Return what a generation is played with: the stage, and what follows from it."""
        pace = self._pace
        stage, batch, shown = pace.stage(generation), pace.batch(generation), pace.shown(generation)
        draws = self._draws_in(batch)
        return Turn(generation, stage, batch, shown, self.networks, self.task, draws, self.device)

    # ------------------------------------------------------------------ the four steps of the game

    def initial_state(self) -> EvolutionState:
        """Return generation 0: mu different parents and a discriminator, all from the seed.

        The first parent has the weights of `population.first_parent` if that is given.
        """
        given = first_parent(self.config.population.first_parent, self.task.functions)
        parents = []
        for index in range(self.config.population.survivors):
            stream = self._stream(0, Purpose.INITIALISE, 1 + index)
            weights = {
                role: function.initialise(stream).to(self.device)
                for role, function in self.task.functions.items()
            }
            if index == 0:
                weights |= {role: own.to(self.device) for role, own in given.items()}
            networks = {
                role: Network(w, Moments.zeros_like(w.params)) for role, w in weights.items()
            }
            parents.append(Genome(networks, weights))
        stream = self._stream(0, Purpose.INITIALISE, 0)
        weights_d = self.networks.discriminator.initialise(stream).to(self.device)
        discriminator = Network(weights_d, Moments.zeros_like(weights_d.params))
        return EvolutionState(0, tuple(parents), discriminator)

    def vary(self, state: EvolutionState, jobs: Sequence[Job]) -> list[Child]:
        """Make each job's child: its parent after `population.steps` steps under its mutation.

        The parents and their moments stay as they are; a child inherits both.
        """
        turn = self.turn(state.generation)
        children: list[Child] = []
        for _, siblings in groupby(jobs, key=self._family):
            children += self._vary_parent(turn, state, list(siblings))
        return children

    def evaluate(
        self,
        state: EvolutionState,
        children: Sequence[Child],
        gradient_real: Tensor | None = None,
    ) -> dict[int, Score]:
        """Score each child: (Fq, Fd) of Wang et al., section 3.3, by the index of its job.

        D judges in training mode, on the statistics of the batch; no buffer changes.
        `gradient_real` is that of `gradient_on_reals`, where the caller has kept it.
        """
        turn = self.turn(state.generation)
        if gradient_real is None:
            gradient_real = self.gradient_on_reals(state)
        scores = {
            child.job.index: Score((float("nan"),) * 2, child.failure)
            for child in children
            if child.failure
        }
        alive = [child for child in children if not child.failure]
        objectives = [self._objectives(turn, state, child, gradient_real) for child in alive]
        if alive:  # read together: each reading waits for the device
            rows = torch.stack(objectives).tolist()
            scores |= {c.job.index: Score(tuple(row)) for c, row in zip(alive, rows, strict=True)}
        return scores

    def gradient_on_reals(self, state: EvolutionState) -> Tensor:
        """Return grad_D(-E log D(x)) (P,), the part of Fd that all children of a state share."""
        turn = self.turn(state.generation)
        reals = turn.reals(Purpose.EVALUATION_DATA)
        return self._run(gradients.gradient_on_reals, turn, state.discriminator.weights, reals)

    def advance(
        self, state: EvolutionState, survivors: Sequence[Child]
    ) -> tuple[EvolutionState, dict[str, float]]:
        """Adopt the survivors, best first, train D on them; return the new state and D's report.

        Raises:
            Diverged: D's loss or weights became non-finite.
        """
        turn = self.turn(state.generation)
        parents = tuple(self._adopt(turn, state, child) for child in survivors)
        discriminator, report = self._train_discriminator(turn, state.discriminator, parents)
        return EvolutionState(state.generation + 1, parents, discriminator), report

    # ------------------------------------------------------------------------------------ variation

    def _family(self, job: Job) -> tuple[int, int]:
        """Return what decides a child's noise: siblings of one family share their forward pass."""
        return (job.parent, job.index if self.config.population.noise == "fresh" else -1)

    def _vary_parent(self, turn: Turn, state: EvolutionState, jobs: list[Job]) -> list[Child]:
        parent, judge = state.parents[jobs[0].parent].networks, state.discriminator.weights
        children = self._mutate(turn, judge, parent, jobs, step=0)
        for step in range(1, self.config.population.steps):
            children = [
                child
                if child.failure
                else self._mutate(turn, judge, child.networks, [child.job], step=step)[0]
                for child in children
            ]
        return children

    def _mutate(
        self,
        turn: Turn,
        judge: Weights,
        parent: Mapping[str, Network],
        jobs: list[Job],
        step: int,
    ) -> list[Child]:
        """Take one optimiser step from `parent` under the mutation of each of `jobs`."""
        inputs = self._inputs(turn, Purpose.TRAIN_NOISE, jobs[0], step)
        ordered = sorted(jobs, key=lambda job: job.index)  # one recording for all orders
        mutations = tuple(self._mutations[job.mutation] for job in ordered)
        found, buffers = self._run(
            gradients.descents, turn, _weights(parent), judge, inputs, mutations=mutations
        )
        children, made, reports = [], [], []
        for job, descent in zip(ordered, found, strict=True):
            if isinstance(descent, str):
                children.append(Child(job, parent, descent))
                continue
            loss, directions = descent
            networks = {
                role: self._descend(network, gradient, buffers[role], self._late[role])
                for (role, network), gradient in zip(parent.items(), directions, strict=True)
            }
            made.append((job, networks))
            reports.append(torch.stack([loss.double(), _total(*networks.values())]))
        if made:  # read together: each reading waits for the device
            rows = torch.stack(reports).tolist()
            children += [
                Child(job, networks, _failure(loss, total, step))
                for (job, networks), (loss, total) in zip(made, rows, strict=True)
            ]
        return sorted(children, key=lambda child: jobs.index(child.job))

    def _descend(
        self,
        network: Network,
        gradient: Tensor,
        buffers: dict[str, Tensor],
        late: Tensor | None,
    ) -> Network:
        optimizer = self.config.optimizer
        params, moments = adam(
            network.weights.params,
            gradient,
            network.moments,
            optimizer.learning_rate,
            optimizer.betas,
            optimizer.eps,
            late,
        )
        return Network(Weights(params, buffers), moments)

    # ----------------------------------------------------------------------------------- evaluation

    def _objectives(
        self, turn: Turn, state: EvolutionState, child: Child, gradient_real: Tensor
    ) -> Tensor:
        """Return a child's (Fq, Fd), (2,) in float64, still on the device."""
        inputs = self._inputs(turn, Purpose.EVALUATION_NOISE, child.job, 0)
        networks, judge = _weights(child.networks), state.discriminator.weights
        return self._run(gradients.objectives, turn, networks, judge, inputs, gradient_real)

    # -------------------------------------------------------------------------------------- advance

    def _adopt(self, turn: Turn, state: EvolutionState, child: Child) -> Genome:
        """Make a survivor a parent; its lineage's average moves towards it."""
        decay = self._average_decay(turn)
        old = state.parents[child.job.parent].average
        average = {
            role: _lerp(old[role], network.weights, 1 - decay)
            for role, network in child.networks.items()
        }
        return Genome(child.networks, average)

    def _average_decay(self, turn: Turn) -> float:
        """Return how much of the average a generation keeps.

        The average starts fast, so that it forgets the random initial weights. By images shown, it
        is the published half-life (1710.10196), which grows up to its value as in StyleGAN2's code.
        """
        population = self.config.population
        if population.average_kimg is None:
            return min(population.average, (1 + turn.generation) / (10 + turn.generation))
        half_life = min(1000 * population.average_kimg, AVERAGE_WARM_UP * turn.shown)
        images = self.config.discriminator.updates * turn.batch
        return float(0.5 ** (images / half_life)) if half_life else 0.0

    def _train_discriminator(
        self, turn: Turn, discriminator: Network, parents: Sequence[Genome]
    ) -> tuple[Network, dict[str, float]]:
        """Take `discriminator.updates` steps on fresh reals and fresh fakes of all survivors."""
        config, generation = self.config, turn.generation
        rate = config.optimizer.discriminator_learning_rate or config.optimizer.learning_rate
        reals = turn.reals(Purpose.DISCRIMINATOR_DATA)
        losses = []
        for update, real in enumerate(torch.split(reals, turn.batch)):
            fake = self._survivors_fakes(turn, parents, update)
            mix = self._mix(turn, update) if config.discriminator.gradient_penalty else None
            due = config.discriminator.due(generation * config.discriminator.updates + update)
            loss, gradient, buffers = self._run(
                gradients.discriminator_gradient,
                turn, discriminator.weights, real, fake, mix, config=due,
            )  # fmt: skip
            params, moments = adam(
                discriminator.weights.params,
                gradient,
                discriminator.moments,
                rate,
                config.optimizer.betas,
                config.optimizer.eps,
                self._late_discriminator,
            )
            discriminator = Network(Weights(params, buffers), moments)
            losses.append(loss)
        # Read together, once: each reading waits for the device. Nothing is adopted before.
        report = [*losses, torch.stack(losses).mean(), _total(discriminator)]
        *values, mean, total = torch.stack([value.double() for value in report]).tolist()
        for update, value in enumerate(values, 1):
            if not isfinite(value):
                raise Diverged(
                    f"generation {generation}: the discriminator's loss is {value} "
                    f"in update {update} of {config.discriminator.updates}"
                )
        if not isfinite(total):
            raise Diverged(
                f"generation {generation}: the discriminator's weights or moments are not "
                f"finite after update {config.discriminator.updates}, though its losses were"
            )
        return discriminator, {"loss": mean}

    def _mix(self, turn: Turn, update: int) -> Tensor:
        stream = self._stream(turn.generation, Purpose.PENALTY, update)
        return send(torch.rand(turn.batch, generator=stream), self.device)

    def _survivors_fakes(self, turn: Turn, parents: Sequence[Genome], update: int) -> Tensor:
        """Return a batch of fakes (N, ...), each parent's share equal, the remainder in turn."""
        share, remainder = divmod(turn.batch, len(parents))
        step = turn.generation * self.config.discriminator.updates + update
        fakes = []
        for index, parent in enumerate(parents):
            count = share + ((index + step) % len(parents) < remainder)
            stream = self._stream(turn.generation, Purpose.DISCRIMINATOR_NOISE, update, index)
            inputs = send(self.task.inputs(count, stream), self.device)
            fakes.append(self._run(gradients.fakes, turn, _weights(parent.networks), inputs))
        return torch.cat(fakes)

    # --------------------------------------------------------------------------------------- common

    def _run(
        self,
        function: Callable[..., Result],
        turn: Turn,
        *arguments: object,
        **constants: Hashable,
    ) -> Result:
        """Call one of `egan.gradients`, by a recording where there is one."""
        call = partial(function, turn, **constants)
        if turn.stage is not None and turn.stage.alpha < 1:  # every generation has another one
            return call(*arguments)
        key = (function.__name__, turn.stage, *constants.values())
        return self._recordings(key, call, *arguments)

    def _draws_in(self, batch: int) -> Draws:
        """Return the draws of the generations with this batch, the latest ones kept."""
        if batch not in self._draws:
            counts = {
                Purpose.EVALUATION_DATA: self.config.fitness.batch,
                Purpose.DISCRIMINATOR_DATA: self.config.discriminator.updates * batch,
            }
            self._draws = {batch: Draws(self._source, self.config.seed, counts)}
        return self._draws[batch]

    def _inputs(self, turn: Turn, purpose: Purpose, job: Job, step: int) -> Inputs:
        """Draw a child's noise: the generation's own, or the child's where noise is fresh."""
        fresh = self.config.population.noise == "fresh"
        index = (step, 1 + job.index) if fresh else (step, 0)
        evaluation = purpose is Purpose.EVALUATION_NOISE
        count = self.config.fitness.batch if evaluation else turn.batch
        stream = self._stream(turn.generation, purpose, *index)
        return send(self.task.inputs(count, stream), self.device)

    def _stream(self, generation: int, purpose: Purpose, *index: int) -> torch.Generator:
        seed = torch_seed(self.config.seed, generation, purpose, *index)
        return torch.Generator().manual_seed(seed)


def _weights(networks: Mapping[str, Network]) -> dict[str, Weights]:
    return {role: network.weights for role, network in networks.items()}


def _total(*networks: Network) -> Tensor:
    """Return a number that is finite if Adam can go on from all of these networks.

    An infinite second moment would freeze a weight for good, so the moments count, too.
    """
    tensors = [
        tensor
        for network in networks
        for tensor in (network.weights.params, network.moments.first, network.moments.second)
    ]
    extremes = [value for tensor in tensors for value in torch.aminmax(tensor)]
    return torch.stack(extremes).double().sum()


def _failure(loss: float, total: float, step: int) -> str | None:
    if not isfinite(loss):
        return f"loss is {loss} at step {step}"
    return None if isfinite(total) else f"weights or moments are not finite after step {step}"


def _lerp(old: Weights, new: Weights, weight: float) -> Weights:
    """Move every parameter and running statistic of `old` towards `new` by `weight`."""
    buffers = {
        name: old.buffers[name].lerp(buffer, weight) if buffer.is_floating_point() else buffer
        for name, buffer in new.buffers.items()
    }
    return Weights(old.params.lerp(new.params, weight), buffers)
