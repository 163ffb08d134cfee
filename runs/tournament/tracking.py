"""A tournament's history as rows for MLflow: a run for each island, curves for the parent."""

import math
from collections.abc import Iterator

from runs.tournament.decisions import Life, name_of
from runs.tournament.history import Course, History
from runs.tracking.metrics import EVALUATION
from runs.tracking.study_logger import Curves
from runs.tracking.tournament_logger import IslandRows


def island_rows(history: History) -> list[IslandRows]:
    """Return the rows for MLflow of each island: genes, fitness, ancestry, over its lives."""
    lives = {course.life.key: course.life for course in history.courses}
    return [
        IslandRows(
            f"island {island:02d}",
            {key: str(value) for key, value in own[0].life.genes.items()},
            {
                "ancestry": " < ".join(_ancestry(own[-1].life, lives)),
                "root": f"{own[-1].root:02d}",
                "state": own[-1].state,
            },
            [row for course in own for row in _rows(course)],
        )
        for island in range(history.tournament.config.count)
        if (own := [course for course in history.courses if course.life.island == island])
    ]


def _ancestry(life: Life, lives: dict[tuple[int, int], Life]) -> Iterator[str]:
    """Yield the names of a life and of those that its state goes back to."""
    yield life.name
    while life.parent is not None:
        yield name_of(life.parent)
        life = lives[life.parent]


def _rows(course: Course) -> Iterator[tuple[str, float, int, int]]:
    for point in course.points:
        values = {"fitness": point.fitness, "generation": float(point.generation)}
        values |= {
            f"gene/{key}": float(value)
            for key, value in course.life.genes.items()
            if isinstance(value, int | float)
        }
        for name, value in values.items():
            if math.isfinite(value):
                yield name, value, point.spent, point.round


def parent_curves(history: History) -> Curves:
    """Return the parent's curves: the best fitness, and the metrics of the best island."""
    best = [(line.spent, line.table[line.decided["ranking"][0]].fitness) for line in history.lines]
    curves = {"fitness": [(step, value) for step, value in best if math.isfinite(value)]}
    for line in history.lines:
        for name, value in line.metrics.items():
            if math.isfinite(value):
                curves.setdefault(f"{EVALUATION}{name}", []).append((line.spent, value))
    return curves
