"""How far a tournament is: live bars in a terminal, else plain lines."""

import time
from collections.abc import Mapping

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from runs.common.errors import printable
from runs.display.progress import PLAIN_INTERVAL, duration
from runs.tournament.config import Tournament
from runs.tournament.record import Line
from runs.tournament.schedule import Plan

SAID = {
    "event": "the worst copy the best",
    "check": "the last island is watched",
    "halve": "the better half stays",
    "end": "the end",
}


class SilentTournament:
    """Shows nothing."""

    def start(self, tournament: Tournament, plan: Plan, done: int) -> None:
        """Show nothing."""

    def round(self, number: int, targets: Mapping[str, tuple[int, int]]) -> None:
        """Show nothing."""

    def reached(self, name: str, generation: int) -> None:
        """Show nothing."""

    def answered(self, name: str) -> None:
        """Show nothing."""

    def decided(self, line: Line) -> None:
        """Show nothing."""

    def refresh(self) -> None:
        """Show nothing."""

    def message(self, text: str) -> None:
        """Show nothing."""

    def close(self) -> None:
        """Show nothing."""


class ShownTournament(SilentTournament):
    """Shows each round's islands, and what was decided."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console()
        self._live: Live | None = None
        self._targets: dict[str, tuple[int, int]] = {}
        self._reached: dict[str, int] = {}

    def start(self, tournament: Tournament, plan: Plan, done: int) -> None:
        """Begin the clock."""
        self._plan, self._number = plan, done
        self._begun = self._shown = time.monotonic()
        self._before = plan.spent(done)
        if self._console.is_terminal:
            self._live = Live(console=self._console, auto_refresh=False)
            self._live.start()

    def round(self, number: int, targets: Mapping[str, tuple[int, int]]) -> None:
        """Show the islands of a round."""
        self._number = number
        self._targets = dict(targets)
        self._reached = {name: begin for name, (begin, _) in targets.items()}

    def reached(self, name: str, generation: int) -> None:
        """Move an island's bar."""
        self._reached[name] = generation

    def answered(self, name: str) -> None:
        """Complete an island's bar."""
        if name in self._targets:
            self._reached[name] = self._targets[name][1]

    def decided(self, line: Line) -> None:
        """Print the decision of a round."""
        if line.round < self._number:
            return  # it is on record
        this, best = self._plan.rounds[line.round], line.decided["ranking"][0]
        fitness = line.table[best].fitness
        metrics = "  ".join(f"{name} {value:.4g}" for name, value in line.metrics.items())
        born = ", ".join(f"{life['name']} from {life['parent']}" for life in line.decided["born"])
        self.message(
            f"round {line.round + 1}/{len(self._plan.rounds)}, {SAID[this.ending]}: best is "
            f"{best}, fitness {fitness:.4g}  {metrics}"
            + (f"; begin: {born}" if born else "")
            + (
                f"; dropped: {', '.join(line.decided['dropped'])}"
                if line.decided["dropped"]
                else ""
            )
        )
        if line.decided["alarm"]:
            self.message(
                f"collapsed: {line.decided['alarm']}; going on from the state that was kept"
            )

    def refresh(self) -> None:
        """Update the display: redraw it, or print a line from time to time."""
        if self._live:
            self._live.update(self._draw(), refresh=True)
        elif time.monotonic() - self._shown >= PLAIN_INTERVAL:
            self._shown = time.monotonic()
            self.message(self._head())

    def message(self, text: str) -> None:
        """Show a line that stays."""
        self._console.print(printable(text), highlight=False, markup=False, soft_wrap=True)

    def close(self) -> None:
        """Leave the last display on the screen."""
        if self._live:
            self._live.stop()
            self._live = None

    def _head(self) -> str:
        plan, number = self._plan, self._number
        whole = plan.spent(len(plan.rounds))
        share = sum(map(self._share, self._targets)) / max(1, len(self._targets))
        now = plan.spent(number) + share * (plan.spent(number + 1) - plan.spent(number))
        worked = (now - self._before) / whole
        left = ""
        if worked > 0.01:
            each = (time.monotonic() - self._begun) / worked
            left = f", about {duration(each * (1 - now / whole))} left"
        islands = f"{len(self._targets)} island(s)"
        return f"round {number + 1}/{len(plan.rounds)}, {islands}, {now / whole:.0%} done{left}"

    def _share(self, name: str) -> float:
        begin, end = self._targets[name]
        return (self._reached[name] - begin) / max(1, end - begin)

    def _draw(self) -> Group:
        table = Table(box=None, show_header=False, pad_edge=False)
        for name in sorted(self._targets):
            table.add_row(name, ProgressBar(1.0, self._share(name), width=40))
        return Group(Text(self._head(), "bold"), table)
