"""The progress of a run on the screen: a live display, plain lines, or nothing."""

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Protocol

from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.progress import Progress as Bars
from rich.progress import TaskID
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from fitness.scores import OBJECTIVES
from populations.lineage import Lineage
from runs.common.errors import printable
from runs.config.schema import RunConfig
from runs.store.journal import Entry

PLAIN_INTERVAL = 10.0  # seconds between plain lines
LIVE_INTERVAL = 0.25  # seconds between redraws
WINDOW = 50  # generations that the speed is averaged over

Stage = Callable[[str, int, int], None]  # called with a stage's name, how much is done, of how much


class Progress(Protocol):
    """Where a run reports to."""

    def start(self, config: RunConfig, generation: int) -> None:
        """Begin, at `generation` of `config.generations`."""

    def generation(self, entry: Entry, lineage: Lineage) -> None:
        """Take note of a finished generation."""

    def message(self, text: str) -> None:
        """Show a line that stays."""

    def stage(self, name: str, done: int, total: int) -> None:
        """Show how far a long part of the work is, such as a preparation."""

    def close(self) -> None:
        """End the display."""


class Silent:
    """Shows nothing."""

    def start(self, config: RunConfig, generation: int) -> None:
        """Show nothing."""

    def generation(self, entry: Entry, lineage: Lineage) -> None:
        """Show nothing."""

    def message(self, text: str) -> None:
        """Show nothing."""

    def stage(self, name: str, done: int, total: int) -> None:
        """Show nothing."""

    def close(self) -> None:
        """Show nothing."""


class _Clock:
    """Speed over the last generations, and the time left at that speed."""

    def __init__(self, generations: int, done: int) -> None:
        self._generations = generations
        self._times: deque[float] = deque([time.monotonic()], maxlen=WINDOW)
        self.done = done

    def tick(self, done: int) -> None:
        self.done = done
        self._times.append(time.monotonic())

    def seconds_each(self) -> float:
        return (self._times[-1] - self._times[0]) / max(1, len(self._times) - 1)

    def describe(self) -> str:
        each = self.seconds_each()
        left = each * (self._generations - self.done)
        speed = f"{1 / each:.1f} generations/s" if 0 < each < 1 else f"{each:.1f} s/generation"
        return f"{speed}, {duration(left)} left"


def duration(seconds: float) -> str:
    """Return a time as a person says it: 45 s, 3 min 20 s, 2 h 5 min, 3 d 4 h."""
    seconds = round(seconds)
    for size, unit, smaller_size, smaller in ((86400, "d", 3600, "h"), (3600, "h", 60, "min")):
        if seconds >= size:
            return f"{seconds // size} {unit} {seconds % size // smaller_size} {smaller}"
    return f"{seconds // 60} min {seconds % 60} s" if seconds >= 60 else f"{seconds} s"


class Plain:
    """A line every ten seconds, for files and pipes."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._shown = -PLAIN_INTERVAL
        self.stage = paced(self.message)

    def start(self, config: RunConfig, generation: int) -> None:
        """Begin the clock."""
        self._generations = config.generations
        self._clock = _Clock(config.generations, generation)

    def generation(self, entry: Entry, lineage: Lineage) -> None:
        """Print a line if the last one is old enough, or this is the last generation."""
        self._clock.tick(entry.generation + 1)
        now = time.monotonic()
        if now - self._shown < PLAIN_INTERVAL and self._clock.done < self._generations:
            return
        self._shown = now
        best = entry.survivors[0]
        score = entry.scores[entry.jobs.index(best)]
        values = " ".join(f"{n} {v:.4f}" for n, v in zip(OBJECTIVES, score.values, strict=False))
        shares = " ".join(f"{name} {share:.0%}" for name, share in lineage.shares().items())
        self.message(
            f"generation {self._clock.done}/{self._generations}  {values or 'not scored'}  "
            f"won by {best.operator} ({shares})  {self._clock.describe()}"
        )

    def message(self, text: str) -> None:
        """Print the line."""
        self._console.print(printable(text), highlight=False, markup=False, soft_wrap=True)

    def close(self) -> None:
        """Do nothing: every line is out."""


class LiveDisplay:
    """A table that is redrawn in place, for terminals."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live: Live | None = None
        self._bars: StageBars | None = None
        self._say_stage = paced(self.message)
        self._drawn = 0.0

    def start(self, config: RunConfig, generation: int) -> None:
        """Begin the display."""
        self._close_bars()
        self._config = config
        self._clock = _Clock(config.generations, generation)
        self._live = Live(console=self._console, auto_refresh=False, transient=False)
        self._live.start()

    def generation(self, entry: Entry, lineage: Lineage) -> None:
        """Redraw, at most a few times a second."""
        self._clock.tick(entry.generation + 1)
        now = time.monotonic()
        last = self._clock.done == self._config.generations
        if self._live and (last or now - self._drawn >= LIVE_INTERVAL):
            self._drawn = now
            self._live.update(self._draw(entry, lineage), refresh=True)

    def message(self, text: str) -> None:
        """Print a line above the display."""
        self._console.print(printable(text), highlight=False, markup=False, soft_wrap=True)

    def stage(self, name: str, done: int, total: int) -> None:
        """Show a bar before the display begins; after that, a line now and then."""
        if self._live:
            self._say_stage(name, done, total)
            return
        if self._bars is None:
            self._bars = StageBars(self._console)
        self._bars.advance(name, done, total)
        if done >= total:
            self._close_bars()

    def _close_bars(self) -> None:
        if self._bars:
            self._bars.close()
            self._bars = None

    def close(self) -> None:
        """Leave the last display on the screen."""
        self._close_bars()
        if self._live:
            self._live.stop()
            self._live = None

    def _draw(self, entry: Entry, lineage: Lineage) -> Group:
        total = self._config.generations
        head = Text.assemble(
            (f"{self._config.name} ", "bold"),
            f"generation {self._clock.done}/{total}  ",
            (self._clock.describe(), "dim"),
        )
        table = Table(box=None, pad_edge=False)
        table.add_column("mutation")
        names = self._config.fitness.objectives
        for name in names:
            table.add_column(name, justify="right")
        table.add_column("survives")
        table.add_column("share of wins", justify="right")
        shares = lineage.shares()
        for job, score in zip(entry.jobs, entry.scores, strict=True):
            several = self._config.population.survivors > 1 or len(job.parents) > 1
            origin = f" of {job.origin}" if several else ""
            cells = (
                [f"{value:.4f}" for value in score.values] or [""] * len(names)
                if score.finite
                else [escape((score.failure or "not finite")[:40]), *[""] * (len(names) - 1)]
            )
            mark = "yes" if job in entry.survivors else ""
            share = f"{shares.get(job.operator, 0):.0%}"
            style = "bold green" if mark else ""
            table.add_row(escape(job.operator + origin), *cells, mark, share, style=style)
        losses = "  ".join(
            f"{name if '/' in name else f'discriminator {name}'} {value:.4f}"
            for name, value in entry.training.items()
        )
        bar = Table.grid()
        bar.add_row(ProgressBar(total, self._clock.done, width=60))
        return Group(head, bar, table, Text(losses, "dim"))


class StageBars:
    """A bar for each stage, gone when it is closed."""

    def __init__(self, console: Console) -> None:
        self._display = Bars(console=console, transient=True)
        self._tasks: dict[str, TaskID] = {}
        self._display.start()

    def advance(self, stage: str, done: int, total: int) -> None:
        """Show how far a stage is."""
        if stage not in self._tasks:
            self._tasks[stage] = self._display.add_task(escape(stage), total=total)
        self._display.update(self._tasks[stage], completed=done, total=total)

    def close(self) -> None:
        """End the display."""
        self._display.stop()


def progress_for_terminal() -> Progress:
    """Return the live display where output is a terminal, else plain lines."""
    console = Console()
    return LiveDisplay(console) if console.is_terminal else Plain(console)


@contextmanager
def bars() -> Iterator[Stage]:
    """Give a function (stage, done, total) that shows each stage on standard error.

    A terminal gets a bar for each; a file or a pipe a line now and then.
    """
    console = Console(stderr=True)
    if not console.is_terminal:
        yield paced(lambda text: console.print(text, highlight=False, markup=False, soft_wrap=True))
        return
    with closing(StageBars(console)) as display:
        yield display.advance


def paced(say: Callable[[str], None]) -> Stage:
    """Return a function (stage, done, total) that says how far a stage is, now and then."""
    said = time.monotonic()  # of all stages: many short ones are a long wait, too

    def advance(stage: str, done: int, total: int) -> None:
        nonlocal said
        now = time.monotonic()
        if done < total and now - said >= PLAIN_INTERVAL:
            said = now
            say(f"{stage}: {done} of {total}")

    return advance
