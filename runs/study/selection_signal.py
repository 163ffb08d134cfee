"""Selection's own signal: would the same child win if fitness were estimated on other draws?

A child's fitness is estimated on one batch of noise and one of reals. At a run's snapshots its
children are made again, as they were, and judged on other draws; the spread between them against
the noise says whether selection can tell them apart. Nothing of the run is changed.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from operator import mul
from pathlib import Path
from typing import Any

import numpy as np

from egan.data import open_source
from egan.determinism import prepare_device
from egan.engine import Child, Engine
from egan.mutations import resolve
from egan.replica import import_state
from egan.state import EvolutionState
from egan.streams import Purpose
from populations.individual import Job
from populations.seeding import seed_sequence
from populations.selection import build_selection
from runs.config.schema import RunConfig
from runs.store.folder import RunFolder
from runs.store.journal import Entry, read_journal
from runs.store.snapshots import SnapshotError, read_snapshot, snapshots
from runs.study.statistics import Signal, signal_of


@dataclass(frozen=True)
class GenerationSignal:
    """The signal in one generation of a run.

    Attributes:
        generation: which one.
        signal: of all its children.
        won: in what share of the draws the child won that the run let survive; None where the run
            had no choice, or the generation is not in its journal.
    """

    generation: int
    signal: Signal
    won: float | None


def selection_signal(run_dir: str | Path, draws: int = 16) -> list[GenerationSignal]:
    """Return the signal at each of a run's regular snapshots, oldest first.

    All mutations of all parents are made, as under the policy `egan`, whatever the run's own.

    Args:
        run_dir: the run's folder.
        draws: how many other evaluation draws the children are judged on.

    Raises:
        ConfigError: there is no such run, or its data cannot be read.
    """
    folder = RunFolder.open(run_dir)
    config = folder.load_config()
    if config.population.children < 2:
        return []
    survivors = _survivors(folder)
    judges = Judges(config, draws)
    found = []
    for state in _states(folder, config, judges):
        jobs = _every_job(config)
        children = judges.own.vary(state, jobs)
        fitness = judges.fitness(state, children)  # (R, C)
        signal = signal_of(fitness)
        if signal is None:
            continue
        known = survivors.get(state.generation) if config.choosing else None
        won = None
        if known is not None and known in jobs:
            won = float((np.nan_to_num(fitness, nan=-np.inf).argmax(1) == jobs.index(known)).mean())
        found.append(GenerationSignal(state.generation, signal, won))
    return found


class Judges:
    """A run's engine, and others that differ in nothing but the draws they evaluate on."""

    def __init__(self, config: RunConfig, draws: int) -> None:
        source = open_source(config.data)
        mutations = {name: resolve(name) for name in config.population.mutations}
        device = prepare_device("cpu", config.execution.threads)
        self.own = Engine(config, source, mutations, device)
        self._weights = config.fitness.weights
        self._others = [
            Engine(config.model_copy(update={"seed": seed}), source, mutations, device)
            for seed in other_seeds(config.seed, draws)
        ]

    def fitness(self, state: EvolutionState, children: list[Child]) -> np.ndarray:
        """Return F, the weighted sum of the objectives, of the children on each draw, (R, C)."""
        rows = []
        for judge in self._others:
            scores = judge.evaluate(state, children)
            values = (scores[child.job.index].values for child in children)
            rows.append([sum(map(mul, self._weights, objectives)) for objectives in values])
        return np.array(rows)


def other_seeds(seed: int, count: int) -> list[int]:
    """Return seeds of evaluation draws that are no run's: a stream of the run's seed."""
    words = seed_sequence(seed, 0, Purpose.EVALUATION_NOISE, 1, 1).generate_state(count, np.uint64)
    return [int(word >> np.uint64(1)) for word in words]


def _every_job(config: RunConfig) -> list[Job]:
    everything = config.selection.model_copy(update={"name": "egan"})
    selection = build_selection(everything, config.population.survivors, config.fitness.weights)
    return selection.propose(config.population.operators, config.seed, 0)


def _states(folder: RunFolder, config: RunConfig, judges: Judges) -> Iterator[EvolutionState]:
    """Yield the states of the regular snapshots that verify; one that a stop left is passed over.

    So a run that was interrupted tells the same as one that was not.
    """
    run = folder.run
    for snapshot in reversed(snapshots(folder.snapshots)):
        regular = snapshot.generation % config.checkpoint.every == 0
        if not regular and snapshot.generation != config.generations:
            continue
        try:
            exported, _ = read_snapshot(snapshot, run)
        except SnapshotError:
            continue
        yield import_state(exported, judges.own.device)


def _survivors(folder: RunFolder) -> Mapping[int, Job]:
    """Return the best survivor of every generation in the journal."""
    entries = (item for item in read_journal(folder.journal) if isinstance(item, Entry))
    return {entry.generation: entry.survivors[0] for entry in entries}


def signal_json(signals: list[GenerationSignal]) -> list[dict[str, Any]]:
    """Return signals as JSON values."""
    return [
        {
            "generation": found.generation,
            "spread": found.signal.spread,
            "noise": found.signal.noise,
            "ratio": found.signal.ratio if np.isfinite(found.signal.ratio) else None,
            "agreement": found.signal.agreement,
            "chance": found.signal.chance,
            "won_again": found.won,
        }
        for found in signals
    ]
