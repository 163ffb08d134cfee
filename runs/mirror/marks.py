"""Marks of a mirror: which objects of a run belong in it, and which are removed. Pure."""

import json
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass

from runs.store.lines import seal, unseal
from runs.store.snapshots import NAME, STATE

FORMAT = 1
MARK = re.compile(r"^run-(\d{12})\.json$")
OURS = re.compile(r"^(run-\d{12}\.json|journal/[0-9a-f-]+|states/[\w.-]+\.safetensors)$")
PARTS = ("snapshots", "best", "origin")
CONFIG, DATA, TRACKING = SMALL = ("config.yaml", "data.json", "tracking.json")


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

    @classmethod
    def of(cls, part: str, name: str, manifest: str) -> "State":
        """Return the state of a snapshot with this manifest.

        Raises:
            ValueError, KeyError, TypeError: the manifest is damaged.
        """
        digest = str(json.loads(manifest)["files"][STATE])[:16]
        return cls(part, name, manifest, f"states/{name}-{digest}.safetensors")

    @property
    def generation(self) -> int:
        """The generation in the snapshot's name."""
        match = NAME.match(self.name)
        assert match is not None  # a mark holds no other
        return int(match[1])


@dataclass(frozen=True)
class Mark:
    """The objects that belong together, of run `run`, with snapshots up to `generation`."""

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
        value = unseal(text.encode())
        if value.pop("format") != FORMAT:
            raise ValueError("of another version")
        value["journal"] = tuple(Piece(**piece) for piece in value["journal"])
        value["states"] = tuple(State(**state) for state in value["states"])
        value.pop("crc", None)
        mark = cls(**value)
        numbers = (mark.number, mark.generation, *(piece.crc for piece in mark.journal))
        if not all(type(number) is int and number >= 0 for number in numbers):
            raise ValueError("its counts are not whole numbers")
        texts = (mark.run, *mark.files.values(), *(state.manifest for state in mark.states))
        if not all(isinstance(text, str) for text in texts):
            raise ValueError("its file names are not strings")
        for state in mark.states:
            if state.part not in PARTS or not NAME.match(state.name):
                raise ValueError(f"{state.part}/{state.name} is not the name of a snapshot")
        named = {CONFIG} <= set(mark.files) <= set(SMALL)
        if not named or not all(map(OURS.match, mark.names())):
            raise ValueError("it names files that are not part of a run")
        return mark

    def to_text(self) -> str:
        """Return the mark as a sealed line."""
        return seal({"format": FORMAT} | asdict(self))


def next_mark(
    last: Mark | None,
    run: str,
    files: Mapping[str, str],
    journal: Iterable[Piece],
    states: Iterable[State],
) -> Mark:
    """Return the mark of what a folder holds, after the store's newest one."""
    kept = tuple(states)
    return Mark(
        number=1 if last is None else last.number + 1,
        run=run,
        generation=newest_generation(kept),
        files=dict(files),
        journal=tuple(journal),
        states=kept,
    )


def newest_generation(states: Iterable[State]) -> int:
    """Return how far the snapshots are; 0: there are none."""
    return max((state.generation for state in states), default=0)


def check_follows(last: Mark | None, run: str, generation: int) -> None:
    """Refuse to copy a folder over what is not its own, or is ahead of it.

    Raises:
        ValueError: the store holds another run, or more of this one than the folder.
    """
    if last is None:
        return
    if last.run != run:
        raise ValueError("the mirror holds another run")
    if generation < last.generation:
        raise ValueError(f"it is at generation {last.generation}, ahead of the folder")


def is_wanted(place: int, state: State, names: Mapping[str, int]) -> bool:
    """Return whether a mark is to have a snapshot, the `place`-th newest of its part.

    The newest is copied; of the others, those stay that were copied before.
    """
    return place == 0 or state.object in names


def obsolete(names: Iterable[str], mark: Mark) -> Iterator[str]:
    """Yield the objects of this program that no mark names any more."""
    return filter(OURS.match, set(names) - mark.names())
