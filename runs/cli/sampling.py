"""Commands on generators: sample, and convert, which reads the weights of a PyTorch port."""

import json
from pathlib import Path
from typing import Any

import click

from runs.cli.endings import muted, plain_errors
from runs.cli.options import (
    asked_sampler,
    choice_options,
    condition_options,
    device_option,
    needs_suffix,
    repair_option,
    truncation_options,
)
from runs.common.hints import hint


@click.command()
@click.argument("run_dir", type=click.Path(path_type=Path))
@click.option("--count", type=click.IntRange(1),
              help="Number of samples [default: 64; about 100 for a grid by class].")  # fmt: skip
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0),
              help="Seed of the random draws.")  # fmt: skip
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="FILE.png: a grid, with a row for each class if the run has data.condition. FILE.npz: "
    "the array `images`, uint8, N x H x W x C (for a mixture `points`, float32, N x 2), and their "
    "conditions: `labels` and `classes`, or `tags` and `tag_names`.",
)
@click.option("--mixture", is_flag=True,
              help="Draw from all survivors, with the weights that fit held-out reals best.",
              )  # fmt: skip
@repair_option
@condition_options
@choice_options
@truncation_options
@muted
@plain_errors
def sample(
    run_dir: Path,
    count: int | None,
    seed: int,
    out: Path,
    mixture: bool,
    **options: Any,
) -> None:
    """Draw samples from a run's averaged generator."""
    from runs.display.progress import bars
    from runs.sampling.generators import is_generator
    from runs.sampling.opening import mixture_centres
    from runs.sampling.writing import USUAL, usual_count, write_samples
    from runs.store.folder import RunFolder

    needs_suffix(out, ".png", ".npz")
    sampler, name, asked = asked_sampler(run_dir, mixture=mixture, **options)
    if count is None:
        count = usual_count(sampler, USUAL, asked) if out.suffix == ".png" else USUAL
    centres = None
    if not is_generator(run_dir):
        centres = mixture_centres(RunFolder.open(run_dir).load_config().data)
    with bars() as progress:
        count = write_samples(sampler, count, seed, out, centres, asked, progress)
    of = f", {', '.join(asked.names)}" if asked else ""
    click.echo(f"{out}: {count} samples of the {name}{of}{sampler.fading}")


@click.command()
@click.argument("run_dir", type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path), metavar="DIR",
              help="Folder of the averaged generator.")  # fmt: skip
@click.option("--raw", is_flag=True,
              help="Average the snapshots' own weights, not their running averages.")  # fmt: skip
@device_option
@muted
@plain_errors
def soup(run_dir: Path, out: Path, raw: bool, device: Any) -> None:
    """Average those snapshots of a run that together fit held-out reals best.

    The commands sample, mix, interpolate, noise and evaluate take DIR instead of a run;
    population.first_parent=DIR starts a run from it.
    """
    from runs.evaluation.soup import check_out, make_soup, write_soup

    check_out(out)
    found = make_soup(run_dir, raw, device)
    write_soup(run_dir, out, found)
    members = ", ".join(map(str, found.members))
    click.echo(f"{out}: the average of {len(found.members)} of {len(found.tried)} snapshots, "
               f"generations {members}")  # fmt: skip
    click.echo(f"MMD to {found.reals}: {found.fitness[0]:.4g}; the best snapshot alone: "
               f"{found.alone[0]:.4g}")  # fmt: skip
    click.echo(f"with other noise and other reals: {found.fitness[1]:.4g}; alone: "
               f"{found.alone[1]:.4g}")  # fmt: skip
    click.echo(f"look at it:  {hint('sample', out, out='grid.png')}")


@click.command()
@click.argument("weights", type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path), metavar="DIR",
              help="Folder of the converted generator.")  # fmt: skip
@click.option(
    "--resolution",
    type=click.IntRange(8, 1024),
    help="Resolution of the generator, if the file has several [default: the highest].",
)
@muted
@plain_errors
def convert(weights: Path, out: Path, resolution: int | None) -> None:
    """Convert the weights of a StyleGAN generator from a PyTorch port.

    WEIGHTS is a state dict, .safetensors or torch's format, in one of two layouts: see
    docs/stylegan.md. The commands sample, mix, interpolate, noise and evaluate take DIR instead
    of a run; population.first_parent=DIR starts a run from it.
    """
    from runs.sampling.conversion import convert_port

    found = convert_port(weights, out, resolution)
    keys = ("latent", "style", "mapping_layers", "mapping_multiplier", "fmap_base", "fmap_max")
    values = ", ".join(f"{key}: {getattr(found.backbone, key)}" for key in keys)
    size = " x ".join(map(str, found.shape))
    click.echo(f"{out}: a StyleGAN generator of images {size}, {found.parameters:,} parameters")
    click.echo(f"look at it:  {hint('sample', out, truncation=0.7, out='grid.png')}")
    click.echo(f"evolve it:   population: {{first_parent: {json.dumps(str(out))}}}\n"
               f"             backbone: {{name: stylegan, {values}}}")  # fmt: skip
