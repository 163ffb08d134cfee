"""The command that opens a page in the browser on which runs are played with."""

from pathlib import Path
from typing import Any

import click

from runs.cli.endings import plain_errors
from runs.cli.options import device_option


@click.command()
@click.argument("run_dirs", nargs=-1, required=True, type=click.Path(path_type=Path),
                metavar="RUN_DIR...")  # fmt: skip
@click.option("--host", default="127.0.0.1", show_default=True,
              help="Address to listen on; beyond this machine a token is needed, which is printed.",
              )  # fmt: skip
@click.option("--port", type=click.IntRange(0, 65535),
              help="Port to listen on, 0: any free one [default: the first free one from 7860 on].",
              )  # fmt: skip
@device_option
@plain_errors
def explore(run_dirs: tuple[Path, ...], host: str, port: int | None, device: Any) -> None:
    """Play with runs on a page in the browser; runs may be in training.

    Latents by seeds and sliders, walks, mixed styles, units on and off, translations of drawings;
    several runs or snapshots side by side. Needs the extra: pip install 'evolutionary-gan[explore]'
    """
    from runs.explore.catalogue import Catalogue
    from runs.explore.serving import check_packages, serve

    check_packages()

    def ready(address: str) -> None:
        click.echo(f"open {address}   (Ctrl-C ends it)")

    serve(Catalogue(run_dirs, device), host, port, ready)
