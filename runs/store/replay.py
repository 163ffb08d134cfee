"""A run so far: what its newest sound snapshot and its journal say about where to go on."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from populations.executors.base import Origin, Survivors
from populations.lineage import Lineage
from populations.selection import Selection
from runs.common.errors import ConfigError
from runs.common.formats import FORMAT, format_of
from runs.common.hints import hint
from runs.store.folder import RunFolder
from runs.store.identity import changed, identity_in
from runs.store.journal import Damage, Entry, Event, Line, Scoring, read_head, read_journal
from runs.store.snapshots import newest, snapshots


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
    """Return a run's past, with notes on what was damaged and passed over.

    Raises:
        ConfigError: the config decides another result than when the run began, or the journal is of
            another run.
    """
    run = _checked_run(folder) if folder.config.is_file() else None
    past = _walk(folder, run)
    if not (past.scorings and past.scorings[-1].best and past.scored == past.end):
        return past
    best, _, _ = newest(folder.best, run)
    if best is not None and best.generation == past.end:
        return past
    # The process was killed just before it kept the best: scored again at once, it is kept.
    note = f"generation {past.end} is scored again, for its snapshot was not kept"
    return replace(past, scorings=past.scorings[:-1], notes=(*past.notes, note))


def read_origin(folder: RunFolder) -> Origin:
    """Return from where the population is made again when every replica was lost."""
    return _walk(folder, folder.run).origin


def _walk(folder: RunFolder, run: str | None) -> Past:
    """Read the newest sound snapshot of a run and the journal from it on."""
    found = [*snapshots(folder.snapshots), *snapshots(folder.origin)]
    lines = _lines_from(folder, min((each.generation for each in found), default=0))
    checksums: dict[int, str] = {}
    for line in lines:
        if isinstance(line, Entry):
            checksums.setdefault(line.generation, line.checksum)
    exported, checksum, passed_over = newest(folder.snapshots, run, checksums)
    if exported is None:
        exported, checksum, more = newest(folder.origin, run, checksums)
        passed_over += more
    if exported is None:
        lines = _lines_from(folder, 0)
    notes = [f"passed over {s.path.name}: {reason}" for s, reason in passed_over]
    end = 0 if exported is None else exported.generation
    history: list[Survivors] = []
    scorings: list[Scoring] = []
    beyond = 0
    for item in lines:
        if isinstance(item, Damage):
            notes.append(f"passed over line {item.line} of {folder.journal.name}: {item.reason}")
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


def _lines_from(folder: RunFolder, generation: int) -> list[Entry | Scoring | Damage]:
    """Return a journal's generations from one on, all its scorings, and what is damaged."""
    return [
        line
        for line in read_journal(folder.journal)
        if isinstance(line, Scoring | Damage)
        or (isinstance(line, Entry) and line.generation >= generation)
    ]


def _checked_run(folder: RunFolder) -> str | None:
    """Return a run's id, if it has one; refuse a journal or a config that is not the run's.

    Raises:
        ConfigError: see `read_past`.
    """
    config, identity = folder.load()
    if identity is None:
        return None
    head = read_head(folder.journal)
    format_of(head, folder.journal)  # first: another format may say more than this one knows
    written = identity_in(head)
    if written is not None and written.run != identity.run:
        raise ConfigError(
            f"{folder.journal} is of another run ({written.run[:8]}) than {folder.config.name} "
            f"({identity.run[:8]}): put the run's own journal back"
        )
    if keys := changed(identity, config):
        raise ConfigError(
            f"{folder.config} was changed since the run began, in what decides its result: "
            f"{', '.join(keys)}. Put the values back. To go on with other values, begin a new run "
            f"from this one's state: {hint('train', **{'from': folder.path})} --set KEY=VALUE"
        )
    return identity.run


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
