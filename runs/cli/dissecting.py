"""The commands that look into a generator: dissect, edit."""

from pathlib import Path
from typing import Any

import click

from runs.cli.endings import muted, plain_errors
from runs.cli.options import asked_sampler, latent_options


@click.command()
@latent_options
@click.option("--layer", default="all", show_default=True, metavar="NAME|all",
              help="Layer of the generator; all: the last one of each size.")  # fmt: skip
@click.option(
    "--segmenter",
    default="colours",
    show_default=True,
    metavar="NAME|module:Name",
    help="What says which class each pixel shows: parts (of avatars), colours, classes (of "
    "labelled data), or the import path of a torch module.",
)
@click.option("--count", default=1000, show_default=True, type=click.IntRange(10),
              help="Number of images for thresholds, and again for scores.")  # fmt: skip
@click.option("--thresholds", "rule", default="ratio", show_default=True,
              type=click.Choice(["ratio", "quantile"]),
              help="How thresholds are chosen: by the information quality ratio, or the top 0.5 % "
              "of a unit's values.")  # fmt: skip
@click.option("--data", "data_at", type=click.Path(path_type=Path), metavar="PATH",
              help="Where the run's data are now, if they have moved.")  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR",
              help="Folder for the files [default: dissection, in the run's folder].")  # fmt: skip
@muted
@plain_errors
def dissect(
    run_dir: Path,
    layer: str,
    segmenter: str,
    count: int,
    rule: str,
    out: Path | None,
    data_at: Path | None,
    **options: Any,
) -> None:
    """Find out which units of a generator make which objects.

    Writes dissection.html, dissection.json and dissection.npz. A call that was interrupted goes on
    when it is given again.
    """
    from runs.common.errors import printable
    from runs.display.progress import bars
    from runs.dissection.commands import dissect as dissected
    from runs.dissection.results import PAGE, table

    subject = _subject(run_dir, **options)
    with bars() as progress:
        outcome = dissected(subject, layer, segmenter, count, rule, out, data_at, progress)
    if outcome.resumed:
        click.echo(f"went on after {outcome.resumed} images of an interrupted call")
    if held := outcome.found.held_out_iou:
        told = ", ".join(f"{k} {'none' if v is None else f'{v:.2f}'}" for k, v in held.items())
        click.echo(f"the segmenter's IoU on held-out drawings: {told}")
    for name, label, detectors in table(outcome.found):
        units = len(outcome.found.layers[name].units)
        click.echo(printable(f"{name}: {detectors} of {units} units detect {label}"))
    if not table(outcome.found):
        click.echo("no unit is a detector of any class")
    click.echo(f"{outcome.folder / PAGE}: units of the {subject.name}; MLflow: {outcome.mlflow}")


def _subject(run_dir: Path, seed: int, **options: Any) -> Any:
    """Return the generator that the options of `latent_options` choose."""
    from runs.dissection.subject import Subject

    sampler, name, asked = asked_sampler(run_dir, **options)
    return Subject(run_dir, name, sampler, asked, seed)
