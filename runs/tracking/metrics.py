"""A journal's lines as rows of MLflow's metrics: pure, but for the sums that it keeps."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from egan.schedule import Schedule
from fitness.scores import OBJECTIVES
from populations.lineage import Lineage
from populations.selection import Selection, build_selection
from runs.config.schema import RunConfig
from runs.store.budgets import Spent
from runs.store.journal import Afterword, Entry, Line, Scoring

EVALUATION, SPENT = "evaluation/", "spent/"  # before the names of scorings' metrics
NO_FAULTS = ("worker-joined", "workers-waiting")  # events that a run need not survive


@dataclass(frozen=True)
class Row:
    """The metrics of one line; `cursor` names the kind of line whose progress is kept."""

    cursor: str
    generation: int
    time: float  # seconds since 1970, from the journal, so that no row is logged twice
    metrics: dict[str, float]


class MetricsReader:
    """Turns the lines of one journal, in their order, into rows."""

    def __init__(self, config: RunConfig) -> None:
        self._config = config
        self._selection = build_selection(
            config.selection, config.population.survivors, config.fitness.weights
        )
        self._lineage = Lineage()
        self._spent = Spent(config)
        self._faults: Counter[str] = Counter()

    def row(self, line: Line) -> Row:
        """Return the row of the next line; it may be without metrics."""
        if isinstance(line, Scoring):
            metrics = metrics_of_scoring(line) | spent_metrics(self._spent)
            return Row("scored", line.generation, line.time, metrics)
        faults = fault_metrics(line.events, self._faults)
        if isinstance(line, Afterword):
            return Row("after", line.generation, line.time, faults)
        self._spent.add(line)
        metrics = metrics_of(line, self._lineage, self._selection, self._config)
        if line.generation % self._config.tracking.every:
            metrics = {}
        return Row("logged", line.generation, line.time, metrics | faults)


def metrics_of(
    entry: Entry, lineage: Lineage, selection: Selection, config: RunConfig
) -> dict[str, float]:
    """Return a generation's metrics, after adding it to the lineage."""
    children = selection.individuals(entry.generation, entry.jobs, entry.scores)
    by_job = {child.job: child for child in children}
    survivors = [by_job[job] for job in entry.survivors]
    lineage.update(children, survivors)
    metrics: dict[str, float] = {}
    for mutation in config.population.mutations:
        finite = [c for c in children if c.job.operator == mutation and c.score.finite]
        if finite:
            for place, name in enumerate(OBJECTIVES):
                metrics[f"{name}/{mutation}"] = float(
                    np.mean([child.score.values[place] for child in finite])
                )
            quality, diversity = metrics[f"quality/{mutation}"], metrics[f"diversity/{mutation}"]
            metrics[f"fitness/{mutation}"] = quality + config.fitness.gamma * diversity
    best = survivors[0]
    for name, value in zip(OBJECTIVES, best.score.values, strict=True):
        metrics[f"survivor/{name}"] = value
    metrics["survivor/child"] = float(best.job.index)
    metrics["failed_children"] = float(sum(not child.score.finite for child in children))
    shares = lineage.shares()
    for mutation in config.population.mutations:
        metrics[f"share_of_wins/{mutation}"] = shares.get(mutation, 0.0)
    metrics |= {f"discriminator/{key}": value for key, value in entry.training.items()}
    metrics |= {f"seconds/{phase}": value for phase, value in entry.seconds.items()}
    reals = config.discriminator.updates * Schedule.counting(config).batch(entry.generation)
    metrics["images_per_second"] = reals / max(entry.seconds["total"], 1e-9)
    return {key: value for key, value in metrics.items() if value is not None}


def fault_metrics(events: Iterable[dict[str, Any]], totals: Counter[str]) -> dict[str, float]:
    """Return how often each fault among these events was survived so far, and at what cost."""
    changed: set[str] = set()
    for event in events:
        kind = str(event.get("event"))
        if kind in NO_FAULTS:
            continue
        name = f"faults/{kind.replace('-', '_')}"
        amounts = {name: 1} | {f"{name}_{c}": event[c] for c in ("seconds", "bytes") if c in event}
        totals.update(amounts)
        changed |= amounts.keys()
    return {name: float(totals[name]) for name in sorted(changed)}


def metrics_of_scoring(scoring: Scoring) -> dict[str, float]:
    """Return a scoring's metrics: the averaged generator's, and each survivor's if scored."""
    metrics = {f"{EVALUATION}{name}": value for name, value in scoring.values.items()}
    for place, values in enumerate(scoring.survivors):
        metrics |= {f"evaluation/parent{place}/{name}": value for name, value in values.items()}
    return metrics


def spent_metrics(spent: Spent) -> dict[str, float]:
    """Return what a run has spent by a scoring, so that quality can be read against its price."""
    return {f"{SPENT}{axis}": value for axis, value in spent.values().items()}
