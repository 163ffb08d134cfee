"""A run so far: what its newest sound snapshot and its journal say about where to go on."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from egan.replica import ExportedState
from populations.executors.base import Origin, Survivors
from runs.common.errors import ConfigError
from runs.common.formats import FORMAT, format_of
from runs.common.hints import hint
from runs.store.folder import RunFolder
from runs.store.identity import changed, identity_in
from runs.store.index import Index, Stage
from runs.store.journal import Damage, Entry, Event, Line, Scoring, read_head, read_journal
from runs.store.snapshots import Snapshot, newest, snapshots


@dataclass(frozen=True)
class Past:
    """A run so far: where to replay from, and up to which generation its journal is whole."""

    origin: Origin
    end: int
    checksum: str = ""  # of the state that the last step of the replay starts from
    notes: tuple[str, ...] = ()
    scorings: tuple[Scoring, ...] = ()  # of the states up to the end
    outdated: bool = False  # the journal is of an older format
    index: Index | None = None  # of the journal
    lossy: bool = False  # the journal has lines that cannot be used

    @property
    def scored(self) -> int:
        """The generation of the last scoring; -1: there is none."""
        return self.scorings[-1].generation if self.scorings else -1

    @property
    def rollback(self) -> int | None:
        """The generation at which an old version rolled the run back in place, if one did."""
        found = (s.generation for s in self.scorings if s.action == "rollback")
        return next(found, None)


def read_past(folder: RunFolder, progress: Stage | None = None) -> Past:
    """Return a run's past, with notes on what was damaged and passed over.

    `progress` is told how far the reading of a long journal is.

    Raises:
        ConfigError: the config decides another result than when the run began, or the journal is of
            another run.
    """
    run = _checked_run(folder) if folder.config.is_file() else None
    past = _walk(folder, run, folder.read_index(progress))
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
    return _walk(folder, folder.run, folder.read_index()).origin


def _walk(folder: RunFolder, run: str | None, index: Index) -> Past:
    """Read the newest sound snapshot of a run and the journal from it on."""
    exported, checksum, passed_over = _newest(folder, run, index)
    notes = [f"passed over {s.path.name}: {reason}" for s, reason in passed_over]
    end = 0 if exported is None else exported.generation
    history: list[Survivors] = []
    beyond = 0
    for item in index.lines_from(end):
        if not isinstance(item, Entry) or item.generation < end:
            continue
        if item.generation == end:
            history.append(item.survivors)
            checksum = item.checksum
            end += 1
        else:
            beyond += 1
    if index.damage is not None:
        notes.append(_passed_over(folder.journal.name, index.damaged, index.damage))
    if beyond:
        notes.append(f"{beyond} generations after {end} are made again, for one before is missing")
    outdated = read_head(folder.journal).get("format") != FORMAT
    return Past(
        Origin(exported, tuple(history)),
        end,
        checksum,
        tuple(notes),
        tuple(_scorings(index, end)),
        outdated,
        index,
        lossy=bool(index.damage or beyond),
    )


def _newest(
    folder: RunFolder, run: str | None, index: Index
) -> tuple[ExportedState | None, str, list[tuple[Snapshot, str]]]:
    """Return the newest sound state, of a fork also the one that it began with: see `newest`."""
    passed_over = []
    for part in (folder.snapshots, folder.origin):
        entries = [index.entry(each.generation) for each in snapshots(part)]
        checksums = {entry.generation: entry.checksum for entry in entries if entry}
        exported, checksum, reasons = newest(part, run, checksums)
        passed_over += reasons
        if exported is not None:
            return exported, checksum, passed_over
    return None, "", passed_over


def _passed_over(journal: str, count: int, first: Damage) -> str:
    """Return the note on lines that cannot be read."""
    if count == 1:
        return f"passed over line {first.line} of {journal}: {first.reason}"
    return f"passed over {count} lines of {journal}, the first is line {first.line}: {first.reason}"


def _scorings(index: Index, end: int) -> Iterator[Scoring]:
    """Yield the scorings of the states up to a generation's, each once."""
    last = -1
    for item in index.others():
        if isinstance(item, Scoring) and last < item.generation <= end:
            last = item.generation
            yield item


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
            "from this one's state: " + hint("train", **{"from": folder.path, "set": "KEY=VALUE"})
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
