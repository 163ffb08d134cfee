"""A run so far: what its newest sound snapshot and its journal say about where to go on."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from populations.executors.base import Origin, Survivors
from populations.lineage import Lineage
from populations.selection import Selection
from runs.common.formats import FORMAT
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
    scorings: tuple[Scoring, ...] = ()  # of the states up to the end
    outdated: bool = False  # the journal is of an older format

    @property
    def scored(self) -> int:
        """The generation of the last scoring; -1: there is none."""
        return self.scorings[-1].generation if self.scorings else -1

    @property
    def rollback(self) -> int | None:
        """The generation at which an old version rolled the run back in place, if one did."""
        found = (s.generation for s in self.scorings if s.action == "rollback")
        return next(found, None)


def read_past(folder: RunFolder) -> Past:
    """Return a run's past, with notes on what was damaged and passed over."""
    past = _walk(folder)
    if not (past.scorings and past.scorings[-1].best and past.scored == past.end):
        return past
    best, _, _ = newest(folder.best)
    if best is not None and best.generation == past.end:
        return past
    # The process was killed just before it kept the best: scored again at once, it is kept.
    note = f"generation {past.end} is scored again, for its snapshot was not kept"
    return replace(past, scorings=past.scorings[:-1], notes=(*past.notes, note))


def read_origin(folder: RunFolder) -> Origin:
    """Return from where the population is made again when every replica was lost."""
    return _walk(folder).origin


def _walk(folder: RunFolder) -> Past:
    """Read the newest sound snapshot and the journal from it on."""
    exported, checksum, passed_over = newest(folder.snapshots)
    if exported is None:
        exported, checksum, more = newest(folder.origin)
        passed_over += more
    notes = [f"passed over {s.path.name}: {reason}" for s, reason in passed_over]
    end = 0 if exported is None else exported.generation
    history: list[Survivors] = []
    scorings: list[Scoring] = []
    beyond = 0
    for item in read_journal(folder.journal):
        if isinstance(item, Damage):
            notes.append(f"passed over line {item.line} of {folder.journal.name}: {item.reason}")
        elif isinstance(item, Event):
            continue
        elif isinstance(item, Scoring):
            scored = scorings[-1].generation if scorings else -1
            if scored < item.generation <= end:
                scorings.append(item)
        elif item.generation == end:
            history.append(item.survivors)
            checksum = item.checksum
            end += 1
        elif item.generation > end:
            beyond += 1
    if beyond:
        notes.append(f"{beyond} generations after {end} are made again, for one before is missing")
    outdated = read_head(folder.journal).get("format") != FORMAT
    origin = Origin(exported, tuple(history))
    return Past(origin, end, checksum, tuple(notes), tuple(scorings), outdated)


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
