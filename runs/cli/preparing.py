"""The command that packs images once: prepare."""

from pathlib import Path

import click

from runs.cli.endings import muted, plain_errors
from runs.common.hints import hint


@click.command()
@click.argument("source", type=click.Path(exists=True, path_type=Path))
@click.argument("dest", type=click.Path(path_type=Path))
@click.option(
    "--resolution",
    required=True,
    type=click.IntRange(4, 2048),
    help="Side of the images, in pixels.",
)
@click.option("--channels", type=click.Choice(["1", "3"]),
              help="Convert all images to grey (1) or colour (3).")  # fmt: skip
@click.option("--skip-bad", is_flag=True, help="Skip unreadable images and list them.")
@click.option("--force", is_flag=True, help="Overwrite images that were prepared in DEST before.")
@muted
@plain_errors
def prepare(
    source: Path, dest: Path, resolution: int, channels: str | None, skip_bad: bool, force: bool
) -> None:
    """Pack images once into a memory-mapped array that opens in milliseconds.

    SOURCE is a folder or .zip of images, an MNIST-format file or folder, CIFAR's binary folder,
    an .npy or an .npz. Train on DEST with --set data.source=packed --set data.path=DEST.
    """
    from functools import partial

    from egan.data import detect_source
    from egan.data import prepare as pack
    from egan.data.config import ImagesConfig
    from runs.common.errors import printable
    from runs.display.progress import bars

    config = detect_source(source)
    if channels is not None and isinstance(config, ImagesConfig):
        config = config.model_copy(update={"channels": int(channels)})
    with bars() as progress:
        manifest = pack(
            config,
            dest,
            resolution,
            skip_bad=skip_bad,
            progress=partial(progress, printable(f"packing {source.name}")),
            force=force,
        )
    for file, reason in manifest.skipped:
        click.echo(printable(f"skipped {file}: {reason}"), err=True)
    click.echo(f"{dest}: {manifest.count} images of {' x '.join(map(str, manifest.shape))}")
    keys = ["data.source=packed", f"data.path={dest}"]
    click.echo(f"train on them: {hint('train', 'images64', set=keys)}")
