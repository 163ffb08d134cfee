"""The report of `inspect` on a tournament: islands, genes, ancestry, time left."""

from collections import deque
from pathlib import Path
from statistics import mean
from typing import Any

from rich.console import Console
from rich.table import Table

from runs.common.errors import printable
from runs.display.progress import duration
from runs.store.journal import Entry, read_journal
from runs.tournament.history import History, read_history, to_json
from runs.tournament.islands import TournamentFolder, config_of
from runs.tournament.schedule import steps_of_generation

RECENT = 50  # generations that the pace is read off
SHOWN = 6  # genes in the table


def inspect_tournament(path: Path) -> dict[str, Any]:
    """Return a tournament's state as JSON values; it may be going on.

    Raises:
        ConfigError: there is none, or its record is damaged.
    """
    folder = TournamentFolder(path)
    history = read_history(folder)
    found = {"path": str(path), **to_json(history)}
    return found | {"computing_left": None if history.result else _left(folder, history)}


def _left(folder: TournamentFolder, history: History) -> float | None:
    """Return about how many seconds of computing are left, as if in one process; None: unknown."""
    paces = []
    for life in history.standing.living:
        lines = (line for line in read_journal(folder.life(life.name).journal))
        recent = deque((line for line in lines if isinstance(line, Entry)), RECENT)
        if recent:
            config = config_of(history.tournament, history.plan, life)
            seconds = mean(entry.seconds.get("total", 0.0) for entry in recent)
            paces.append(seconds / steps_of_generation(config))
    return mean(paces) * (history.steps - history.spent) if paces else None


def render(found: dict[str, Any], console: Console | None = None) -> None:
    """Print what `inspect_tournament` found."""
    console = console or Console(highlight=False)

    def say(text: str) -> None:
        console.print(printable(text), markup=False, soft_wrap=True)

    rounds, steps = found["rounds"], found["steps"]
    say(f"tournament {found['name']}, {' -> '.join(map(str, found['stages']))} islands")
    say(f"round {rounds['done']} of {rounds['all']}, {steps['spent']:,} of {steps['all']:,} steps")
    if found["computing_left"]:
        say(f"about {duration(found['computing_left'])} of computing left, shared by its processes")
    keys = list(found["islands"][0]["genes"])[:SHOWN]
    short = [key.removeprefix("optimizer.").removeprefix("discriminator.") for key in keys]
    table = Table("island", "from", "state", "generation", "fitness", *short, box=None)
    for island in found["islands"]:
        fitness = island["fitness"]
        style = "bold" if island["state"] == "lives" else ""
        table.add_row(
            island["name"],
            island["parent"] or "",
            island["state"],
            str(island["generation"]),
            "" if fitness is None else f"{fitness:.4g}",
            *(_shown(island["genes"][key]) for key in keys),
            style=style,
        )
    console.print(table)
    if kept := found["kept"]:
        say(f"kept: {kept['name']} at generation {kept['generation']}, "
            f"fitness {kept['fitness']:.4g}")  # fmt: skip
    if result := found["result"]:
        where = f"{result['island']} at generation {result['generation']}"
        say(f"winner: {where}, {result['chosen']} state, checksum {result['checksum']}")
        say(f"it lies in {found['path']}/{result['winner']}")


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3g}"
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
