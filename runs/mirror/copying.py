"""From a run's folder to its mirror: after each snapshot, in a thread of its own."""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import IO, Any, Protocol
from uuid import uuid4

from populations.messages import one_line
from runs.common.errors import ConfigError
from runs.common.files import read_json, write_json
from runs.common.hints import hint
from runs.mirror.marks import (
    CONFIG,
    PARTS,
    Piece,
    State,
    check_follows,
    is_wanted,
    newest_generation,
    next_mark,
    obsolete,
)
from runs.mirror.objects import Store
from runs.store.folder import RunFolder
from runs.store.snapshots import MANIFEST, STATE, snapshots

BLOCK = 1 << 20  # bytes of the journal in a piece: what a snapshot sends twice at most
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0  # seconds until a failed copy is tried again
Report = Callable[[dict[str, Any], str], None]


class Mirror(Protocol):
    """Where a run is copied to."""

    def update(self) -> None:
        """Copy, soon, what is new."""

    def finish(self) -> None:
        """Copy the rest and end."""


class NoMirror:
    """Copies nothing."""

    def update(self) -> None:
        """Copy nothing."""

    def finish(self) -> None:
        """Do nothing."""


def open_mirror(folder: RunFolder, uri: str | None, fresh: bool, report: Report) -> Mirror:
    """Return the mirror that a config asks for, after a look at what it holds.

    Raises:
        ConfigError: another run, or no kind of store that is known.
    """
    if uri is None:
        return NoMirror()
    run = identity(folder)
    try:
        mark = Store(uri).newest()
    except OSError as error:
        report(*_failure(error))
        mark = None
    if mark is not None and (fresh or mark.run != run):
        raise ConfigError(
            f"checkpoint.mirror: {uri} holds another run, of {mark.generation} generations; "
            f"continue that one with `{hint('resume', uri)}`, or choose another place"
        )
    return RemoteMirror(Copier(folder, uri, run), report)


def identity(folder: RunFolder) -> str:
    """Return what tells this run from others in its mirror; made once."""
    try:
        return str(read_json(folder.mirror)["run"])
    except (OSError, ValueError, KeyError, TypeError):
        run = uuid4().hex
        write_json(folder.mirror, {"run": run})
        return run


def _failure(error: BaseException) -> tuple[dict[str, Any], str]:
    reason = one_line(error, 200)
    event = {"event": "mirror-failed", "reason": reason}
    return event, f"warning: the mirror cannot be written, the run goes on: {reason}"


class RemoteMirror:
    """Copies a run from a thread of its own, and tries again what failed."""

    def __init__(self, copier: "Copier", report: Report) -> None:
        self._copier = copier
        self._report = report
        self._failed = self._ending = False
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._work, name="mirror", daemon=True)
        self._thread.start()

    def update(self) -> None:
        """Copy, soon, what is new; the caller waits for nothing."""
        self._wake.set()

    def finish(self) -> None:
        """Copy the rest and end."""
        self._ending = True
        self._wake.set()
        self._thread.join()

    def _work(self) -> None:
        pause: float | None = None
        while True:
            self._wake.wait(pause)
            self._wake.clear()
            ending = self._ending
            try:
                self._copier.copy()
            except Exception as error:  # stores raise anything; the run goes on
                pause = min(LONGEST_PAUSE, FIRST_PAUSE if pause is None else 2 * pause)
                self._tell(error, ending)
            else:
                pause = None
                self._tell(None, ending)
            if ending:
                return

    def _tell(self, error: BaseException | None, ending: bool) -> None:
        if error is not None and not self._failed:
            self._report(*_failure(error))
        if error is None and self._failed:
            self._report({"event": "mirror-caught-up"}, "the mirror has caught up")
        if error is not None and ending:
            self._report(
                {"event": "mirror-behind"},
                "the mirror is behind; "
                f"`{hint('resume', self._copier.folder.path)}` copies the rest",
            )
        self._failed = error is not None


class Copier:
    """Copies a run's folder into a store, as it is now; what was copied before stays as it is."""

    def __init__(self, folder: RunFolder, uri: str, run: str) -> None:
        self.folder = folder
        self._uri = uri
        self._run = run
        self._store: Store | None = None
        self._blocks: list[Piece] = []  # of the journal, so far

    def copy(self) -> None:
        """Copy what is new: contents, then the mark; then remove what is of no use any more.

        Raises:
            OSError: the store failed, or the folder is gone.
            ValueError: the store holds another run, or more of this one than the folder.
        """
        store = self._store = self._store or Store(self._uri)
        names = store.names()
        last = store.newest(names)
        with ExitStack() as stack:
            # States before the journal: so every snapshot's generations are in the journal.
            found = list(self._open_states(stack, names))
            states = [state for state, _ in found]
            check_follows(last, self._run, newest_generation(states))
            journal = tuple(self._copy_journal(store, names))
            for state, file in found:
                if names.get(state.object) != file.seek(0, os.SEEK_END):
                    file.seek(0)
                    store.put(state.object, file)
        mark = next_mark(last, self._run, dict(self._small_files()), journal, states)
        store.put_bytes(mark.name, mark.to_text().encode())
        for name in obsolete(names, mark):
            store.remove(name)

    def _small_files(self) -> Iterator[tuple[str, str]]:
        yield CONFIG, self.folder.config.read_text(encoding="utf-8")
        for path in (self.folder.data, self.folder.tracking):
            if path.is_file():
                yield path.name, path.read_text(encoding="utf-8")

    def _open_states(
        self, stack: ExitStack, names: dict[str, int]
    ) -> Iterator[tuple[State, IO[bytes]]]:
        """Yield the newest snapshot, the best, and those that were copied before, each opened.

        An open file stays whole when its snapshot is removed by a loop faster than the network.
        """
        for part in PARTS:
            for place, snapshot in enumerate(snapshots(self.folder.path / part)):
                try:
                    file = stack.enter_context((snapshot.path / STATE).open("rb"))
                    manifest = (snapshot.path / MANIFEST).read_text(encoding="utf-8")
                    state = State.of(part, snapshot.path.name, manifest)
                except (OSError, ValueError, KeyError, TypeError):
                    continue  # removed just now, or damaged
                if is_wanted(place, state, names):
                    yield state, file

    def _copy_journal(self, store: Store, names: dict[str, int]) -> Iterator[Piece]:
        """Put the journal's new pieces; yield all of them, up to the last whole line."""
        if not self.folder.journal.is_file():
            return
        blocks = len(self._blocks)
        with self.folder.journal.open("rb") as file:
            for place, block in enumerate(self._blocks):
                if names.get(block.name) != block.size:  # the store has lost it
                    file.seek(place * BLOCK)
                    store.put_bytes(block.name, file.read(BLOCK))
                yield block
            file.seek(blocks * BLOCK)
            while content := file.read(BLOCK):
                if len(content) < BLOCK:
                    content = content[: content.rfind(b"\n") + 1]
                piece = Piece.of(blocks * BLOCK, content)
                if names.get(piece.name) != piece.size:
                    store.put_bytes(piece.name, content)
                yield piece
                if len(content) < BLOCK:
                    return
                self._blocks.append(piece)
                blocks += 1
