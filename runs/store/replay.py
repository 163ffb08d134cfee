"""A run so far: what its newest sound snapshot and its journal say about where to go on."""

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from populations.executors.base import Origin, Survivors, WorkerLost
from populations.lineage import Lineage
from populations.selection import Selection
from runs.common.formats import FORMAT
from runs.config.evaluation import EvaluationConfig
from runs.store.folder import RunFolder
from runs.store.journal import Damage, Entry, Event, Line, Scoring, read_head, read_journal
from runs.store.snapshots import newest


@dataclass(frozen=True)
class Past:
    """A run so far: where to replay from, and up to which generation its journal is whole."""

    origin: Origin
    end: int
    checksum: str = ""  # of the state that the last step of the replay starts from
    notes: tuple[str, ...] = ()
    scorings: tuple[Scoring, ...] = ()  # those whose consequences are in the state at the end
    rollback: int | None = None  # the end, where a rollback there is to be made again
    remade: bool = False  # snapshots after the end are of a course that is made again
    outdated: bool = False  # the journal is of an older format

    @property
    def scored(self) -> int:
        """The generation of the last scoring that counts; -1: there is none."""
        return self.scorings[-1].generation if self.scorings else -1


def read_past(folder: RunFolder, evaluation: EvaluationConfig | None = None) -> Past:
    """Return a run's past, with notes on what was damaged and passed over.

    Where rollbacks decide the result, so do all scorings and the best snapshot: if one of them is
    lost, the past ends there, and the run makes it again.
    """
    past = _walk(folder)
    evaluation = evaluation or EvaluationConfig()
    if not past.scorings and not evaluation.rolls_back:
        return past
    best, _, _ = newest(folder.best)
    kept = -1 if best is None else best.generation
    past = replace(past, remade=evaluation.rolls_back and kept > past.scored)
    while (lost := _first_lost(past, evaluation, kept)) is not None:
        was_best = any(s.best for s in past.scorings if s.generation == lost)
        past = _walk(folder, lost)
        note = f"what was scored at generation {lost} is lost; the run goes on from {past.end}"
        past = replace(past, notes=(*past.notes, note), remade=True)
        if was_best and past.end == lost:
            break  # scored again at once, it is the best again
    return past


def read_origin(folder: RunFolder) -> Origin:
    """Return from where the population is made again when every replica was lost.

    Raises:
        WorkerLost: a rollback lies between, which only a resumed run makes again.
    """
    past = _walk(folder)
    if past.rollback is not None:
        raise WorkerLost(
            f"every worker was lost, and the snapshot of the rollback at generation "
            f"{past.rollback} cannot be read; `resume` goes on from before it"
        )
    return past.origin


def _walk(folder: RunFolder, limit: int = sys.maxsize) -> Past:
    """Read the newest sound snapshot and the journal from it on, up to generation `limit`."""
    exported, checksum, passed_over = newest(folder.snapshots, at_most=limit)
    notes = [f"passed over {s.path.name}: {reason}" for s, reason in passed_over]
    end = start = 0 if exported is None else exported.generation
    history: list[Survivors] = []
    scorings: list[Scoring] = []
    rollback = None
    beyond = 0
    for item in read_journal(folder.journal):
        if isinstance(item, Damage):
            notes.append(f"passed over line {item.line} of {folder.journal.name}: {item.reason}")
        elif isinstance(item, Event):
            continue
        elif isinstance(item, Scoring):
            scored = scorings[-1].generation if scorings else -1
            if rollback is not None or item.generation >= limit:
                continue
            if item.action == "rollback" and item.generation == end > start:
                rollback = end  # a snapshot at `start` itself is of the state after its rollback
                notes.append(f"the rollback at generation {end} is made again")
            elif scored < item.generation <= end:
                scorings.append(item)
        elif item.generation == end and end < limit and rollback is None:
            history.append(item.survivors)
            checksum = item.checksum
            end += 1
        elif item.generation >= end:
            beyond += 1
    if beyond:
        notes.append(f"{beyond} generations after {end} are made again, for one before is missing")
    origin = Origin(exported, tuple(history))
    outdated = read_head(folder.journal).get("format") != FORMAT
    return Past(origin, end, checksum, tuple(notes), tuple(scorings), rollback, outdated=outdated)


def _first_lost(past: Past, evaluation: EvaluationConfig, kept: int) -> int | None:
    """Return the first scoring that must be made again, if any; `kept` is in the best snapshot."""
    best = max((s.generation for s in past.scorings if s.best), default=None)
    if not evaluation.rolls_back:  # only a process killed just before it kept the best costs little
        return best if best == past.end != kept else None
    known = {scoring.generation for scoring in past.scorings}
    missing = (g for g in range(past.end) if evaluation.scores(g) and g not in known)
    return next(missing, best if best != kept else None)


def past_lines(folder: RunFolder, end: int, scored: int = -1) -> Iterator[Line]:
    """Yield the sound lines, each once: what is before `end`, scorings up to `scored`."""
    last_entry = last_scoring = -1
    for item in read_journal(folder.journal):
        if isinstance(item, Entry) and last_entry < item.generation < end:
            last_entry = item.generation
            yield item
        elif isinstance(item, Scoring) and last_scoring < item.generation <= scored:
            last_scoring = item.generation
            yield item
        elif isinstance(item, Event) and item.generation <= end:
            yield item


def replay_lineage(lineage: Lineage, selection: Selection, lines: Iterable[Line]) -> None:
    """Feed journalled generations to a lineage."""
    for entry in lines:
        if not isinstance(entry, Entry):
            continue
        children = selection.individuals(entry.generation, entry.jobs, entry.scores)
        by_job = {child.job: child for child in children}
        lineage.update(children, [by_job[job] for job in entry.survivors])
