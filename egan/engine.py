"""The evolutionary game as pure functions of (state, run seed).

Wang et al., Evolutionary GAN, arXiv 1803.00657, algorithm 1:

    vary(state, jobs)         -> children      one optimiser step (or n) under each operator
    evaluate(state, children) -> scores        (Fq, Fd) against the critics
    advance(state, survivors) -> state'        adopt the survivors, train the critics

Siblings share the parent's forward pass and the critics'; each mutation is one vector-Jacobian
product from there, bit-equal to making the children one at a time. The critics on the evaluation
reals, and their gradients, are computed once for all children.

Which networks there are, and what each of them gets, is defined by the game (`egan/games/`).
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import partial
from itertools import groupby
from typing import TypeVar

import torch
from torch import Tensor

from egan import gradients
from egan.child import Child, child_of
from egan.config import GameConfig, adapted_settings, with_settings
from egan.context import Context
from egan.critics import Diverged, train_critics
from egan.cuda_graphs import Recorder, Recordings
from egan.data import Source
from egan.data.condition import conditions_of
from egan.data.draws import AnyDraws, draws_of
from egan.data.pairs import PairSource
from egan.games import Batch, build_game
from egan.mutations import Mutation, takes_reals
from egan.optimizer import corrections, descended
from egan.reuse import Reuse
from egan.schedule import Schedule
from egan.state import EvolutionState, Genome, Network, extremes, lerp, weights_of
from egan.streams import Purpose, torch_stream
from egan.weights_file import first_parent
from populations.individual import Job, Score
from populations.selection import all_jobs, parent_of

__all__ = ["Child", "Diverged", "Engine"]

Result = TypeVar("Result")


class Engine:
    """One game on one device; between calls it keeps nothing but what it can make again."""

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
        self._conditions = conditions_of(source, config.data)
        partner = source.partner if isinstance(source, PairSource) else None
        self.game = build_game(
            config.backbone, source.shape, self._conditions, config.game, partner
        )
        self.device = device
        functions = {**self.game.generators, **self.game.critics}
        for function in functions.values():
            function.compute_in(precision)
        self._mutations = mutations
        self._mutants = all_jobs(config.population.operators, config.population.survivors)
        self._draws_reals = self.game.conditioned or any(map(takes_reals, mutations.values()))
        self._source = source
        self._draws: dict[int, AnyDraws] = {}
        self._recordings = Recordings(record)
        reuses = config.population.reuse_fakes
        self._reuse = Reuse(config.discriminator.updates, record is None) if reuses else None
        self._schedule = Schedule.of(config, self.game)
        steps = dict.fromkeys(self.game.generators, config.population.steps)
        steps |= dict.fromkeys(self.game.critics, config.discriminator.updates)
        self._late = {
            role: self._schedule.late(function, steps[role], device)
            for role, function in functions.items()
        }

    def context(self, generation: int) -> Context:
        """Return what a generation is computed with."""
        schedule = self._schedule
        batch = schedule.batch(generation)
        return Context(
            generation,
            schedule.stage(generation),
            batch,
            schedule.shown(generation),
            self.game,
            self._draws_in(batch),
            self.device,
        )

    # ------------------------------------------------------------------ the four steps of the game

    def initial_state(self) -> EvolutionState:
        """Return generation 0: mu different parents and the critics, all from the seed.

        The first parent has the weights of `population.first_parent` if that is given.
        """
        config = self.config
        given = first_parent(config.population.first_parent, self.game.generators)
        parents = []
        for index in range(config.population.survivors):
            stream = torch_stream(config.seed, 0, Purpose.INITIALISE, 1 + index)
            weights = {
                role: function.initialise(stream).to(self.device)
                for role, function in self.game.generators.items()
            }
            if index == 0:
                weights |= {role: own.to(self.device) for role, own in given.items()}
            parents.append(
                Genome({role: Network.untrained(w) for role, w in weights.items()}, weights)
            )
        stream = torch_stream(config.seed, 0, Purpose.INITIALISE, 0)
        critics = {
            role: Network.untrained(function.initialise(stream).to(self.device))
            for role, function in self.game.critics.items()
        }
        pools = {
            name: torch.zeros(shape, device=self.device) for name, shape in self.game.pools.items()
        }
        return EvolutionState(0, tuple(parents), critics, pools=pools)

    def vary(
        self, state: EvolutionState, jobs: Sequence[Job], made: Mapping[Job, Child] | None = None
    ) -> list[Child]:
        """Make each job's child: its parent after `population.steps` steps under its mutation.

        The parents and their moments stay as they are; a child inherits both. A crossover's child
        is that of the first of two mutants after one step more; those that are not in `made` are
        made again.
        """
        context = self.context(state.generation)
        children: list[Child] = []
        for _, siblings in groupby(jobs, key=self._family):
            family = list(siblings)
            if len(family[0].parents) == 1:
                children += self._vary_parent(context, state, family)
            else:
                children += self._cross(context, state, family, made or {})
        return children

    def evaluate(
        self,
        state: EvolutionState,
        children: Sequence[Child],
        gradients_real: Mapping[str, Tensor] | None = None,
    ) -> dict[int, Score]:
        """Score each child by the index of its job: (Fq, Fd) of Wang et al., section 3.3.

        The critics judge in training mode, on the statistics of the batch; no buffer changes.
        `gradients_real` are those of `gradients_on_reals`, where the caller has kept them.
        """
        context, config = self.context(state.generation), self.config.fitness
        reals = context.reals(Purpose.EVALUATION_DATA) if self.game.conditioned else {}
        if gradients_real is None:
            gradients_real = self.gradients_on_reals(state)
        scores = {
            child.job.index: Score((float("nan"),) * len(config.weights), child.failure)
            for child in children
            if child.failure
        }
        alive = [child for child in children if not child.failure]
        objectives = [
            self._objectives(context, state, child, reals, gradients_real) for child in alive
        ]
        if alive:  # read together: each reading waits for the device
            found = torch.stack(objectives).tolist()
            scores |= {c.job.index: Score(tuple(row)) for c, row in zip(alive, found, strict=True)}
        return scores

    def gradients_on_reals(self, state: EvolutionState) -> dict[str, Tensor]:
        """Return grad(-E log D(x)) (P,) of each critic, which all children of a state share."""
        if self.config.fitness.name == "iegan":
            return {}  # no objective asks for them
        context = self.context(state.generation)
        reals = context.reals(Purpose.EVALUATION_DATA)
        return self._run(gradients.gradients_on_reals, context, weights_of(state.critics), reals)

    def advance(
        self, state: EvolutionState, survivors: Sequence[Child]
    ) -> tuple[EvolutionState, dict[str, float]]:
        """Adopt the survivors, best first, train the critics on them.

        Returns:
            The new state, and the report of the critics' training.

        Raises:
            Diverged: a critic's loss or weights became non-finite.
        """
        context, config = self.context(state.generation), self._config_in(state)
        parents = tuple(self._adopt(context, state, child) for child in survivors)
        reals, last = context.reals(Purpose.DISCRIMINATOR_DATA), None
        if self._reuse is not None:
            last = self._reuse.make(context, reals, weights_of(parents[0].networks))
        critics, pools, report = train_critics(
            context, state.critics, reals, parents, config, self._run, self._late, state.pools, last
        )
        settings = {**state.settings, **adapted_settings(config, context.batch, report)}
        after = EvolutionState(state.generation + 1, parents, critics, settings, pools)
        return after, report | dict(survivors[0].report)

    # ------------------------------------------------------------------------------------ variation

    def _family(self, job: Job) -> tuple[int, ...]:
        """Return the key of a child's family, which has equal noise and shares forward passes."""
        return (*job.parents, job.index if self.config.population.noise == "fresh" else -1)

    def _vary_parent(self, context: Context, state: EvolutionState, jobs: list[Job]) -> list[Child]:
        (place,) = jobs[0].parents  # a mutation has one
        parent = state.parents[place].networks
        children = self._step(context, state, parent, jobs, step=0)
        for step in range(1, self.config.population.steps):
            children = [
                child
                if child.failure
                else self._step(context, state, child.networks, [child.job], step=step)[0]
                for child in children
            ]
        return children

    def _cross(
        self,
        context: Context,
        state: EvolutionState,
        jobs: list[Job],
        made: Mapping[Job, Child],
    ) -> list[Child]:
        """Let the first of two mutants learn from both, on noise that neither was trained on."""
        pair = [self._mutants[index] for index in jobs[0].parents]
        missing = [job for job in pair if job not in made]
        mutants = dict(made) | {child.job: child for child in self.vary(state, missing)}
        networks = [mutants[job].networks for job in pair]
        steps = self.config.population.steps
        return self._step(context, state, networks[0], jobs, steps, teachers=networks)

    def _step(
        self,
        context: Context,
        state: EvolutionState,
        parent: Mapping[str, Network],
        jobs: list[Job],
        step: int,
        teachers: Sequence[Mapping[str, Network]] = (),
    ) -> list[Child]:
        """Take one optimiser step from `parent` under the operator of each of `jobs`."""
        config = self._config_in(state)
        start, critics = weights_of(parent), weights_of(state.critics)
        made = None
        if self._reuse is not None:
            reused = self._reuse.take(self.context, state.generation, start)
            reals, inputs, made = reused.reals, reused.inputs, reused.forward
        else:
            reals = self._reals(context, step)
            inputs = self._inputs(context, Purpose.TRAIN_NOISE, jobs[0], reals, step)
        ordered = sorted(jobs, key=lambda job: job.index)  # one recording for all orders
        found: Sequence[gradients.Descent]
        if teachers:
            descent, buffers = self._run(
                gradients.distillation,
                context, start, [*map(weights_of, teachers)], critics, inputs,
                diversity=self.config.population.crossover_diversity,
            )  # fmt: skip
            found = [descent] * len(ordered)
        else:
            changes = context.changes(config.discriminator, 0, step)
            along = context.directions(config.population.steps, step)
            found, buffers = self._run(
                gradients.descents, context, start, critics, inputs, reals, changes, along, made,
                mutations=tuple(self._mutations[job.operator] for job in ordered),
                augment=config.discriminator.augment, ratio=config.game.gradient_ratio,
            )  # fmt: skip
        settings = config.optimizer.at(context.shown)
        late = {
            role: corrections(settings.betas, network.moments.step + 1, self._late[role])
            for role, network in parent.items()
        }
        children, alive, reports = [], [], []
        for job, descent in zip(ordered, found, strict=True):
            if isinstance(descent, str):
                children.append(Child(job, parent, descent))
                continue
            loss, directions, ratio = descent
            networks = {
                role: descended(network, gradient, buffers[role], settings, late[role])
                for (role, network), gradient in zip(parent.items(), directions, strict=True)
            }
            alive.append((job, networks))
            report = [loss.double(), extremes(*networks.values())]
            reports.append(torch.stack(report if ratio is None else [*report, ratio]))
        if alive:  # read together: each reading waits for the device
            numbers = torch.stack(reports).tolist()
            children += [
                child_of(*child, step, *found) for child, found in zip(alive, numbers, strict=True)
            ]
        return sorted(children, key=lambda child: jobs.index(child.job))

    # ----------------------------------------------------------------------------------- evaluation

    def _objectives(
        self,
        context: Context,
        state: EvolutionState,
        child: Child,
        reals: Batch,
        gradients_real: Mapping[str, Tensor],
    ) -> Tensor:
        """Return a child's objectives, see `gradients.objectives`, still on the device."""
        inputs = self._inputs(context, Purpose.EVALUATION_NOISE, child.job, reals, 0)
        genes, critics = weights_of(child.networks), weights_of(state.critics)
        fitness = self.config.fitness
        return self._run(
            gradients.objectives, context, genes, critics, inputs, gradients_real,
            fitness=fitness.name, reconstruct=fitness.reconstruction is not None,
        )  # fmt: skip

    # -------------------------------------------------------------------------------------- advance

    def _adopt(self, context: Context, state: EvolutionState, child: Child) -> Genome:
        """Make a survivor a parent; its lineage's average moves towards it."""
        config = self.config
        decay = config.population.average_decay(
            context.generation, context.shown, context.batch, config.discriminator.updates
        )
        old = state.parents[parent_of(child.job, self._mutants)].average
        average = {
            role: lerp(old[role], network.weights, 1 - decay)
            for role, network in child.networks.items()
        }
        return Genome(child.networks, average)

    # --------------------------------------------------------------------------------------- common

    def _config_in(self, state: EvolutionState) -> GameConfig:
        """Return the config with the settings of the state."""
        return with_settings(self.config, state.settings)

    def _run(
        self,
        function: Callable[..., Result],
        context: Context,
        *arguments: object,
        **constants: Hashable,
    ) -> Result:
        """Call one of `egan.gradients`, as a recorded CUDA graph where there is one."""
        call = partial(function, context, **constants)
        if context.stage is not None and context.stage.alpha < 1:  # another one every generation
            return call(*arguments)
        key = (function.__name__, context.stage, *constants.values())
        return self._recordings(key, call, *arguments)

    def _draws_in(self, batch: int) -> AnyDraws:
        """Return the draws for generations of this batch; those of the last batch are kept."""
        if batch not in self._draws:
            counts = {
                Purpose.EVALUATION_DATA: self.config.fitness.batch,
                Purpose.DISCRIMINATOR_DATA: self.config.discriminator.updates * batch,
            }
            if self._draws_reals and self._reuse is None:
                population = self.config.population
                steps = population.steps + (population.crossover is not None)
                counts[Purpose.TRAIN_DATA] = steps * batch
            draws = draws_of(self._source, self.config.seed, counts, self._conditions)
            self._draws = {batch: draws}
        return self._draws[batch]

    def _reals(self, context: Context, step: int) -> Batch:
        """Return what a step of variation takes of the data; empty if nothing asks for it."""
        if not self._draws_reals:
            return {}
        return context.batch_of(context.reals(Purpose.TRAIN_DATA), step)

    def _inputs(
        self, context: Context, purpose: Purpose, job: Job, reals: Batch, step: int
    ) -> Batch:
        """Draw a child's inputs: shared by the generation, or its own where noise is fresh."""
        fresh = self.config.population.noise == "fresh"
        own = (step, 1 + job.index) if fresh else None
        evaluation = purpose is Purpose.EVALUATION_NOISE
        count = self.config.fitness.batch if evaluation else context.batch
        return context.inputs(count, purpose, (step, 0), reals, own)
