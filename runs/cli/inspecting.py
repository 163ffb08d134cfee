"""Commands that show runs and presets: inspect, presets."""

import json
from pathlib import Path

import click

from runs.cli.endings import plain_errors, showing


@click.command()
@click.argument("run_dir", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@showing
@plain_errors
def inspect(run_dir: Path, as_json: bool) -> None:
    """Show the state and the scores of a run or a tournament.

    Also check its snapshots. The run may still be in progress.
    """
    if (run_dir / "tournament.yaml").is_file():
        from runs.tournament import inspection

        of_tournament = inspection.inspect_tournament(run_dir)
        if as_json:
            click.echo(json.dumps(of_tournament, indent=2))
        else:
            inspection.render(of_tournament)
        return
    from runs.display.inspection import inspect_run, render
    from runs.display.progress import bars

    with bars() as progress:
        found = inspect_run(run_dir, progress)
    if as_json:
        click.echo(json.dumps(found, indent=2))
    else:
        render(found)


@click.command()
@click.argument("name", required=False)
@showing
@plain_errors
def presets(name: str | None) -> None:
    """List the presets, or print one to start a config from."""
    from runs.presets import preset_names, preset_text

    if name:
        click.echo(preset_text(name), nl=False)
        return
    names = preset_names()
    width = max(map(len, names))
    for known in names:
        first = preset_text(known).splitlines()[0].removeprefix("#").strip()
        click.echo(f"{known:<{width}}  {first}")
