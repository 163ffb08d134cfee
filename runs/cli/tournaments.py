"""The command that searches settings with a population of runs: tournament."""

import sys
from pathlib import Path
from typing import Any

import click

from runs.cli.endings import STOPPED, plain_errors
from runs.common.hints import hint


@click.command()
@click.argument("source", metavar="PRESET|CONFIG.yaml|TOURNAMENT_DIR")
@click.option("--count", type=click.IntRange(2),
              help="Number of islands (runs) at the start [default: 16].")  # fmt: skip
@click.option("--seed", type=click.IntRange(0), help="The tournament's seed.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE",
              help="Change a key of the tournament, such as genes=wide, or of the config that it "
                   "starts from; repeatable.")  # fmt: skip
@click.option("--output", type=click.Path(path_type=Path), metavar="DIR",
              help="The tournament's folder [default: outputs/tournament-NAME].")  # fmt: skip
@click.option("--at-once", type=click.IntRange(1),
              help="Number of islands at a time [default: as many as fit].")  # fmt: skip
@plain_errors
def tournament(
    source: str,
    count: int | None,
    seed: int | None,
    overrides: tuple[str, ...],
    output: Path | None,
    at_once: int | None,
) -> None:
    """Search for good settings with a population of competing runs.

    The worst runs copy the best ones and change their settings, and fewer and fewer runs are
    trained on. All together cost as much as one run. The same command again, or its folder alone,
    continues the tournament with the same result, bit for bit. Ctrl-C or SIGTERM stops it after a
    snapshot of each run and exits with status 3.
    """
    from runs.display.muting import muted_on_error
    from runs.tournament.config import load_tournament
    from runs.tournament.islands import TournamentFolder
    from runs.tournament.progress import ShownTournament
    from runs.tournament.running import run_tournament

    begun = TournamentFolder(Path(source))
    if begun.config.is_file():
        if count is not None or seed is not None or overrides or output is not None:
            raise click.UsageError(f"{source} was begun, so it takes no options but --at-once")
        found, output = begun.load(), begun.path
    else:
        found = load_tournament(source, overrides, count=count, seed=seed)
        output = output or Path("outputs") / f"tournament-{found.name}"
    with muted_on_error():
        result = run_tournament(found, output, ShownTournament(), at_once)
        if result.finished:
            from runs.tournament.report import write_report

            click.echo(f"\nreport: {write_report(result.path)}")
        show(result)


def show(result: Any) -> None:
    """Print how a tournament ended; exit with the status that says so."""
    if not result.finished:
        click.echo(f"stopped; go on with: {hint('tournament', result.path)}")
        sys.exit(STOPPED)
    values = result.values
    where = f"{values['island']}, generation {values['generation']}, {values['chosen']} state"
    click.echo(f"winner: {where}: checksum {values['checksum']}")
    for name, value in values["genes"].items():
        click.echo(f"  {name}: {value:.4g}" if isinstance(value, float) else f"  {name}: {value}")
    for name, value in values["metrics"].items():
        click.echo(f"  {name}: {'not a number' if value is None else format(value, '.4g')}")
    click.echo(f"spent:        {values['spent']['steps']:,} optimiser steps, judgements included")
    click.echo(f"picture:      {result.path / 'samples.png'}")
    click.echo(f"samples:      {hint('sample', result.winner, out='grid.png')}")
    click.echo(f"its settings: {hint('train', result.path / 'winner.yaml')}")
    click.echo(f"look into it: {hint('inspect', result.path)}")
