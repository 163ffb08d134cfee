"""All runs of a study on one display: live bars in a terminal, else plain lines."""

import time
from collections.abc import Mapping
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from runs.batch.queue import Task
from runs.display.progress import PLAIN_INTERVAL, duration


class StudyProgress:
    """How far a study is: runs done, failed and running, and the time left."""

    def __init__(self, name: str, console: Console | None = None) -> None:
        self._name = name
        self._console = console or Console()
        self._live: Live | None = None
        self._shown = 0.0
        self._start = time.monotonic()
        self._total = self._kept = 0
        self._done: list[str] = []
        self._failed: list[str] = []
        self._shares: dict[str, float] = {}  # of the running ones, by name

    def start(self, total: int, kept: int) -> None:
        """Begin, with `kept` of `total` runs finished before."""
        self._total, self._kept = total, kept
        self._start = self._shown = time.monotonic()
        if self._console.is_terminal:
            self._live = Live(console=self._console, auto_refresh=False)
            self._live.start()

    def running(self, task: Task, share: float) -> None:
        """Take note of the share of a run that is done."""
        self._shares[task.name] = share

    def done(self, task: Task, error: str | None) -> None:
        """Take note of a run's end, and say so."""
        self._shares.pop(task.name, None)
        (self._failed if error else self._done).append(task.name)
        count = self._kept + len(self._done) + len(self._failed)
        said = f"failed: {error}" if error else "finished"
        self.message(f"[{count}/{self._total}] {task.name} {said}")

    def stopped(self, task: Task) -> None:
        """Take note of a run that was told to stop."""
        self._shares.pop(task.name, None)

    def message(self, text: str) -> None:
        """Show a line that stays."""
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)

    def refresh(self) -> None:
        """Show how things stand: redraw, or print a line now and then."""
        if self._live:
            self._live.update(self._draw(), refresh=True)
        elif time.monotonic() - self._shown >= PLAIN_INTERVAL:
            self._shown = time.monotonic()
            now = ", ".join(f"{name} {share:.0%}" for name, share in sorted(self._shares.items()))
            self.message(f"{self._head()}; running: {now or 'none'}")

    def close(self) -> None:
        """Leave the last display on the screen."""
        if self._live:
            self._live.update(self._draw(), refresh=True)
            self._live.stop()
            self._live = None

    def _head(self) -> str:
        finished = self._kept + len(self._done)
        failed = f", {len(self._failed)} failed" if self._failed else ""
        return f"{self._name}: {finished} of {self._total} runs finished{failed}{self._left()}"

    def _left(self) -> str:
        ended = len(self._done) + len(self._failed)
        worked = ended + sum(self._shares.values())
        rest = self._total - self._kept - worked
        if worked < 0.2 or rest <= 0:
            return ""
        return f", about {duration((time.monotonic() - self._start) / worked * rest)} left"

    def _draw(self) -> Group:
        table = Table(box=None, show_header=False, pad_edge=False)
        for name, share in sorted(self._shares.items()):
            table.add_row(name, ProgressBar(1.0, share, width=40), f"{share:.0%}")
        ended = self._kept + len(self._done) + len(self._failed)
        overall = ProgressBar(max(1, self._total), ended, width=60)
        return Group(Text(self._head(), "bold"), overall, table)


def share_of(values: Mapping[str, Any], generations: int, seconds: float | None) -> float:
    """Return the share of a run that a report says is done."""
    if seconds is not None:
        return min(1.0, float(values.get("seconds", 0.0)) / seconds)
    return min(1.0, float(values.get("generation", 0)) / generations)
