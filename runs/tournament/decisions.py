"""Decisions: which island copies which, which end, how genes change; from seed and fitness.

A decision follows each round. It depends on the tournament's config, the number of the round, who
lived, and how each was judged; so it can be made again and compared with the one on record.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from enum import IntEnum
from typing import Any

import numpy as np

from populations.seeding import numpy_stream, seed_sequence
from runs.tournament.config import Tournament
from runs.tournament.genes import Genes, first_genes, next_genes
from runs.tournament.schedule import Plan

QUARTER = 4  # a part of the islands is copied, and as many take the copies


class Stream(IntEnum):
    """The purpose of a tournament's stream; runs have purposes of their own."""

    GENES = 1000
    CHOICE = 1001
    RUN = 1002


@dataclass(frozen=True)
class Life:
    """An island from one fork to the next: a run with a folder of its own.

    Attributes:
        island: its number.
        life: how many it had before.
        genes: its settings.
        round: the first in which it trains.
        generation: the one that it begins with.
        parent: the life, as (island, life), whose state it begins with; None: it begins anew.
        decays: whether its rates fall to the end of the last stage.
        kept: whether the state is the one that was kept of the parent.
    """

    island: int
    life: int
    genes: Genes
    round: int = 0
    generation: int = 0
    parent: tuple[int, int] | None = None
    decays: bool = False
    kept: bool = False

    @property
    def key(self) -> tuple[int, int]:
        """Which life it is."""
        return self.island, self.life

    @property
    def name(self) -> str:
        """The name of its folder."""
        return name_of(self.key)


def name_of(key: tuple[int, int]) -> str:
    """Return the name of a life: 03.2 is the third life of island 3, counted from 0."""
    return f"{key[0]:02d}.{key[1]}"


@dataclass(frozen=True)
class Judged:
    """The judgement of an island at the end of a round.

    Attributes:
        generation: that it had reached.
        checksum: of its state.
        fitness: the lower the better; infinite: it failed, or made what is no number.
        failure: why it can go on no more.
    """

    generation: int
    checksum: str
    fitness: float
    failure: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON's values; a fitness that is not finite is null."""
        values = {**asdict(self), "fitness": finite_or_none(self.fitness)}
        return values if self.failure else {k: v for k, v in values.items() if k != "failure"}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Judged":
        """Return it from `to_json`'s values."""
        fitness = math.inf if values["fitness"] is None else values["fitness"]
        return cls(values["generation"], values["checksum"], fitness, values.get("failure"))


def finite_or_none(value: float) -> float | None:
    """Return a number, or None if it is not finite, since JSON has no infinity."""
    return value if math.isfinite(value) else None


Table = Mapping[str, Judged]  # by the life's name


@dataclass(frozen=True)
class Kept:
    """The best state so far: of which life, at which generation, after which round."""

    life: Life
    generation: int
    fitness: float
    round: int


@dataclass(frozen=True)
class Standing:
    """The living islands, and the generation that each has reached.

    Attributes:
        living: by island; those that failed among them.
        generations: of each by name.
        failed: why they can go on no more, by the name of those that cannot.
        lives: how many lives each island had, by island.
        kept: the best state so far, if any was judged.
    """

    living: tuple[Life, ...]
    generations: Mapping[str, int]
    failed: Mapping[str, str]
    lives: Mapping[int, int]
    kept: Kept | None = None


@dataclass(frozen=True)
class Decision:
    """The decision after a round.

    Attributes:
        ranking: names, best first.
        dropped: names of those that end.
        born: the lives that begin: copies with other genes, those whose rates fall, forks.
        alarm: why the last island goes on from the state that was kept.
        standing: what it leads to.
    """

    ranking: tuple[str, ...]
    dropped: tuple[str, ...]
    born: tuple[Life, ...]
    alarm: str | None
    standing: Standing

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON's values, for the record."""
        kept = self.standing.kept
        return {
            "ranking": list(self.ranking),
            "dropped": list(self.dropped),
            "born": [
                {"name": life.name, "parent": life.parent and name_of(life.parent),
                 "generation": life.generation, "genes": life.genes, "kept": life.kept}
                for life in self.born
            ],
            "alarm": self.alarm,
            "kept": kept and [kept.life.name, kept.generation],
        }  # fmt: skip


def first_standing(tournament: Tournament, plan: Plan) -> Standing:
    """Return the islands that a tournament begins with."""
    stream = numpy_stream(tournament.base.seed, 0, Stream.GENES)
    count = tournament.config.count
    drawn = first_genes(tournament.prior, tournament.given, count, stream)
    decays = len(plan.stages) == 1 and tournament.config.schedule.final_rate is not None
    living = tuple(Life(island, 0, genes, decays=decays) for island, genes in enumerate(drawn))
    return Standing(living, {life.name: 0 for life in living}, {}, dict.fromkeys(range(count), 1))


def seed_of(tournament: Tournament, life: Life) -> int:
    """Return the seed of a life's run."""
    entropy = seed_sequence(tournament.base.seed, life.life, Stream.RUN, life.island)
    return int(entropy.generate_state(1, np.uint64)[0] >> np.uint64(1))


def decide(
    tournament: Tournament, plan: Plan, number: int, standing: Standing, table: Table
) -> Decision:
    """Return the decision after round `number`, in which `table` has the judgements."""
    this = plan.rounds[number]
    reached = {name: judged.generation for name, judged in table.items()}
    failed = {name: judged.failure for name, judged in table.items() if judged.failure}
    standing = replace(standing, generations=reached, failed=failed)
    stream = numpy_stream(tournament.base.seed, number, Stream.CHOICE)
    ranking = _ranking(tournament, standing.living, table, stream)
    standing = replace(standing, kept=_kept(standing.kept, ranking, table, number))
    changes = _Changes(standing, number + 1)
    alarm = None
    if this.ending == "event":
        _copies(tournament, number, ranking, table, changes)
    elif this.ending == "check":
        alarm = _alarm(tournament, standing.kept, ranking[0], table)
        if alarm:
            _fork_kept(standing, ranking[0], changes)
    else:
        changes.drop(ranking[this.left :])
        falls = tournament.config.schedule.final_rate is not None
        if falls and this.ending == "halve" and this.stage + 1 == plan.last_stage:
            _decay(changes)
    return Decision(
        tuple(life.name for life in ranking),
        tuple(changes.dropped),
        tuple(changes.born),
        alarm,
        changes.standing,
    )


class _Changes:
    """Collects the lives that end and those that begin."""

    def __init__(self, standing: Standing, number: int) -> None:
        """Begin with the standing before round `number`."""
        self.standing = standing
        self._round = number
        self.dropped: list[str] = []
        self.born: list[Life] = []

    def drop(self, lives: Sequence[Life]) -> None:
        names = [life.name for life in lives]
        self.dropped += names
        living = tuple(life for life in self.standing.living if life.name not in names)
        self.standing = replace(self.standing, living=living)

    def replace(self, old: Life, new: Life) -> None:
        """Let an island go on as another life, which takes the next number."""
        before = self.standing
        number = before.lives[old.island]
        new = replace(new, island=old.island, life=number, round=self._round)
        living = tuple(new if life is old else life for life in before.living)
        self.standing = replace(
            before,
            living=living,
            generations={**before.generations, new.name: new.generation},
            lives={**before.lives, old.island: number + 1},
        )
        self.born.append(new)


def _ranking(
    tournament: Tournament, living: Sequence[Life], table: Table, stream: np.random.Generator
) -> list[Life]:
    """Return the living islands, the best first; equal ones in the order of their numbers."""
    luck = stream.random(len(living))
    if tournament.config.schedule.blind:
        return [living[place] for place in np.argsort(luck, kind="stable")]
    return sorted(living, key=lambda life: (table[life.name].fitness, life.island))


def _kept(before: Kept | None, ranking: Sequence[Life], table: Table, number: int) -> Kept | None:
    first = ranking[0]
    judged = table[first.name]
    least = math.inf if before is None else before.fitness
    if judged.failure or not judged.fitness < least:
        return before
    return Kept(first, judged.generation, judged.fitness, number)


def _copies(
    tournament: Tournament,
    number: int,
    ranking: Sequence[Life],
    table: Table,
    changes: _Changes,
) -> None:
    """Let each of the worst quarter copy one of the best, if that is fitter."""
    part = max(1, len(ranking) // QUARTER)
    blind = tournament.config.schedule.blind
    for loser in ranking[-part:]:
        stream = numpy_stream(tournament.base.seed, number, Stream.GENES, loser.island)
        model = ranking[int(stream.integers(part))]
        fitter = table[model.name].fitness < table[loser.name].fitness
        if not (fitter or blind) or table[model.name].failure:
            continue
        genes = next_genes(tournament.prior, tournament.given, model.genes, stream)
        generation = table[model.name].generation
        changes.replace(loser, replace(model, genes=genes, generation=generation, parent=model.key))


def _decay(changes: _Changes) -> None:
    """Let the remaining islands begin a life in which their learning rates fall."""
    for life in changes.standing.living:
        if life.name not in changes.standing.failed:
            generation = changes.standing.generations[life.name]
            changes.replace(
                life, replace(life, generation=generation, parent=life.key, decays=True)
            )


def _alarm(tournament: Tournament, kept: Kept | None, life: Life, table: Table) -> str | None:
    """Return why the last island has collapsed, if it has and there is a state to go back to."""
    config, judged = tournament.config, table[life.name]
    if kept is None or not config.insurance.enabled or config.schedule.blind:
        return None
    if judged.failure:
        return judged.failure
    # The unbiased MMD of equal distributions is within some 10 / samples of 0, of either sign.
    limit = config.insurance.factor * (max(kept.fitness, 0.0) + 10 / config.judge.samples)
    if judged.fitness > limit:
        return (
            f"fitness {judged.fitness:.4g}, more than {limit:.4g}; the best was {kept.fitness:.4g}"
        )
    return None


def _fork_kept(standing: Standing, life: Life, changes: _Changes) -> None:
    kept = standing.kept
    assert kept is not None
    changes.replace(
        life,
        replace(kept.life, generation=kept.generation, parent=kept.life.key,
                decays=life.decays, kept=True),
    )  # fmt: skip
