"""Commands that compare strategies: study, compare."""

import sys
from pathlib import Path
from typing import Any

import click

from runs.cli.endings import FAILED, STOPPED, plain_errors, showing
from runs.common.hints import hint


@click.command()
@click.argument("source", metavar="STUDY.yaml|STUDY_DIR|NAME")
@click.option("--output", type=click.Path(path_type=Path), metavar="DIR",
              help="The study's folder [default: outputs/NAME].")  # fmt: skip
@click.option(
    "--at-once", type=click.IntRange(1), help="Number of runs at a time [default: as many as fit]."
)
@plain_errors
def study(source: str, output: Path | None, at_once: int | None) -> None:
    """Compare strategies over several seeds at equal budgets.

    The same command again continues the study. Ctrl-C or SIGTERM stops all runs after a snapshot
    and exits with status 3.
    """
    from runs.display.muting import muted_on_error
    from runs.study.running import run_study

    with muted_on_error():
        show(run_study(source, output, at_once))


def show(result: Any) -> None:
    """Print how a study ended and what it found; exit with the status that says so."""
    from runs.study.report import render

    for name in result.failed:
        click.echo(f"failed: {name}", err=True)
    if result.record:
        click.echo(f"MLflow: {result.record}")
    if not result.finished:
        click.echo(f"stopped; go on with: {hint('study', result.path)}")
        sys.exit(STOPPED)
    if result.report is None:
        sys.exit(FAILED)
    click.echo()
    render(result.report)


@click.command()
@click.argument("subject", metavar="STUDY_DIR|EXPERIMENT")
@click.option("--metric", "metrics", multiple=True, metavar="NAME",
              help="A metric to compare; the first one decides; repeatable.")  # fmt: skip
@click.option("--control", metavar="STRATEGY",
              help="Compare each other strategy with this one [default: the study's, else every "
              "two]. The report is then in a folder of its own, inside the study's.")  # fmt: skip
@click.option("--study", "name", help="Name of a study of the experiment [default: the newest].")
@click.option(
    "--store", help="MLflow's store [default: MLFLOW_TRACKING_URI, else MLflow's default]."
)
@click.option("--output", type=click.Path(path_type=Path), metavar="DIR",
              help="Folder of the report [default: STUDY_DIR, else outputs/].")  # fmt: skip
@showing
@plain_errors
def compare(
    subject: str,
    metrics: tuple[str, ...],
    control: str | None,
    name: str | None,
    store: str | None,
    output: Path | None,
) -> None:
    """Compare the runs of a study or of an MLflow experiment.

    The runs' folders are not needed for an experiment: MLflow's store is enough.
    """
    from runs.study.report import render, report_on_folder, report_on_store

    if (Path(subject) / "study.yaml").is_file():
        render(report_on_folder(subject, metrics, output, control))
    else:
        render(report_on_store(subject, metrics, name, output, store, control))
