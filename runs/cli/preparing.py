"""The command that packs images: prepare."""

from pathlib import Path
from typing import Any

import click

from runs.cli.endings import muted, plain_errors
from runs.common.hints import hint

SIZES = (8, 16, 32, 64, 128, 256)  # that the preset images64 can make
KINDS = {  # what a source of data is called; an array by its file's ending
    "idx": "MNIST-format files",
    "cifar": "CIFAR's binary files",
    "images": "a folder or .zip of images",
    "packed": "a folder that prepare wrote",
}


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
@click.option("--part", type=click.Choice(["train", "val", "test", "all"]),
              help="The part to pack, if the folder has parts [default: train].")  # fmt: skip
@click.option("--labels", type=click.Choice(["json", "folders", "none"]),
              help="Take labels from dataset.json, from the folders' names, or from nowhere "
              "[default: as they are found].")  # fmt: skip
@click.option("--bits", type=click.IntRange(8, 16),
              help="Number of bits that 16-bit grey images use [default: 16].")  # fmt: skip
@click.option("--split", type=click.Choice(["train", "test"]),
              help="The files of MNIST or CIFAR to pack [default: train].")  # fmt: skip
@click.option(
    "--key", metavar="NAME", help="Name of the images' array in an .npz with several arrays."
)
@click.option("--skip-bad", is_flag=True, help="Skip unreadable images and list them.")
@click.option(
    "--force", is_flag=True, help="Overwrite the images that DEST holds from an earlier call."
)
@muted
@plain_errors
def prepare(
    source: Path,
    dest: Path,
    resolution: int,
    channels: str | None,
    skip_bad: bool,
    force: bool,
    **options: Any,
) -> None:
    """Pack images into a memory-mapped array.

    Such an array opens in milliseconds.

    SOURCE is a folder or .zip of PNG, JPEG, WebP, BMP or TIFF images, an MNIST-format file or
    folder, CIFAR's binary folder, an .npy or an .npz. Train on DEST with --set data.source=packed
    --set data.path=DEST.
    """
    from functools import partial

    from egan.data import detect_source, open_source
    from egan.data import prepare as pack
    from egan.data.config import PackedConfig
    from egan.data.report import report_of
    from runs.common.errors import printable
    from runs.display.progress import bars

    config = detect_source(source)
    given = options | {"channels": None if channels is None else int(channels)}
    given = {name: value for name, value in given.items() if value is not None}
    if other := [f"--{name}" for name in given if name not in type(config).model_fields]:
        which = f"{', '.join(other)} {'is' if len(other) == 1 else 'are'}"
        kind = KINDS.get(config.source, f"a {source.suffix} file")
        raise click.UsageError(f"{which} not for {kind}: {source}")
    config = config.model_copy(update=given)
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
    for line in report_of(open_source(PackedConfig(path=dest))):
        click.echo(printable(line))
    click.echo(f"{dest}: {manifest.count} images of {' x '.join(map(str, manifest.shape))}")
    if resolution in SIZES:
        keys = ["data.source=packed", f"data.path={dest}"]
        click.echo(f"train on them: {hint('train', 'images64', set=keys)}")
    else:
        click.echo(f"note: the presets make images of {', '.join(map(str, SIZES))} pixels")
