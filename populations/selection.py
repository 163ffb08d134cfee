"""Selection: which children are made, and which of them survive. All operators are DEAP's.

Survivors are chosen among the children alone (comma selection): what judges them has changed
since the parents were scored, so their old scores are out of date. Ties go to the lower index.
"""

from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Literal

from deap import base, tools
from pydantic import BaseModel

from populations.individual import Individual, Job, Maximise, Operator, Score
from populations.seeding import PROPOSAL, numpy_stream

Propose = Callable[[list[Job], int, int, int], list[Job]]
ToFitness = Callable[[tuple[float, ...]], base.Fitness]


class SelectionConfig(BaseModel, extra="forbid", frozen=True):
    """`egan`: the best weighted sum; `nsga2`: objectives by Pareto rank; `random`: a control.

    `bandit`: one mutation at a time, chosen by what the held-out metric said of each.
    """

    name: Literal["egan", "nsga2", "random", "bandit"] = "egan"


class NoFiniteChild(RuntimeError):
    """Every child of a generation failed, so nothing can survive."""


@dataclass(frozen=True)
class Selection:
    """A policy: which jobs of the full grid are made, what is compared, and who survives.

    Unless `ranked`, all children survive, in the order in which they were proposed. So where there
    is nothing to choose, the result does not depend on whether children are scored.
    """

    name: str
    survivors: int
    propose_from: Propose
    to_fitness: ToFitness
    toolbox: base.Toolbox
    ranked: bool = True

    def propose(
        self, operators: Sequence[Operator], seed: int, generation: int, only: str | None = None
    ) -> list[Job]:
        """Return the generation's jobs: variation of the parents by the policy's choice.

        `only` is the mutation that is to be used; None: all of them.
        """
        grid = [job for job in all_jobs(operators, self.survivors) if only in (None, job.operator)]
        jobs = self.propose_from(grid, self.survivors, seed, generation)
        return sorted(jobs, key=lambda job: job.index) if self.ranked else jobs

    def crossings(
        self,
        operators: Sequence[Operator],
        generation: int,
        jobs: Sequence[Job],
        scores: Sequence[Score],
    ) -> list[Job]:
        """Return a job of each crossover, of the two best of the children that were scored.

        Fewer than two that may survive are not crossed.
        """
        crossovers = [operator for operator in operators if operator.arity == 2]
        if not crossovers:
            return []
        scored = self.individuals(generation, jobs, scores)
        candidates = [child for child in scored if self.may_survive(child.score)]
        if len(candidates) < 2:
            return []
        best = first_of_equals(candidates, self.toolbox.select(candidates, 2))
        pair = tuple(child.job.index for child in best)
        index = count(len(all_jobs(operators, self.survivors)))
        return [Job(next(index), pair, operator.name) for operator in crossovers]

    def may_survive(self, score: Score) -> bool:
        """Return whether a child could be made and, where children are ranked, can be."""
        return score.finite if self.ranked else score.failure is None

    def individuals(
        self, generation: int, jobs: Sequence[Job], scores: Sequence[Score]
    ) -> list[Individual]:
        """Return the children as DEAP's individuals, failed ones with the worst finite values.

        NaN compares false with everything and silently corrupts a sort, so no operator sees it.

        Raises:
            NoFiniteChild: all failed; the message says which and why.
        """
        finite = [score.values for score in scores if score.finite]
        if not any(map(self.may_survive, scores)):
            reasons = "; ".join(
                f"child {job.index} ({job.operator} of {job.origin}): "
                f"{score.failure or f'scores {score.values}'}"
                for job, score in zip(jobs, scores, strict=True)
            )
            raise NoFiniteChild(f"no child of generation {generation} is finite: {reasons}")
        worst = tuple(map(min, zip(*finite, strict=True))) if finite else ()
        return [
            Individual(
                generation, job, score, self.to_fitness(score.values if score.finite else worst)
            )
            for job, score in zip(jobs, scores, strict=True)
        ]

    def select(self, individuals: Sequence[Individual]) -> list[Individual]:
        """Return the survivors, best first; `individuals` come in the order of their jobs.

        A failed child never survives: where fewer than the wanted number are finite, the chosen
        ones are repeated.
        """
        candidates = [each for each in individuals if self.may_survive(each.score)]
        chosen = candidates[: self.survivors]
        if self.ranked:
            chosen = self.toolbox.select(candidates, min(self.survivors, len(candidates)))
            chosen = first_of_equals(candidates, chosen)
        return [chosen[place % len(chosen)] for place in range(self.survivors)]


def first_of_equals(
    candidates: Sequence[Individual], chosen: Sequence[Individual]
) -> list[Individual]:
    """Return the choice with every tie given to the lower index (NSGA-II's may be any)."""
    equals: defaultdict[tuple[float, ...], deque[Individual]] = defaultdict(deque)
    for individual in candidates:
        equals[individual.fitness.values].append(individual)
    return [equals[individual.fitness.values].popleft() for individual in chosen]


def all_jobs(operators: Sequence[Operator], parents: int) -> list[Job]:
    """Return every job that takes one parent: each mutation on each parent."""
    mutations = [operator for operator in operators if operator.arity == 1]
    return [
        Job(parent * len(mutations) + place, (parent,), mutation.name)
        for parent in range(parents)
        for place, mutation in enumerate(mutations)
    ]


def parent_of(job: Job, grid: Sequence[Job]) -> int:
    """Return the place of the parent whose line a child continues; `grid` is `all_jobs`."""
    first = job.parents[0]
    return first if len(job.parents) == 1 else grid[first].parents[0]


def every_child(grid: list[Job], survivors: int, seed: int, generation: int) -> list[Job]:
    """Make every child (Wang et al., 1803.00657, algorithm 1)."""
    return grid


def random_children(grid: list[Job], survivors: int, seed: int, generation: int) -> list[Job]:
    """Make only as many children as survive, drawn at random."""
    stream = numpy_stream(seed, generation, PROPOSAL)
    return [grid[i] for i in stream.choice(len(grid), survivors, replace=False).tolist()]


def build_selection(
    config: SelectionConfig, survivors: int, weights: tuple[float, ...], ranked: bool = True
) -> Selection:
    """Return the policy of that name for `survivors` (the paper's mu).

    `weights` are those of the objectives in the sum that `egan` and `random` rank by; for
    `ranked` see `Selection`.
    """

    def scalar(values: tuple[float, ...]) -> base.Fitness:
        if not values:
            return Maximise()
        terms = [w * value for w, value in zip(weights, values, strict=True)]
        return Maximise((sum(terms[1:], terms[0]),))

    toolbox = base.Toolbox()
    toolbox.register("select", tools.selNSGA2 if config.name == "nsga2" else tools.selBest)
    return Selection(
        config.name,
        survivors,
        random_children if config.name == "random" else every_child,
        Maximise if config.name == "nsga2" else scalar,
        toolbox,
        ranked,
    )
