"""From a mirror back to a folder, where the run goes on."""

import zlib
from collections.abc import Callable

from egan.files import atomic_file
from runs.common.errors import ConfigError
from runs.common.files import atomic_folder, write_json, write_text
from runs.common.hints import hint
from runs.common.lock import RunLock
from runs.mirror.copying import BLOCK, identity
from runs.mirror.marks import CONFIG, DATA, TRACKING, Mark
from runs.mirror.objects import Store
from runs.store.folder import RunFolder, parse_config
from runs.store.identity import Identity
from runs.store.replay import read_past
from runs.store.snapshots import MANIFEST, STATE
from runs.tracking.state import adopt

Say = Callable[[str], None]


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
    adopt(folder.tracking)
    write_json(folder.mirror, {"run": mark.run})
    folder.write_config(config, identity or Identity())
