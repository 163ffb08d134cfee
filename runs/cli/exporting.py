"""The command that writes a generator as a file for other programs."""

from pathlib import Path

import click

from runs.cli.endings import muted, plain_errors
from runs.cli.options import choice_of, needs_suffix, snapshot_options, truncation_options


@click.command()
@click.argument("run_dir", type=click.Path(path_type=Path))
@click.option("--onnx", "out", required=True, type=click.Path(path_type=Path), metavar="FILE.onnx")
@click.option("--reverse", is_flag=True, help="Export the way from B to A (a run of two sets).")
@snapshot_options
@truncation_options
@muted
@plain_errors
def export(
    run_dir: Path,
    out: Path,
    reverse: bool,
    snapshot: str | int,
    survivor: int,
    raw: bool,
    truncation: float | None,
    cutoff: int | None,
) -> None:
    """Write a generator, of a run or of a generator's folder, as an ONNX file.

    ONNX Runtime must compute with it what torch does, to 0.0001; otherwise no file is written.
    Inputs: noise (N, latent), or z and seeds for styles, and condition (N, size) where the run has
    conditions; of a translator images (N, C, H, W) in [-1, 1], and seeds where dropout is on.
    """
    from runs.export.exporting import export_onnx

    needs_suffix(out, ".onnx", option="--onnx")
    choice = choice_of(snapshot, survivor, raw)
    for line in export_onnx(run_dir, out, choice, reverse, truncation, cutoff):
        click.echo(line)
