"""A journal's lines as rows of MLflow's metrics: pure, but for the sums that it keeps."""

import math
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from egan.schedule import Schedule
from fitness.scores import OBJECTIVES
from populations.lineage import Lineage
from populations.selection import Selection
from runs.config.schema import RunConfig
from runs.store.budgets import Spent
from runs.store.class_values import ClassValues
from runs.store.journal import Entry, Event, Line, Scoring

EVALUATION, SPENT = "evaluation/", "spent/"  # before the names of scorings' metrics
BY_CLASS, REALS = "by_class/", "reals/"  # before those of each class, and of the reals' values
NO_FAULTS = ("worker-joined", "workers-waiting", "rule")  # events that a run need not survive


@dataclass(frozen=True)
class Row:
    """The metrics of one line.

    `cursor` names the kind of line whose progress is kept, `place` is how far this one is: a
    generation's or a scoring's number, and how many events there were, this one included.
    """

    cursor: str
    place: int
    generation: int
    time: float  # seconds since 1970, from the journal, so that no row is logged twice
    metrics: dict[str, float]


class MetricsReader:
    """Turns the lines of one journal, in their order, into rows."""

    def __init__(self, config: RunConfig) -> None:
        self._config = config
        self._selection = config.policy()
        self._lineage = Lineage()
        self._spent = Spent(config)
        self._faults: Counter[str] = Counter()
        self._events = 0

    def row(self, line: Line) -> Row:
        """Return the row of the next line; it may be without metrics."""
        if isinstance(line, Scoring):
            metrics = metrics_of_scoring(line) | spent_metrics(self._spent)
            return Row("scored", line.generation, line.generation, line.time, metrics)
        if isinstance(line, Event):
            self._events += 1
            faults = fault_metrics(line, self._faults)
            return Row("events", self._events, line.generation, line.time, faults)
        self._spent.add(line)
        metrics = metrics_of(line, self._lineage, self._selection, self._config)
        for_the_record = not self._config.choosing and any(s.values for s in line.scores)
        if line.generation % self._config.tracking.every and not for_the_record:
            metrics = {}
        return Row("logged", line.generation, line.generation, line.time, metrics)


def metrics_of(
    entry: Entry, lineage: Lineage, selection: Selection, config: RunConfig
) -> dict[str, float]:
    """Return a generation's metrics, after adding it to the lineage."""
    children = selection.individuals(entry.generation, entry.jobs, entry.scores)
    by_job = {child.job: child for child in children}
    survivors = [by_job[job] for job in entry.survivors]
    lineage.update(children, survivors)
    metrics: dict[str, float] = {}
    operators = [operator.name for operator in config.population.operators]
    for mutation in operators:
        finite = [c for c in children if c.job.operator == mutation and c.score.finite]
        if any(child.score.values for child in finite):  # else they were not scored
            for place, name in enumerate(config.fitness.objectives):
                metrics[f"{name}/{mutation}"] = float(
                    np.mean([child.score.values[place] for child in finite])
                )
            metrics[f"fitness/{mutation}"] = sum(
                weight * metrics[f"{name}/{mutation}"]
                for name, weight in zip(
                    config.fitness.objectives, config.fitness.weights, strict=True
                )
            )
    best = survivors[0]
    for name, value in zip(OBJECTIVES, best.score.values, strict=False):
        metrics[f"survivor/{name}"] = value
    metrics["survivor/child"] = float(best.job.index)
    metrics["failed_children"] = float(sum(not child.score.finite for child in children))
    shares = lineage.shares()
    for mutation in operators:
        metrics[f"share_of_wins/{mutation}"] = shares.get(mutation, 0.0)
    metrics |= {
        key if "/" in key else f"discriminator/{key}": value
        for key, value in entry.training.items()
    }
    metrics |= {f"seconds/{phase}": value for phase, value in entry.seconds.items()}
    reals = config.discriminator.updates * Schedule.counting(config).batch(entry.generation)
    metrics["images_per_second"] = reals / max(entry.seconds["total"], 1e-9)
    return {key: value for key, value in metrics.items() if value is not None}


def fault_metrics(event: Event, totals: Counter[str]) -> dict[str, float]:
    """Return how often an event's fault was survived so far, and at what cost; else nothing."""
    if event.kind in NO_FAULTS:
        return {}
    name = f"faults/{event.kind.replace('-', '_')}"
    costs = {key: event.details[key] for key in ("seconds", "bytes") if key in event.details}
    amounts = {name: 1} | {f"{name}_{key}": cost for key, cost in costs.items()}
    totals.update(amounts)
    return {key: float(totals[key]) for key in sorted(amounts)}


def metrics_of_scoring(scoring: Scoring) -> dict[str, float]:
    """Return a scoring's metrics: the averaged generator's, and each survivor's if scored."""
    metrics = {f"{EVALUATION}{name}": value for name, value in scoring.values.items()}
    for place, values in enumerate(scoring.survivors):
        metrics |= {f"evaluation/parent{place}/{name}": value for name, value in values.items()}
    return metrics | metrics_of_classes(scoring.classes)


def metrics_of_classes(values: Mapping[str, ClassValues]) -> dict[str, float]:
    """Return the metrics of each class, and the values that reals have in the samples' place."""
    metrics = {f"{REALS}{metric}": of.reals for metric, of in values.items()}
    for metric, of in values.items():
        for name, (value, reals) in of.classes.items():
            metrics[f"{BY_CLASS}{metric}/{plain(name)}"] = value
            metrics[f"{REALS}{metric}/{plain(name)}"] = reals
    return metrics


def classes_of_metrics(metrics: Mapping[str, float]) -> dict[str, ClassValues]:
    """Return the values by class that `metrics_of_classes` named; NaN: older runs lack the reals'.

    The names of classes are as `plain` leaves them.
    """
    found: dict[str, dict[str, tuple[float, float]]] = {}
    for key, value in metrics.items():
        if key.startswith(BY_CLASS):
            metric, _, name = key.removeprefix(BY_CLASS).partition("/")
            reals = metrics.get(f"{REALS}{metric}/{name}", math.nan)
            found.setdefault(metric, {})[name] = (value, reals)
    return {
        metric: ClassValues(metrics.get(f"{REALS}{metric}", math.nan), classes)
        for metric, classes in found.items()
    }


def plain(name: str) -> str:
    """Return a name in characters that MLflow takes."""
    return re.sub(r"[^\w.\- ]", "_", name, flags=re.ASCII)


def spent_metrics(spent: Spent) -> dict[str, float]:
    """Return what a run has spent by a scoring, so that quality can be read against its price."""
    return {f"{SPENT}{axis}": value for axis, value in spent.values().items()}
