"""The record of a tournament for a comparison: its cost includes ended islands and judgements."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import accumulate

from runs.config.schema import RunConfig
from runs.store.budgets import AXES, cost, seconds_of
from runs.store.journal import Entry, read_journal
from runs.study.records import Point, Record
from runs.tournament.history import Course, History, read_history
from runs.tournament.islands import TournamentFolder, config_of


@dataclass(frozen=True)
class _Life:
    """A life, its config, and how long it had evolved when a generation was reached."""

    course: Course
    config: RunConfig
    seconds: dict[int, float]


def with_course(record: Record, folder: TournamentFolder) -> Record:
    """Return a record with the scorings of a tournament: of the best island after each round.

    The last one is that of the winner.
    """
    history = read_history(folder)
    lives = [_life(folder, history, course) for course in history.courses]
    points = list(_points(history, lives))
    if history.result is not None and history.result["metrics"]:
        metrics = {
            name: float("nan") if value is None else value
            for name, value in history.result["metrics"].items()
        }
        last = len(history.lines) - 1
        points.append(Point(history.result["generation"], _spent(history, lives, last), metrics))
    picture = folder.samples if folder.samples.is_file() else None
    winner = None if history.result is None else folder.path / history.result["winner"]
    return replace(record, points=tuple(points), picture=picture, folder=winner)


def _life(folder: TournamentFolder, history: History, course: Course) -> _Life:
    config = config_of(history.tournament, history.plan, course.life)
    entries: dict[int, float] = {}
    for line in read_journal(folder.life(course.life.name).journal):
        if isinstance(line, Entry):
            entries.setdefault(line.generation + 1, seconds_of(line.seconds))
    totals = dict(zip(entries, accumulate(entries.values()), strict=True))
    return _Life(course, config, totals)


def _points(history: History, lives: list[_Life]) -> Iterator[Point]:
    for line in history.lines[:-1]:  # the last round's best is judged once more, and may not win
        if line.metrics:
            first = line.decided["ranking"][0]
            spent = _spent(history, lives, line.round)
            yield Point(line.table[first].generation, spent, line.metrics)


def _spent(history: History, lives: list[_Life], number: int) -> dict[str, float]:
    """Return what all islands had spent after a round, on every axis.

    Judgements count as steps of generators, one for each batch of samples.
    """
    spent: dict[str, float] = dict.fromkeys(AXES, 0.0)
    for life in lives:
        done = [point for point in life.course.points if point.round <= number]
        if not done:
            continue
        end, born = done[-1].generation, life.course.life.generation
        after, before = cost(life.config, end), cost(life.config, born)
        for axis, amount in after.items():
            spent[axis] += amount - before[axis]
        spent["seconds"] += life.seconds.get(end, 0.0)
    judged = sum(len(line.table) for line in history.lines[: number + 1])
    charge = judged * history.plan.judgement
    if number == len(history.plan.rounds) - 1:
        charge += history.plan.verdict
    spent["generator_steps"] += charge
    return spent | {"steps": float(history.lines[number].spent)}
