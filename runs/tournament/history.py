"""A tournament so far, from its record: the course of every life, and where it came from."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from runs.common.files import read_json
from runs.tournament.config import Tournament
from runs.tournament.decisions import Life, Standing, decide, finite_or_none, first_standing
from runs.tournament.islands import TournamentFolder
from runs.tournament.record import Line, check, read_lines
from runs.tournament.schedule import Plan, plan_of


@dataclass(frozen=True)
class Point:
    """A judgement: its round, the steps spent by then, and its result."""

    round: int
    spent: int
    generation: int
    fitness: float


@dataclass(frozen=True)
class Course:
    """A life from its birth to its end.

    Attributes:
        life: the life.
        root: the island that its state goes back to.
        points: its judgements.
        state: "lives", "dropped", "failed", "copied over" (it took another's state), or "went on"
            as the next life of its island.
    """

    life: Life
    root: int
    points: tuple[Point, ...]
    state: str


@dataclass(frozen=True)
class History:
    """A tournament so far.

    Attributes:
        result: what result.json says; None: it has not ended.
    """

    tournament: Tournament
    plan: Plan
    lines: tuple[Line, ...]
    courses: tuple[Course, ...]
    standing: Standing
    result: Mapping[str, Any] | None

    @property
    def spent(self) -> int:
        """Optimiser steps so far, judgements included."""
        return self.lines[-1].spent if self.lines else 0

    @property
    def steps(self) -> int:
        """Optimiser steps of the whole tournament."""
        return self.plan.spent(len(self.plan.rounds))


def read_history(folder: TournamentFolder) -> History:
    """Return a tournament so far; it may be going on.

    Raises:
        ConfigError: there is none, or its record is damaged.
    """
    tournament = folder.load()
    plan = plan_of(tournament.config, tournament.base)
    lines = read_lines(folder.decisions)
    standing = first_standing(tournament, plan)
    lives = {life.name: life for life in standing.living}
    roots = {life.key: life.island for life in standing.living}
    points: dict[str, list[Point]] = {name: [] for name in lives}
    states: dict[str, str] = {}
    for line in lines:
        for name, judged in line.table.items():
            at = Point(line.round, line.spent, judged.generation, judged.fitness)
            points[name].append(at)
        decision = decide(tournament, plan, line.round, standing, line.table)
        check(folder.decisions, line, decision)
        states |= dict.fromkeys(decision.dropped, "dropped")
        for life in decision.born:
            assert life.parent is not None
            former = next(old for old in standing.living if old.island == life.island)
            own = life.parent[0] == life.island
            states[former.name] = "went on" if own else "copied over"
            lives[life.name], points[life.name] = life, []
            roots[life.key] = roots[life.parent]
        standing = decision.standing
    states |= dict.fromkeys(standing.failed, "failed")
    courses = tuple(
        Course(life, roots[life.key], tuple(points[name]), states.get(name, "lives"))
        for name, life in lives.items()
    )
    result = read_json(folder.result) if folder.result.is_file() else None
    return History(tournament, plan, tuple(lines), courses, standing, result)


def to_json(history: History) -> dict[str, Any]:
    """Return a tournament so far as JSON's values."""
    kept = history.standing.kept
    return {
        "name": history.tournament.name,
        "rounds": {"done": len(history.lines), "all": len(history.plan.rounds)},
        "steps": {"spent": history.spent, "all": history.steps},
        "stages": list(history.plan.stages),
        "kept": kept and {
            "name": kept.life.name, "generation": kept.generation, "fitness": kept.fitness
        },
        "islands": [
            {
                "name": course.life.name,
                "state": course.state,
                "parent": course.life.parent and "{:02d}.{}".format(*course.life.parent),
                "root": course.root,
                "generation": _last(course)[0],
                "fitness": _last(course)[1],
                "genes": course.life.genes,
            }
            for course in history.courses
        ],
        "result": history.result,
    }  # fmt: skip


def _last(course: Course) -> tuple[int, float | None]:
    if not course.points:
        return course.life.generation, None
    last = course.points[-1]
    return last.generation, finite_or_none(last.fitness) if not math.isnan(last.fitness) else None
