"""The records of runs for a comparison, from their folders or from MLflow's store."""

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from fitness.scores import USUAL
from populations.selection import all_jobs, parent_of
from runs.common.files import read_json, write_json
from runs.common.formats import STAMP, format_of, upgraded
from runs.config.schema import RunConfig
from runs.store.budgets import AXES, Spent
from runs.store.class_values import ClassValues
from runs.store.folder import RunFolder
from runs.store.journal import Entry, Scoring, read_journal
from runs.tracking.metrics import BY_CLASS, EVALUATION, REALS, SPENT, classes_of_metrics
from runs.tracking.query import StoredRun

OUTCOME = "outcome.json"
CHILDREN = 1000  # children of a run that are kept for the picture; the front is of all
SPANS = 60  # points of a curve of wins
# These end a run by its own fault: the strategy broke, so the result counts as the worst.
OWN_FAULTS = ("NoFiniteChild", "Diverged")
Status = Literal["finished", "failed", "unfinished"]


@dataclass(frozen=True)
class Point:
    """A scoring: what had been spent by then, by axis, and the metrics by full name.

    `classes` are the values by class, of metrics that have any.
    """

    generation: int
    spent: Mapping[str, float]
    values: Mapping[str, float]
    classes: Mapping[str, ClassValues] = field(default_factory=dict)


@dataclass(frozen=True)
class Record:
    """One run of a study: a strategy with a seed.

    Attributes:
        strategy, seed: which run.
        status: how it ended.
        points: its scorings, in order.
        error: why it failed.
        fault: the kind of the error; one of `OWN_FAULTS` is the strategy's own.
        mutations: the names that it may choose among.
        wins: (generations, how often each mutation had survived by then, in that order).
        children: mutation's place, Fq and Fd of children (N, 3); the whole Pareto front among them.
        survivors: of every generation, the survivors as (parent, mutation's place), best first.
        folder: where it lies, if it lies here.
        picture: a picture of its samples, if there is one.
    """

    strategy: str
    seed: int
    status: Status = "unfinished"
    points: tuple[Point, ...] = ()
    error: str | None = None
    fault: str | None = None
    mutations: tuple[str, ...] = ()
    wins: tuple[np.ndarray, np.ndarray] | None = None
    children: np.ndarray = field(default_factory=lambda: np.empty((0, 3)))
    survivors: tuple[tuple[tuple[int, int], ...], ...] = ()
    folder: Path | None = None
    picture: Path | None = None

    @property
    def broke(self) -> bool:
        """Return whether the strategy itself made the run fail."""
        return self.status == "failed" and self.fault in OWN_FAULTS

    def with_picture(self, picture: Path | None) -> "Record":
        """Return the record with a picture of its samples."""
        return replace(self, picture=picture)

    def within(self, amount: float = np.inf, axis: str = "generations") -> Point | None:
        """Return the last scoring within a budget, or None if there is none."""
        inside = [point for point in self.points if point.spent[axis] <= amount * (1 + 1e-9)]
        return inside[-1] if inside else None

    def result(
        self, metric: str, amount: float = np.inf, axis: str = "generations"
    ) -> float | None:
        """Return a metric's value at the last scoring within a budget.

        NaN where the metric is not finite or the strategy broke; None where it is not known: the
        run was not finished, or failed for a reason that is not the strategy's.
        """
        if self.broke:
            return float("nan")
        point = self.within(amount, axis)
        if self.status != "finished" or point is None or metric not in point.values:
            return None
        return point.values[metric]


def read_record(strategy: str, seed: int, path: Path) -> Record:
    """Return the record of a run's folder; of one that never began, that it is not finished."""
    outcome = read_outcome(path)
    record = Record(
        strategy,
        seed,
        outcome.get("status", "unfinished"),
        error=outcome.get("error"),
        fault=outcome.get("fault"),
        folder=path,
    )
    folder = RunFolder(path)
    if not folder.config.is_file():
        return record
    config = folder.load_config()
    pictures = sorted(folder.samples.glob("generation-*.png"))
    return replace(
        _read_journal(record, folder, config), picture=pictures[-1] if pictures else None
    )


def _read_journal(record: Record, folder: RunFolder, config: RunConfig) -> Record:
    mutations = tuple(operator.name for operator in config.population.operators)
    places = {name: place for place, name in enumerate(mutations)}
    grid = all_jobs(config.population.operators, config.population.survivors)
    spent, points = Spent(config), []
    counts, children, survivors = np.zeros(len(mutations)), [], []
    generations, wins = [], []
    for line in journal_lines(folder):
        if isinstance(line, Scoring):
            points.append(Point(line.generation, spent.values(), line.values, line.classes))
            continue
        spent.add(line)
        children += _children(line, places)
        survivors.append(
            tuple((parent_of(job, grid), places[job.operator]) for job in line.survivors)
        )
        for job in line.survivors:
            counts[places[job.operator]] += 1
        generations.append(line.generation)
        wins.append(counts.copy())
    return replace(
        record,
        points=tuple(points),
        mutations=mutations,
        wins=thin_wins(np.array(generations), np.array(wins)),
        children=thin_children(np.array(children).reshape(-1, 3)),
        survivors=tuple(survivors),
    )


def journal_lines(folder: RunFolder) -> Iterator[Entry | Scoring]:
    """Yield the sound lines of a journal, each generation and each scoring once."""
    entry = scoring = -1
    for line in read_journal(folder.journal):
        if isinstance(line, Entry) and line.generation > entry:
            entry = line.generation
            yield line
        elif isinstance(line, Scoring) and line.generation > scoring:
            scoring = line.generation
            yield line


def _children(entry: Entry, places: Mapping[str, int]) -> list[tuple[float, ...]]:
    return [
        (places[job.operator], *score.values[:USUAL])
        for job, score in zip(entry.jobs, entry.scores, strict=True)
        if score.finite and score.values
    ]


def thin_wins(generations: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Return some points of the cumulated wins (G,), (G, M), first and last among them."""
    if not generations.size:
        return None
    kept = np.unique(np.linspace(0, generations.size - 1, SPANS + 1).round().astype(int))
    return generations[kept], counts[kept]


def pareto_front(points: np.ndarray) -> np.ndarray:
    """Return a mask (N,) of the points (N, 2) that no other point beats on both axes."""
    order = np.lexsort((-points[:, 1], -points[:, 0]))  # by the first, then by the second
    highest = np.maximum.accumulate(points[order, 1])
    ahead = np.r_[True, points[order, 1][1:] > highest[:-1]] if len(points) else np.empty(0, bool)
    mask = np.zeros(len(points), bool)
    mask[order] = ahead
    return mask


def thin_children(children: np.ndarray) -> np.ndarray:
    """Return about `CHILDREN` of children (N, 3), a random choice, and all of their Pareto front.

    An even stride would meet the mutations' order and keep one of them more often.
    """
    kept = pareto_front(children[:, 1:])
    kept[np.random.default_rng(0).permutation(len(children))[:CHILDREN]] = True
    thinned: np.ndarray = children[kept]
    return thinned


# ------------------------------------------------------------------------------------------ outcome


def write_outcome(
    path: Path, status: Status, error: str | None = None, fault: str | None = None, **more: Any
) -> None:
    """Write down how a run of a study ended."""
    path.mkdir(parents=True, exist_ok=True)
    outcome = {"status": status, "error": error, "fault": fault, **more}
    write_json(path / OUTCOME, STAMP | outcome)


def read_outcome(path: Path) -> dict[str, Any]:
    """Return how a run ended; empty if it did not end, or the file cannot be read."""
    try:
        value = read_json(path / OUTCOME)
        if not isinstance(value, dict):
            return {}
        value = upgraded("outcome", value, format_of(value, path / OUTCOME))
    except (OSError, ValueError):
        return {}
    return value if value.get("status") else {}


# -------------------------------------------------------------------------------------------- store

STATUSES: dict[str, Status] = {"FINISHED": "finished", "FAILED": "failed"}


def from_store(
    runs: Iterable[StoredRun],
) -> tuple[list[tuple[Record, StoredRun]], list[str]]:
    """Return the records of runs in MLflow's store, one of each strategy and seed.

    Where there are several, the newest finished one counts, else the newest; a sentence for each
    such case says which one that is, and which are left out.
    """
    same: dict[tuple[str, str], list[StoredRun]] = {}
    for run in sorted(runs, key=lambda run: (run.status == "FINISHED", run.started)):
        same.setdefault((run.tags["strategy"], run.tags["seed"]), []).append(run)
    notes = [
        f"{strategy} seed {seed} was run {len(found)} times; {_told(found[-1])} is compared, "
        f"{', '.join(map(_told, found[:-1]))} is left out. Delete those that should not count"
        for (strategy, seed), found in same.items()
        if len(found) > 1
    ]
    return [(_from_store(found[-1]), found[-1]) for found in same.values()], notes


def _told(run: StoredRun) -> str:
    began = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(run.started / 1000))
    return f"run {run.run_id} ({run.status.lower()}, of {began})"


def _from_store(run: StoredRun) -> Record:
    names = run.params.get("population.mutations", "").split(", ")
    crossover = run.params.get("population.crossover", "None")  # of a run of an older version
    mutations = tuple(name for name in (*names, crossover) if name not in ("", "None"))
    return Record(
        run.tags["strategy"],
        int(run.tags["seed"]),
        STATUSES.get(run.status, "unfinished"),
        tuple(_stored_points(run)),
        run.tags.get("error"),
        run.tags.get("fault"),
        mutations,
        _stored_wins(run, mutations),
        _stored_children(run, mutations),
    )


def _stored_points(run: StoredRun) -> Iterator[Point]:
    """Yield the scorings: the generations for which what was spent is known."""
    spent = {axis: dict(run.metrics.get(f"{SPENT}{axis}", ())) for axis in AXES}
    values = {
        key.removeprefix(EVALUATION): dict(rows)
        for key, rows in run.metrics.items()
        if key.startswith(EVALUATION) and not key.startswith(f"{EVALUATION}parent")
    }
    by_class = {
        key: dict(rows) for key, rows in run.metrics.items() if key.startswith((BY_CLASS, REALS))
    }
    for step in sorted(spent["generations"]):
        found = {name: rows[step] for name, rows in values.items() if step in rows}
        if found:
            price: dict[str, float] = {axis: spent[axis].get(step, np.nan) for axis in AXES}
            classes = {key: rows[step] for key, rows in by_class.items() if step in rows}
            yield Point(step, price, found, classes_of_metrics(classes))


def _stored_wins(
    run: StoredRun, mutations: tuple[str, ...]
) -> tuple[np.ndarray, np.ndarray] | None:
    """Return the cumulated wins: a share of all survivors so far, times how many there were."""
    rows = {name: dict(run.metrics.get(f"share_of_wins/{name}", ())) for name in mutations}
    steps = sorted(set().union(*rows.values()))
    counts = [[rows[name].get(step, 0.0) * (step + 1) for name in mutations] for step in steps]
    return thin_wins(np.array(steps), np.array(counts))


def _stored_children(run: StoredRun, mutations: tuple[str, ...]) -> np.ndarray:
    """Return the children that were logged; with several parents, a mutation's mean."""
    children = []
    for place, name in enumerate(mutations):
        quality = dict(run.metrics.get(f"quality/{name}", ()))
        diversity = dict(run.metrics.get(f"diversity/{name}", ()))
        children += [(place, q, diversity[s]) for s, q in quality.items() if s in diversity]
    return thin_children(np.array(children, float).reshape(-1, 3))
