"""A run so far: what its newest sound snapshot and its journal say about where to go on."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from populations.executors.base import Origin, Survivors
from populations.lineage import Lineage
from populations.selection import Selection
from runs.checkpoint import newest
from runs.folder import RunFolder
from runs.journal import Damage, Entry, Scoring, read_journal


@dataclass(frozen=True)
class Past:
    """A run so far: where to replay from, and up to which generation its journal is whole."""

    origin: Origin
    end: int
    checksum: str = ""  # of the state that the last step of the replay starts from
    notes: tuple[str, ...] = ()


def read_past(folder: RunFolder) -> Past:
    """Return a run's past, with notes on what was damaged and passed over."""
    exported, checksum, passed_over = newest(folder.snapshots)
    notes = [f"passed over {s.path.name}: {reason}" for s, reason in passed_over]
    end = start = 0 if exported is None else exported.generation
    history: list[Survivors] = []
    beyond = 0
    for item in read_journal(folder.journal):
        if isinstance(item, Damage):
            notes.append(f"passed over line {item.line} of {folder.journal.name}: {item.reason}")
        elif isinstance(item, Scoring):
            if item.action == "rollback" and item.generation == end > start:
                break  # not to be replayed, but found again by scoring the same state
        elif item.generation == end:
            history.append(item.survivors)
            checksum = item.checksum
            end += 1
        elif item.generation > end:
            beyond += 1
    if beyond:
        notes.append(f"{beyond} generations after {end} are made again, for one before is missing")
    return Past(Origin(exported, tuple(history)), end, checksum, tuple(notes))


def past_lines(folder: RunFolder, end: int) -> Iterator[Entry | Scoring]:
    """Yield the journal's sound lines before generation `end`, each generation once."""
    last_entry = last_scoring = -1
    for item in read_journal(folder.journal):
        if isinstance(item, Entry) and last_entry < item.generation < end:
            last_entry = item.generation
            yield item
        elif isinstance(item, Scoring) and last_scoring < item.generation < end:
            last_scoring = item.generation
            yield item


def replay_lineage(
    lineage: Lineage, selection: Selection, lines: Iterable[Entry | Scoring]
) -> None:
    """Feed journalled generations to a lineage."""
    for entry in lines:
        if isinstance(entry, Scoring):
            continue
        children = selection.individuals(entry.generation, entry.jobs, entry.scores)
        by_job = {child.job: child for child in children}
        lineage.update(children, [by_job[job] for job in entry.survivors])


def read_origin(folder: RunFolder) -> Origin:
    """Return from where the population is made again when every replica was lost."""
    return read_past(folder).origin
