"""The command that translates images."""

import sys
from pathlib import Path
from typing import Any

import click

from runs.cli.endings import FAILED, plain_errors
from runs.cli.options import choice_of, choice_options


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
        sys.exit(FAILED)
