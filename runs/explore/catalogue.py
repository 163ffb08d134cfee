"""The generators that a page can show: of each run its newest snapshot, its best, and the others.

Runs may go on meanwhile: nothing is written, and no lock is taken.
"""

from collections import Counter, OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeAlias

from torch import Tensor

from fitness.suggestion import nearest
from runs.common.errors import ConfigError
from runs.common.hints import hint
from runs.common.lock import is_held
from runs.explore.latents import directions
from runs.sampling.device import Asked
from runs.sampling.generators import is_generator
from runs.sampling.opening import BEST, NEWEST, Choice, open_run, open_sampler
from runs.sampling.opening import Opened as OpenedSampler
from runs.sampling.sampler import Sampler
from runs.sampling.translator import Translator
from runs.store.folder import RunFolder
from runs.store.snapshots import snapshots
from runs.translation.opening import Opened as OpenedTranslator
from runs.translation.opening import find_translator, is_translator, open_translator
from runs.translation.report import going_on

MOST = 4  # generators side by side
KEPT = 2 * MOST  # opened generators that stay in memory
GENERATION = "generation "

Generator: TypeAlias = Sampler | Translator


@dataclass(frozen=True)
class Shown:
    """A generator that was opened.

    Attributes:
        place: the folder of its run, or its own.
        run: the run's name.
        what: the snapshot that it comes from; or that it has no run.
        generator: itself.
        done: how many generations it has behind it; None: unknown.
        total: how many the run will have.
        newest: whether it is shown as the newest of its run.
    """

    place: Path
    run: str
    what: str
    generator: Generator
    done: int | None = None
    total: int = 0
    newest: bool = False

    @property
    def title(self) -> str:
        """The run, and how far it is."""
        if self.done is None:
            return f"{self.run}: {self.what}"
        state = going_on(RunFolder(self.place), self.done, self.total) if self.newest else ""
        return f"{self.run}: generation {self.done} of {self.total}{state}"

    @property
    def sampler(self) -> Sampler:
        """The generator of one that makes images from noise."""
        assert isinstance(self.generator, Sampler)
        return self.generator

    @property
    def translator(self) -> Translator:
        """The generator of one that translates images."""
        assert isinstance(self.generator, Translator)
        return self.generator

    @cached_property
    def directions(self) -> Tensor:
        """See `runs.explore.latents.directions`."""
        return directions(self.sampler)


class Catalogue:
    """The generators of some runs by name, and those that were opened last.

    Attributes:
        translators: whether all of them translate images, or none does.
    """

    def __init__(self, places: Sequence[Path], device: Asked = "auto") -> None:
        """Open the newest generator of each run.

        Raises:
            ConfigError: there is no such run, it has no snapshot yet, its samples are points, or
                some of the runs translate images and others do not.
        """
        self._device = device
        self._places = _named(places)
        self._opened: OrderedDict[tuple[Path, str | int, int | None], Shown] = OrderedDict()
        kinds = {name: is_translator(place) for name, place in self._places.items()}
        if len(set(kinds.values())) > 1:
            ones = ", ".join(name for name, kind in kinds.items() if kind)
            raise ConfigError(
                f"{ones}: translates images, and the other runs make them from noise; explore "
                "these apart"
            )
        self.translators = next(iter(kinds.values()))
        for name, place in self._places.items():
            shown = self.open(name if is_generator(place) else f"{name}, {NEWEST}")
            if not self.translators and not shown.sampler.images:
                raise ConfigError(
                    f"{place}: its samples are points, and explore shows images; take "
                    f"{hint('sample', place, out='points.png')}"
                )

    @property
    def names(self) -> list[str]:
        """What can be opened now, by run, the newest first."""
        return [name for run, place in self._places.items() for name in self._of(run, place)]

    @property
    def usual(self) -> list[str]:
        """What is shown at first: the newest generator of each run."""
        return [next(self._of(run, place)) for run, place in self._places.items()][:MOST]

    @property
    def state(self) -> tuple[object, ...]:
        """What is other after a run has a new snapshot, or has begun or ended its training."""
        runs = [RunFolder(place) for place in self._places.values() if not is_generator(place)]
        best = [self._generation(folder.path, BEST) for folder in runs]
        return (*self.names, *best, *(is_held(folder.lock) for folder in runs))

    def open(self, name: str) -> Shown:
        """Return a generator; one that is new since the last call is read again.

        Raises:
            ConfigError: there is none of this name, or it does not verify.
        """
        place, which = self._meant(name)
        key = (place, which, self._generation(place, which))
        if key not in self._opened:
            self._opened[key] = self._read(name, place, which)
        self._opened.move_to_end(key)
        while len(self._opened) > KEPT:
            self._opened.popitem(last=False)
        return self._opened[key]

    def _of(self, run: str, place: Path) -> Iterator[str]:
        if is_generator(place):
            yield run
            return
        folder = RunFolder(place)
        yield f"{run}, {NEWEST}"
        if snapshots(folder.best):
            yield f"{run}, {BEST}"
        for snapshot in snapshots(folder.snapshots):
            yield f"{run}, {GENERATION}{snapshot.generation}"

    def _meant(self, name: str) -> tuple[Path, str | int]:
        """Return the folder and the snapshot that a name means."""
        if name in self._places and is_generator(self._places[name]):
            return self._places[name], BEST
        run, _, which = name.rpartition(", ")
        number = which.removeprefix(GENERATION)
        if run in self._places and (which in (NEWEST, BEST) or number.isdecimal()):
            return self._places[run], int(number) if number.isdecimal() else which
        raise ConfigError(f"there is no {name!r} here{nearest(name, self.names)}")

    @staticmethod
    def _generation(place: Path, which: str | int) -> int | None:
        """Return the generation that a snapshot is of, as far as its folder's name says it."""
        if isinstance(which, int) or is_generator(place):
            return None
        folder = RunFolder(place)
        there = snapshots(folder.best if which == BEST else folder.snapshots)
        return there[0].generation if there else None

    def _read(self, name: str, place: Path, which: str | int) -> Shown:
        generator: Generator
        if is_generator(place):
            find = find_translator if self.translators else open_sampler
            generator, what = find(place, device=self._device)
            return Shown(place, name, what, generator)
        choice, run = Choice(which), name.rpartition(", ")[0]
        total = RunFolder.open(place).load_config().generations
        found: OpenedTranslator | OpenedSampler
        if self.translators:
            found = open_translator(place, choice, self._device)
            generator = found.translator
        else:
            found = open_run(RunFolder(place), choice, self._device)
            generator = found.sampler
        return Shown(place, run, found.name, generator, found.generation, total, which == NEWEST)


def _named(places: Sequence[Path]) -> dict[str, Path]:
    """Return folders by their names; by their paths, where several have the same one."""
    different = list(dict.fromkeys(places))
    times = Counter(place.absolute().name for place in different)
    return {
        own if times[own := place.absolute().name] == 1 else str(place): place
        for place in different
    }
