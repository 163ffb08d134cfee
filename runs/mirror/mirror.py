"""A copy of a run in remote storage: object store, HDFS, or another mounted file system.

The folder stays the truth while the run goes on. After each snapshot a thread of its own copies
what is new, and never holds up the loop. Object stores cannot append, rename or replace several
objects at once, so nothing there is ever changed:

    journal/START-SIZE-CRC         a piece of the journal; only the last is shorter than a block
    states/NAME-SHA.safetensors    a snapshot's state
    run-NUMBER.json                a mark: what is small, and which pieces and states go together

Contents go first, then the mark that names them, then what no mark names any more is removed. So
whenever the copying ends, the newest mark that reads is a run that can be resumed, as if its driver
had been killed at that moment. pyarrow's file systems (which MLflow needs in any case) speak to all
of these stores; fsspec would want another package for each.
"""

import json
import os
import re
import shutil
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any, Protocol
from uuid import uuid4

from egan.files import atomic_file
from populations.messages import one_line
from runs.common.errors import ConfigError
from runs.common.files import LARGEST_TEXT, atomic_folder, read_json, write_json, write_text
from runs.common.hints import hint
from runs.common.lock import RunLock
from runs.store.folder import RunFolder, parse_config
from runs.store.identity import Identity
from runs.store.journal import seal, unseal
from runs.store.replay import read_past
from runs.store.snapshots import MANIFEST, NAME, STATE, snapshots

FORMAT = 1
BLOCK = 1 << 20  # bytes of the journal in a piece: what a snapshot sends twice at most
CHUNK = 8 << 20  # bytes that are read at a time
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0  # seconds until a failed copy is tried again
MARK = re.compile(r"^run-(\d{12})\.json$")
OURS = re.compile(r"^(run-\d{12}\.json|journal/[0-9a-f-]+|states/[\w.-]+\.safetensors)$")
PARTS = ("snapshots", "best")
CONFIG, DATA, TRACKING = SMALL = ("config.yaml", "data.json", "tracking.json")
Say = Callable[[str], None]
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


@dataclass(frozen=True)
class Piece:
    """A piece of the journal, in its order."""

    name: str
    size: int
    crc: int

    @classmethod
    def of(cls, start: int, content: bytes) -> "Piece":
        """Return the piece that begins at a byte of the journal."""
        crc = zlib.crc32(content)
        return cls(f"journal/{start:015d}-{len(content):07d}-{crc:08x}", len(content), crc)


@dataclass(frozen=True)
class State:
    """A snapshot: which of `PARTS` it lies in, its folder's name, its manifest, its object."""

    part: str
    name: str
    manifest: str
    object: str


@dataclass(frozen=True)
class Mark:
    """What belongs together: `run` says of which run, `generation` how far its snapshots are."""

    number: int
    run: str
    generation: int
    files: dict[str, str]
    journal: tuple[Piece, ...]
    states: tuple[State, ...]

    @property
    def name(self) -> str:
        """The mark's own name."""
        return f"run-{self.number:012d}.json"

    def names(self) -> set[str]:
        """Return the names of all objects that belong to it."""
        pieces = {piece.name for piece in self.journal}
        return {self.name} | pieces | {state.object for state in self.states}

    @classmethod
    def parse(cls, text: str) -> "Mark":
        """Return the mark of a sealed line.

        Raises:
            ValueError, KeyError, TypeError: it is damaged, none, or names what it must not.
        """
        value = unseal(text)
        if value.pop("format") != FORMAT:
            raise ValueError("of another version")
        value["journal"] = tuple(Piece(**piece) for piece in value["journal"])
        value["states"] = tuple(State(**state) for state in value["states"])
        value.pop("crc", None)
        mark = cls(**value)
        numbers = (mark.number, mark.generation, *(piece.crc for piece in mark.journal))
        if not all(type(number) is int and number >= 0 for number in numbers):
            raise ValueError("its numbers are no counts")
        texts = (mark.run, *mark.files.values(), *(state.manifest for state in mark.states))
        if not all(isinstance(text, str) for text in texts):
            raise ValueError("its files are no texts")
        for state in mark.states:
            if state.part not in PARTS or not NAME.match(state.name):
                raise ValueError(f"no snapshot's name: {state.part}/{state.name}")
        named = {CONFIG} <= set(mark.files) <= set(SMALL)
        if not named or not all(map(OURS.match, mark.names())):
            raise ValueError("it names what is no part of a run")
        return mark

    def to_text(self) -> str:
        """Return the mark as a sealed line."""
        return seal({"format": FORMAT} | asdict(self))


class Store:
    """The objects under a URI, by their names relative to it."""

    def __init__(self, uri: str) -> None:
        """Open the store.

        Raises:
            ConfigError: no such kind of store.
            OSError: it cannot be reached.
        """
        from pyarrow import fs

        try:
            self._files, root = fs.FileSystem.from_uri(uri)
        except ValueError as error:
            raise ConfigError(
                f"checkpoint.mirror: {uri} cannot be used: {error}. Write s3://bucket/prefix, "
                "gs://bucket/prefix, hdfs://host/path or file:///path"
            ) from None
        self.uri = uri
        self._root = self._files.normalize_path(root).rstrip("/")
        self._all = fs.FileSelector(self._root, recursive=True, allow_not_found=True)

    def names(self) -> dict[str, int]:
        """Return the size of each object by its name."""
        found = self._files.get_file_info(self._all)
        return {info.path[len(self._root) + 1 :]: info.size for info in found if info.is_file}

    def put(self, name: str, source: IO[bytes]) -> None:
        """Write an object."""
        with self._create(f"{self._root}/{name}") as stream:
            shutil.copyfileobj(source, stream, CHUNK)

    def put_bytes(self, name: str, content: bytes) -> None:
        """Write a small object."""
        with self._create(f"{self._root}/{name}") as stream:
            stream.write(content)

    def read(self, name: str) -> bytes:
        """Return a small object's content."""
        with self._files.open_input_stream(f"{self._root}/{name}") as stream:
            return bytes(stream.read())

    def fetch(self, name: str, path: Path) -> None:
        """Copy an object to a file."""
        with self._files.open_input_stream(f"{self._root}/{name}") as stream, path.open("wb") as to:
            shutil.copyfileobj(stream, to, CHUNK)

    def remove(self, name: str) -> None:
        """Remove an object."""
        self._files.delete_file(f"{self._root}/{name}")

    def newest(self, names: dict[str, int] | None = None) -> Mark | None:
        """Return the newest mark that reads; None: there never was one.

        Raises:
            ConfigError: there are marks, and none reads.
        """
        names = self.names() if names is None else names
        marks = sorted(filter(MARK.match, names), reverse=True)
        reason = ""
        for name in marks:
            try:
                if names[name] > LARGEST_TEXT:
                    raise ValueError(f"{names[name]} bytes, more than {LARGEST_TEXT}")
                return Mark.parse(self.read(name).decode())
            except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
                reason = f"{name}: {error}"
        if marks:
            raise ConfigError(f"the run in {self.uri} cannot be read: {reason}")
        return None

    def _create(self, path: str) -> Any:
        try:
            return self._files.open_output_stream(path)
        except FileNotFoundError:  # file systems want folders, object stores have none
            self._files.create_dir(path.rpartition("/")[0], recursive=True)
            return self._files.open_output_stream(path)


# ------------------------------------------------------------------------------------------ to copy


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
        if last is not None and last.run != self._run:
            raise ValueError(f"{self._uri} holds another run")
        with ExitStack() as stack:
            # States before the journal: so every snapshot's generations are in the journal.
            found = list(self._open_states(stack, names))
            generation = max((generation_of(state) for state, _ in found), default=0)
            if last is not None and generation < last.generation:
                raise ValueError(f"it is at generation {last.generation}, ahead of the folder")
            journal = tuple(self._copy_journal(store, names))
            for state, file in found:
                if names.get(state.object) != file.seek(0, os.SEEK_END):
                    file.seek(0)
                    store.put(state.object, file)
        mark = Mark(
            number=1 if last is None else last.number + 1,
            run=self._run,
            generation=generation,
            files=dict(self._small_files()),
            journal=journal,
            states=tuple(state for state, _ in found),
        )
        store.put_bytes(mark.name, mark.to_text().encode())
        for name in filter(OURS.match, names.keys() - mark.names()):
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
                    digest = str(json.loads(manifest)["files"][STATE])[:16]
                except (OSError, ValueError, KeyError, TypeError):
                    continue  # removed just now, or damaged
                state = State(
                    part,
                    snapshot.path.name,
                    manifest,
                    f"states/{snapshot.path.name}-{digest}.safetensors",
                )
                if place == 0 or state.object in names:
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


def generation_of(state: State) -> int:
    """Return the generation in a snapshot's name."""
    match = NAME.match(state.name)
    assert match is not None  # a mark holds no other
    return int(match[1])


# ----------------------------------------------------------------------------------------- and back


def is_uri(place: object) -> bool:
    """Return whether a run's place is a store's and no folder's."""
    return "://" in str(place)


def holds_run(uri: str) -> bool:
    """Return whether a run is mirrored there.

    Raises:
        OSError: it cannot be reached, so nobody knows.
    """
    return Store(uri).newest() is not None


def fetch_run(uri: str, folder: RunFolder, say: Say) -> RunFolder:
    """Copy a mirrored run into a folder that holds none; it goes on to be mirrored there.

    Raises:
        ConfigError: no run lies there, or one in the folder.
        OSError: the copying failed; it may be tried again.
    """
    store = Store(uri)
    mark = store.newest()
    if mark is None:
        raise ConfigError(f"no run is mirrored in {uri}")
    folder.path.mkdir(parents=True, exist_ok=True)
    with RunLock(folder.lock):
        if folder.config.is_file():
            raise ConfigError(
                f"{folder.path} holds a run already: continue it with "
                f"`{hint('resume', folder.path)}`, or choose another --output"
            )
        _bring_back(store, mark, folder, say)
    return folder


def catch_up(folder: RunFolder, uri: str | None, say: Say) -> None:
    """Take over what the mirror has of this very run, if it is further there than in the folder.

    It is where the run went on in another place and this folder stayed behind.
    """
    if uri is None:
        return
    try:
        store = Store(uri)
        mark = store.newest()
        if mark is None or not folder.mirror.is_file() or mark.run != identity(folder):
            return  # another run is refused when the mirror is opened
        with RunLock(folder.lock):
            end = read_past(folder).end
            if mark.generation > end:
                say(f"{folder.path} is at generation {end}, its mirror at {mark.generation}")
                _bring_back(store, mark, folder, say)
    except OSError as error:
        say(f"the mirror cannot be read, so the run goes on from {folder.path}: {error}")


def _bring_back(store: Store, mark: Mark, folder: RunFolder, say: Say) -> None:
    """Copy what a mark names.

    The journal comes before the snapshots, so that none is ahead of it, and the config last, for it
    makes the folder a run's: killed in between, the same call does it again.
    """
    say(f"fetching the run of {mark.generation} generations from {store.uri}")
    names = store.names()
    with atomic_file(folder.journal) as temporary, temporary.open("wb") as file:
        for piece in mark.journal:
            there = names.get(piece.name, BLOCK + 1) <= BLOCK
            content = store.read(piece.name) if there else b""
            if zlib.crc32(content) != piece.crc:
                say(f"{piece.name} is missing or damaged in the mirror; its lines are made again")
            file.write(content)
    for state in mark.states:
        target = folder.path / state.part / state.name
        if state.object not in names:
            say(f"{state.object} is missing in the mirror; the journal makes it again")
            continue
        with atomic_folder(target) as temporary:
            store.fetch(state.object, temporary / STATE)
            (temporary / MANIFEST).write_text(state.manifest, encoding="utf-8")
    source = f"{store.uri}/{mark.name}"
    config, identity = parse_config(mark.files[CONFIG], source)
    here = config.checkpoint.model_copy(update={"mirror": store.uri})
    config = config.model_copy(update={"checkpoint": here})
    for part in (folder.snapshots, folder.samples, folder.plots):
        part.mkdir(exist_ok=True)
    for name in (DATA, TRACKING):
        if name in mark.files:
            write_text(folder.path / name, mark.files[name])
    write_json(folder.mirror, {"run": mark.run})
    folder.write_config(config, identity or Identity())
