"""Commands that explore a latent space: mix, interpolate, noise."""

from pathlib import Path
from typing import Any

import click

from runs.cli.endings import muted, plain_errors
from runs.cli.options import asked_sampler, latent_options, needs_suffix, repair_option


@click.command()
@latent_options
@click.option("--out", required=True, type=click.Path(path_type=Path), metavar="FILE.png")
@click.option("--columns", default=6, show_default=True, type=click.IntRange(1),
              help="Number of source images.")  # fmt: skip
@click.option("--rows", default=2, show_default=True, type=click.IntRange(1),
              help="Number of images for each of the ranges coarse, middle and fine.")  # fmt: skip
@repair_option
@muted
@plain_errors
def mix(
    run_dir: Path,
    out: Path,
    columns: int,
    rows: int,
    seed: int,
    **options: Any,
) -> None:
    """Mix the styles of images.

    Each row shows one image (left) with the coarse, middle or fine styles of the sources (top).
    """
    from runs.display.progress import bars
    from runs.sampling.latent import mixing_grid, style_ranges
    from runs.sampling.pictures import save_images

    needs_suffix(out, ".png")
    sampler, name, asked = asked_sampler(run_dir, **options)
    with bars() as progress:
        cells = mixing_grid(sampler, seed, columns, rows, asked, progress)
    save_images(cells, out, columns + 1)
    ranges = style_ranges(sampler.sample_shape[-1]).items()
    parts = ", ".join(f"{part} (layers {r.start} to {r.stop - 1})" for part, r in ranges)
    click.echo(
        f"{out}: styles of the {name}; from the top, {rows} row(s) each: {parts}{sampler.fading}"
    )


@click.command()
@latent_options
@click.option("--out", required=True, type=click.Path(path_type=Path), metavar="FILE",
              help="FILE.png: a row for each step from one latent to the next. FILE.gif: a loop. "
              "FILE.mp4: a loop, if ffmpeg is installed.")  # fmt: skip
@click.option("--space", default="z", show_default=True, type=click.Choice(["z", "w"]),
              help="The latent space to interpolate in.")  # fmt: skip
@click.option("--path", "route", default="linear", show_default=True,
              type=click.Choice(["linear", "spherical"]),
              help="How to interpolate.")  # fmt: skip
@click.option("--points", default=4, show_default=True, type=click.IntRange(2),
              help="Number of latents.")  # fmt: skip
@click.option("--frames", default=8, show_default=True, type=click.IntRange(1),
              help="Number of images from one latent to the next.")  # fmt: skip
@click.option("--rate", default=12, show_default=True, type=click.IntRange(1, 50),
              help="Images per second.")  # fmt: skip
@repair_option
@muted
@plain_errors
def interpolate(
    run_dir: Path,
    out: Path,
    space: Any,
    route: Any,
    points: int,
    frames: int,
    rate: int,
    seed: int,
    **options: Any,
) -> None:
    """Interpolate between latents, and back to the first.

    With several classes, as in --class 3 --class 8, interpolate between these, with one latent.
    """
    from runs.display.progress import bars
    from runs.sampling.animation import write_animation
    from runs.sampling.latent import interpolation
    from runs.sampling.pictures import save_images

    needs_suffix(out, ".png", ".gif", ".mp4")
    sampler, name, asked = asked_sampler(run_dir, **options)
    between = asked is not None and len(asked) > 1
    points = len(asked) if between else points
    with bars() as progress:
        images = interpolation(sampler, seed, points, frames, space, route, asked, progress)
    if out.suffix.lower() == ".png":
        save_images(images, out, frames, asked.names if between else None)
    else:
        write_animation(images, out, rate)
    through = f"{points} latents"
    if asked is not None:
        told = ", ".join(asked.names)
        through = f"{told}, with one latent," if between else f"{points} latents of {told}"
    click.echo(f"{out}: a {route} walk through {through} in {space}, of the {name}{sampler.fading}")


@click.command()
@latent_options
@click.option("--out", required=True, type=click.Path(path_type=Path), metavar="FILE.png")
@click.option("--columns", default=4, show_default=True, type=click.IntRange(1),
              help="Number of noise draws for each latent.")  # fmt: skip
@click.option("--rows", default=4, show_default=True, type=click.IntRange(1),
              help="Number of latents.")  # fmt: skip
@repair_option
@muted
@plain_errors
def noise(
    run_dir: Path,
    out: Path,
    columns: int,
    rows: int,
    seed: int,
    **options: Any,
) -> None:
    """Show what noise changes in the images of one latent.

    Each row has one latent. Its last image is the standard deviation of each pixel.
    """
    from runs.display.progress import bars
    from runs.sampling.latent import noise_variation
    from runs.sampling.pictures import save_images

    needs_suffix(out, ".png")
    sampler, name, asked = asked_sampler(run_dir, **options)
    with bars() as progress:
        found = noise_variation(sampler, seed, rows, columns, asked=asked, progress=progress)
    save_images(found.cells, out, found.columns)
    click.echo(
        f"{out}: noise of the {name}; white in the last column is a standard deviation of "
        f"{found.largest:.2f} of 255"
    )
