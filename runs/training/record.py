"""The record of a run as it goes on: lines of the journal, and what a person is told."""

import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from populations.executors.base import Outcome
from populations.individual import Individual
from populations.population import Population
from runs.common.files import write_json
from runs.display.progress import Progress
from runs.store.journal import Entry, Event, Journal, Scoring
from runs.store.lines import describe
from runs.training.health import Health


class Record:
    """Writes what happens to a run into its journal, and shows it."""

    def __init__(
        self, journal: Journal, progress: Progress, replicas: Path, health: Health
    ) -> None:
        """Write to an open journal; `replicas` is the file that says where the replicas are."""
        self._health = health
        self._journal = journal
        self._progress = progress
        self._replicas = ReplicaStatus(replicas)
        self._written = 0  # generations that the journal has
        self._clock = time.perf_counter()

    def goes_on_at(self, generation: int) -> None:
        """Take note of how many generations the journal has, which is open with its index."""
        self._written = generation
        assert self._journal.index is not None
        for line in self._journal.index.others():
            if isinstance(line, Event):
                self._health.recall(line)

    def generation(
        self, population: Population, children: list[Individual], survivors: list[Individual]
    ) -> None:
        """Write and show a generation that was evaluated, and who survives it."""
        outcome = population.outcome
        assert outcome is not None
        now = time.perf_counter()
        seconds = outcome.seconds | {"total": now - self._clock}
        self._clock = now
        self.note(outcome)
        entry = Entry(
            outcome.generation,
            time.time(),
            outcome.checksum,
            tuple(child.job for child in children),
            tuple(child.score for child in children),
            tuple(survivor.job for survivor in survivors),
            outcome.training,
            seconds,
        )
        self._journal.append(entry)
        self._written = outcome.generation + 1
        assert self._journal.index is not None
        self._progress.generation(entry, self._journal.index.lineage)
        for notice in self._health.judge(entry):
            self.report({"event": notice.event, **notice.details}, notice.text)

    def note(self, outcome: Outcome) -> None:
        """Report what befell the replicas, and where they are now."""
        for event in outcome.events:
            self.report(event, f"note: {describe(event)}")
        self._replicas.show(outcome)

    def scoring(self, scoring: Scoring) -> None:
        """Write a scoring, so that it outlives the machine."""
        self._journal.append(scoring)
        self._journal.sync()

    def report(self, event: dict[str, Any], text: str) -> None:
        """Tell of an event, here and in the journal; any thread may call it."""
        details = {key: value for key, value in event.items() if key != "event"}
        with suppress(OSError):  # of a full disk, say: the next generation's line ends the run
            self._journal.append(Event(self._written, time.time(), event["event"], details))
        self.say(text)

    def rule(self, key: str, value: float, new: bool) -> None:
        """Tell what `auto` stands for; a new run's journal keeps it."""
        text = f"{key}: auto is {value:.6g}"
        if new:
            self.report({"event": "rule", "key": key, "value": value}, text)
        else:
            self.say(text)

    def snapshot_failed(self, error: OSError | None) -> None:
        """Report a snapshot that could not be written; None: it could."""
        if error is not None:
            self.report(
                {"event": "snapshot-failed", "reason": str(error)},
                f"warning: a snapshot could not be written ({error}); it does not stop the "
                "run, and the snapshots before it are intact",
            )

    def picture_failed(self, error: OSError) -> None:
        """Report a grid of samples that could not be written."""
        self.report(
            {"event": "picture-failed", "reason": str(error)},
            f"warning: a picture of samples could not be written ({error}); it does not stop the "
            "run",
        )

    def say(self, text: str) -> None:
        """Show a line that stays; it is not written down."""
        self._progress.message(text)

    def sync(self) -> None:
        """Force the journal's lines to the disk."""
        self._journal.sync()


class ReplicaStatus:
    """The file that says where the replicas are, for `inspect` to show."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._shown: tuple[dict[str, Any], ...] = ()

    def show(self, outcome: Outcome) -> None:
        """Write down where the replicas are, if that has changed."""
        if outcome.replicas == self._shown:
            return
        self._shown = outcome.replicas
        try:
            write_json(
                self._path,
                {"generation": outcome.generation, "replicas": list(outcome.replicas)},
            )
        except OSError:  # such as a full disk, which the next snapshot tells of
            self._shown = ()


def advance(population: Population, record: Record) -> str:
    """Let every replica train D on the survivors, if it has not; return the checksum."""
    outcome = population.advance()
    record.note(outcome)
    return outcome.checksum
