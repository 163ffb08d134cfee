"""The commands of translators: translate, report."""

import sys
from pathlib import Path
from typing import Any

import click

from runs.cli.endings import FAILED, MISTAKE, muted, plain_errors
from runs.cli.options import choice_of, choice_options, needs_suffix


@click.command()
@click.argument("run_dir", type=click.Path(path_type=Path))
@click.argument("images", nargs=-1, required=True)
@click.option("--out", required=True, type=click.Path(path_type=Path), metavar="DIR|FILE",
              help="A folder for PNG files; for one image also FILE.png or FILE.tif.")  # fmt: skip
@click.option("--reverse", is_flag=True, help="Translate from B to A (a run of two sets).")
@click.option(
    "--resize",
    is_flag=True,
    help="Resize images to the size used in training [default: they keep their own size].",
)
@click.option("--convert", is_flag=True, help="Convert images to the channels used in training.")
@click.option(
    "--tile",
    default=512,
    show_default=True,
    type=click.IntRange(16),
    metavar="PIXELS",
    help="Side of the tiles that larger images are translated in.",
)
@click.option(
    "--overlap",
    default=64,
    show_default=True,
    type=click.IntRange(0),
    metavar="PIXELS",
    help="Width of the strip that neighbouring tiles share.",
)
@click.option("--bits", default="8", show_default=True, type=click.Choice(["8", "16"]),
              help="Bits per channel of the output.")  # fmt: skip
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0),
              help="Seed of dropout, where the run translates with dropout on.")  # fmt: skip
@choice_options
@plain_errors
def translate(
    run_dir: Path,
    images: tuple[str, ...],
    out: Path,
    reverse: bool,
    bits: str,
    snapshot: str | int,
    survivor: int,
    raw: bool,
    device: Any,
    **options: Any,
) -> None:
    """Translate images with a run of pairs or of two sets, or with a generator's folder.

    A generator's folder is what MLflow's model of a run holds. IMAGES are files, folders, .zip
    archives or quoted glob patterns such as "in/*.png". The direction and the mode of normalisation
    and dropout are read from the run's config.
    """
    from runs.common.errors import printable
    from runs.display.progress import bars
    from runs.translation.opening import find_translator
    from runs.translation.translating import Options, translate_files

    choice = choice_of(snapshot, survivor, raw)
    translator, name = find_translator(run_dir, choice, device, reverse)
    asked = Options(bits=int(bits), **options)
    with bars() as progress:
        outcome = translate_files(translator, images, out, asked, progress)
    for failure in outcome.failures:
        click.echo(printable(f"not translated: {failure}"), err=True)
    if outcome.written:
        click.echo(f"{out}: {len(outcome.written)} image(s) by the {name}")
    if outcome.failures:
        sys.exit(FAILED if outcome.written else MISTAKE)


@click.command()
@click.argument("run_dir", type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path), metavar="FILE.html")
@click.option("--part", default="test", show_default=True,
              type=click.Choice(["test", "held-out"]),
              help="The images: the test part, or those held out of training, which judge "
              "children.")  # fmt: skip
@click.option("--data", "data_at", type=click.Path(path_type=Path), metavar="PATH",
              help="Where the run's data are now, if they have moved.")  # fmt: skip
@click.option("--count", type=click.IntRange(2), help="Number of images [default: all].")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0),
              help="Seed of dropout, where the run translates with dropout on.")  # fmt: skip
@choice_options
@muted
@plain_errors
def report(
    run_dir: Path, out: Path, snapshot: str | int, survivor: int, raw: bool, **options: Any
) -> None:
    """Write a page on a run that translates images, also while it trains.

    It is one HTML file: how far the run is, its scores, and rows of input, output and target with
    the scores of each image, the worst first. Nothing of the run is changed.
    """
    from runs.display.progress import bars
    from runs.translation.page import write_page
    from runs.translation.report import report_on

    needs_suffix(out, ".html")
    choice = choice_of(snapshot, survivor, raw)
    with bars() as progress:
        made = report_on(run_dir, choice=choice, progress=progress, **options)
    write_page(made, out)
    click.echo(f"{out}: {made.subject}")
