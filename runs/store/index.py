"""The index of a journal: a summary of its lines, so that a long journal is not read again.

It is a cache in a file beside the journal, `journal.index`. It gives the number of the journal's
bytes that it covers, and their CRC-32. If these bytes have changed, for example by a repair, the
journal is read from its beginning. What follows those bytes is read in any case.
"""

import zlib
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import astuple, dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from populations.individual import Individual, Job, Score
from populations.lineage import Lineage
from populations.selection import Selection
from runs.common.files import read_text, write_text
from runs.common.formats import FORMAT, STAMP, format_of
from runs.store.budgets import seconds_of
from runs.store.lines import (
    LONGEST,
    Damage,
    Entry,
    Event,
    Line,
    Scoring,
    head_of,
    read_line,
    seal,
    unseal,
)

SUFFIX = ".index"  # of the journal
STRIDE = 500  # generations between two whose place in the journal is kept
LONG = 10_000  # lines of a journal that are worth an index, and whose reading is worth a bar
BLOCK = 2**20  # bytes that are read at once
Stage = Callable[[str, int, int], None]  # called with what is done, how much of it, of how much


@dataclass
class Sums:
    """Sums over the generations of a journal.

    Attributes:
        children: how many were made.
        evolving: seconds of evolving, see `runs.store.budgets`.
        total: seconds of everything.
    """

    children: int = 0
    evolving: float = 0.0
    total: float = 0.0


class Index:
    """A summary of the first `size` bytes of a journal; see above.

    Attributes:
        lineage: the account of its generations; empty where no selection was given.
        first, end: the first generation that it has, and the one after its last.
        damaged: how many lines could not be read; `damage` is the first of them.
        sums: over the generations.
    """

    def __init__(self, journal: Path, selection: Selection | None = None) -> None:
        self.lineage = Lineage()
        self.first: int | None = None
        self.end = 0
        self.lines = 0
        self.damaged = 0
        self.damage: Damage | None = None
        self.sums = Sums()
        self.size = self._crc = 0
        self._format = 1
        self._marks: list[tuple[int, int]] = []  # generations and where their lines begin
        self._others: list[int] = []  # where the lines of scorings and events begin
        self._written = 0  # lines that the file stands for
        self._journal = journal
        self._selection = selection

    def anew(self) -> "Index":
        """Return an empty index for the same journal."""
        return Index(self._journal, self._selection)

    # ------------------------------------------------------------------------------- what it knows

    def lines_from(self, generation: int, every: int = 1) -> Iterator[Line]:
        """Yield the journal's sound lines from a generation's on, and some before.

        `every` leaves lines out: of 2 every second one is read.
        """
        place = bisect_right(self._marks, generation, key=lambda mark: mark[0])
        if self._journal.exists():
            yield from self._read(self._marks[place - 1][1] if place else 0, every)

    def others(self) -> Iterator[Scoring | Event]:
        """Yield the scorings and events, in their order."""
        if not self._others:
            return
        with self._journal.open("rb") as file:
            for offset in self._others:
                file.seek(offset)
                for item in read_line(file.readline(LONGEST), 0, self._format):
                    if isinstance(item, Scoring | Event):
                        yield item

    def entry(self, generation: int) -> Entry | None:
        """Return the first line of a generation, if there is one."""
        if not (self.first is not None and self.first <= generation < self.end):
            return None
        found = (x for x in self.lines_from(generation) if isinstance(x, Entry))
        return next((entry for entry in found if entry.generation >= generation), None)

    def _read(self, offset: int, every: int) -> Iterator[Line]:
        with self._journal.open("rb") as file:
            file.seek(offset)
            lines = iter(partial(file.readline, LONGEST), b"")
            for line in islice(lines, 0, None, every):
                for item in read_line(line, 0, self._format):
                    if not isinstance(item, Damage):
                        yield item

    # --------------------------------------------------------------------------- taking in lines

    def follow(self, progress: Stage | None = None) -> None:
        """Add the lines of the journal that the index does not cover yet.

        Raises:
            ConfigError: a newer version wrote it.
        """
        if not self._journal.exists():
            return
        whole, told = self._journal.stat().st_size, 0
        with self._journal.open("rb") as file:
            file.seek(self.size)
            for line in iter(partial(file.readline, LONGEST), b""):
                if progress is not None and self.lines - told >= LONG:
                    told = self.lines
                    progress("reading the journal", self.size, whole)
                self.add(line)

    def add(self, line: bytes, items: "list[Line] | None" = None) -> None:
        """Add the journal's next line; `items` is its content, if that is known."""
        offset, self.size = self.size, self.size + len(line)
        self._crc = zlib.crc32(line, self._crc)
        self.lines += 1
        if self.lines == 1 and (head := head_of(line)):
            self._format = format_of(head, self._journal)
            return
        for item in read_line(line, self.lines, self._format) if items is None else items:
            if isinstance(item, Damage):
                self.damaged += 1
                self.damage = self.damage or item
            elif isinstance(item, Entry):
                self._generation(item, offset)
            elif self._others[-1:] != [offset]:
                self._others.append(offset)

    def _generation(self, entry: Entry, offset: int) -> None:
        if entry.generation < self.end:
            return  # made twice, by two processes on a file system without locks
        if not self._marks or entry.generation >= self._marks[-1][0] + STRIDE:
            self._marks.append((entry.generation, offset))
        self.first = entry.generation if self.first is None else self.first
        self.end = entry.generation + 1
        self.sums.children += len(entry.jobs)
        self.sums.evolving += seconds_of(entry.seconds)
        self.sums.total += entry.seconds.get("total", 0.0)
        if self._selection is not None:
            children = self._selection.individuals(entry.generation, entry.jobs, entry.scores)
            by_job = {child.job: child for child in children}
            self.lineage.update(children, [by_job[job] for job in entry.survivors])

    # --------------------------------------------------------------------------------- its file

    def save(self) -> None:
        """Write the index to its file, if the journal has become much longer since the last time.

        Raises:
            OSError: it cannot be written; the old one stays.
        """
        if self.lines - self._written < LONG or self.damaged:
            return
        best = [
            (each.generation, *astuple(each.job), each.score.values)
            for each in self.lineage.hall_of_fame
        ]
        values = STAMP | {
            "size": self.size,
            "crc32": self._crc,
            "lines": self.lines,
            "first": self.first,
            "end": self.end,
            "marks": self._marks,
            "others": self._others,
            "sums": vars(self.sums),
            "generations": self.lineage.generations,
            "wins": dict(self.lineage.wins),
            "best": best,
        }
        write_text(self._file, seal(values))
        self._written = self.lines

    def load(self) -> None:
        """Read the index from its file.

        Raises:
            OSError, ValueError, KeyError, TypeError, RecursionError: there is none that fits the
                journal, and nothing of use is taken.
        """
        values = unseal(read_text(self._file).encode())
        if values["format"] != FORMAT or not self._fits(values["size"], values["crc32"]):
            raise ValueError("of another journal")
        self._take(values)

    @property
    def _file(self) -> Path:
        return self._journal.with_suffix(SUFFIX)

    def _fits(self, size: int, crc: int) -> bool:
        """Return whether the journal begins with so many bytes of that CRC-32."""
        found, left = 0, size
        with self._journal.open("rb") as file:
            while left > 0 and (block := file.read(min(BLOCK, left))):
                found, left = zlib.crc32(block, found), left - len(block)
        return left == 0 and found == crc

    def _take(self, values: dict[str, Any]) -> None:
        lineage = self.lineage
        lineage.generations = int(values["generations"])
        lineage.wins.update(values["wins"])
        for generation, index, parents, operator, numbers in reversed(values["best"]):
            if self._selection is not None:
                score = Score(tuple(map(float, numbers)))
                job, fitness = Job(index, tuple(parents), operator), self._selection.to_fitness
                lineage.hall_of_fame.insert(
                    Individual(generation, job, score, fitness(score.values))
                )
        self.sums = Sums(**values["sums"])
        self.first, self.end = values["first"], int(values["end"])
        self._marks = [(int(generation), int(offset)) for generation, offset in values["marks"]]
        self._others = list(map(int, values["others"]))
        places = (offset for _, offset in self._marks)
        if any(not 0 <= offset < values["size"] for offset in (*places, *self._others)):
            raise ValueError("a place beyond the journal's end")
        self._format = FORMAT
        self.lines = self._written = int(values["lines"])
        self.size, self._crc = int(values["size"]), int(values["crc32"])


def read_index(
    journal: Path, selection: Selection | None = None, progress: Stage | None = None
) -> Index:
    """Return the index of a whole journal, from its file as far as that goes.

    Raises:
        ConfigError: a newer version wrote it.
    """
    index = Index(journal, selection)
    try:
        index.load()
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        index = index.anew()
    index.follow(progress)
    return index
