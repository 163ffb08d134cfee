"""The command line. Only click is imported here: every command imports what it needs itself."""

import json
import os
import shlex
import shutil
import sys
from collections.abc import Callable
from difflib import get_close_matches
from functools import wraps
from pathlib import Path
from typing import Any

import click

FAILED, MISTAKE, STOPPED = 1, 2, 3


class Group(click.Group):
    """A group that names the nearest command when one is misspelt."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command; a misspelt one is the user's mistake."""
        if args and args[0] not in self.commands and not args[0].startswith("-"):
            near = get_close_matches(args[0], self.commands, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise click.UsageError(
                f"no command {args[0]!r}.{hint} Commands: {', '.join(sorted(self.commands))}"
            )
        return super().resolve_command(ctx, args)


def plain_errors(command: Callable[..., Any]) -> Callable[..., Any]:
    """Turn a user's mistake into a message and status 2, a failed run into one and status 1."""

    @wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        from egan.data import DataError
        from egan.engine import Diverged
        from populations.executors.base import WorkerLost, out_of_memory
        from populations.selection import NoFiniteChild
        from runs.common.errors import ConfigError, printable
        from runs.common.lock import RunBusy

        try:
            return command(*args, **kwargs)
        except (ConfigError, DataError, RunBusy) as error:
            click.echo(printable(f"error: {error}"), err=True)
            sys.exit(MISTAKE)
        except BrokenPipeError:
            raise  # `| head` has read enough; click ends quietly
        except (NoFiniteChild, Diverged, WorkerLost, OSError) as error:
            click.echo(printable(f"{command.__name__} failed: {error}"), err=True)
            sys.exit(FAILED)
        except (MemoryError, RuntimeError) as error:
            if not out_of_memory(error):
                raise
            message = f"{command.__name__} failed: {advice_on_memory(command.__name__, error)}"
            click.echo(printable(message), err=True)
            sys.exit(FAILED)

    return wrapped


MEMORY_ADVICE = {  # what makes a command smaller; a run is made smaller by its config
    "sample": "Lower --count, or write --out FILE.npz, which needs no more memory for more samples",
    "mix": "Lower --columns or --rows",
    "interpolate": "Lower --points or --frames",
    "noise": "Lower --columns or --rows",
    "evaluate": "Lower --count, or ask for fid alone: kid and prdc keep the features of all images",
    "statistics": "Lower --count or --resolution",
    "prepare": "Lower --resolution",
}


def advice_on_memory(command: str, error: BaseException) -> str:
    """Return a line on memory that was short, with what to change about a command."""
    from populations.executors.base import memory_advice, short_memory

    if command not in MEMORY_ADVICE:
        return memory_advice(error)
    device = ", or take --device cpu" if "CUDA" in str(error) and command != "prepare" else ""
    return f"{short_memory(error)}. {MEMORY_ADVICE[command]}{device}"


def stoppable(command: Callable[..., Any]) -> Callable[..., Any]:
    """End a run's command with status 3 on SIGTERM or Ctrl-C, from its first moment on.

    While the generations go on, they are finished first: see `runs.common.signals`.
    """

    @wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        from runs.common.signals import exit_at_once

        params = click.get_current_context().params

        def advice() -> str:
            folder = Path(params["output"] or params.get("run_dir") or "")
            if not (folder / "config.yaml").is_file():
                return "the run had not begun, so start it again"
            return f"go on with: {resume_command(folder)}"

        with exit_at_once(STOPPED, advice):
            return command(*args, **kwargs)

    return wrapped


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="evolutionary-gan")
def main() -> None:
    """Evolve GAN generators against a shared discriminator.

    \b
    First steps:
      run-evolution presets                 what can be evolved out of the box
      run-evolution train digits            evolve digits; a few minutes on a laptop
      run-evolution inspect outputs/RUN     how the run went
      run-evolution sample outputs/RUN --out grid.png
    """


def execution_options(command: Any) -> Any:
    """Add the options that say where a run's children are made."""
    for option in (
        click.option("--device", help="auto, cpu or cuda."),
        click.option("--workers", help="How many Ray workers, or auto."),
        click.option("--address", help="A Ray cluster's, such as auto or HOST:6379."),
        click.option("--executor", help="auto, local (in this process) or ray (workers)."),
    ):
        command = option(command)
    return command


def truncation_options(command: Any) -> Any:
    """Add the options of the truncation in W."""
    for option in (
        click.option("--cutoff", type=int, metavar="LAYERS",
                     help="Truncate the first layers only [default: all]."),
        click.option("--truncation", type=float, metavar="PSI",
                     help="Of a generator with styles: draw them to their mean, 1: not at all, "
                          "0: the mean itself."),
    ):  # fmt: skip
        command = option(command)
    return command


def device_option(command: Any) -> Any:
    """Add the option that says where samples are made and features computed."""
    return click.option("--device", default="auto", show_default=True,
                        type=click.Choice(["auto", "cpu", "cuda"]),
                        help="auto: CUDA, if it is here and the run may use it; else the CPU."
                        )(command)  # fmt: skip


def snapshot_name(_context: click.Context, _option: click.Parameter, value: str) -> str | int:
    """Return `best` or `newest` as it is, and a generation as a number."""
    if value in ("best", "newest"):
        return value
    if value.isdecimal() and len(value) <= 18:
        return int(value)
    raise click.BadParameter(f"{value!r}: give best, newest, or a generation such as 500")


def choice_options(command: Any) -> Any:
    """Add the options that say which generator of a run is meant, and where it runs."""
    for option in (
        device_option,
        click.option("--raw", is_flag=True,
                     help="Take the survivor's own weights, not their running average."),
        click.option("--survivor", default=0, show_default=True, type=click.IntRange(0),
                     metavar="INDEX", help="Which survivor, 0 being the best."),
        click.option("--snapshot", default="best", show_default=True, callback=snapshot_name,
                     metavar="best|newest|GENERATION",
                     help="best: by its scorings, where the run keeps any, else the newest."),
    ):  # fmt: skip
        command = option(command)
    return command


def chosen_sampler(
    run_dir: Path, snapshot: str | int, survivor: int, raw: bool, device: Any
) -> tuple[Any, str]:
    """Return the sampler that `choice_options` ask for, and the name of what it comes from."""
    from runs.sampling.opening import Choice, open_sampler

    return open_sampler(run_dir, Choice(snapshot, survivor, raw), device)


def execution_of(**options: str | None) -> dict[str, str]:
    """Return the keys of `execution` that the options set."""
    return {key: value for key, value in options.items() if value is not None}


@main.command()
@click.argument("source", metavar="PRESET|CONFIG.yaml")
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Change a key of the config, such as population.survivors=2; repeatable.",
)
@click.option("--seed", type=int, help="The run's seed: the same as --set seed=S.")
@click.option("--output", type=click.Path(path_type=Path), metavar="DIR",
              help="The run's folder [default: outputs/NAME-TIME].")  # fmt: skip
@click.option("--resume", "mode", default="never", show_default=True,
              type=click.Choice(["never", "auto"]),
              help="auto: continue the run in --output or checkpoint.mirror, if any.")  # fmt: skip
@execution_options
@stoppable
@plain_errors
def train(
    source: str,
    overrides: tuple[str, ...],
    seed: int | None,
    output: Path | None,
    mode: str,
    **execution: str | None,
) -> None:
    """Evolve a population from a preset or a config file.

    Ctrl-C or SIGTERM finishes the generation, or gives it up after checkpoint.grace seconds, writes
    a snapshot and exits with status 3; `resume`, or the same command with `--resume auto`, goes on
    from there, to the bit.
    """
    if mode == "auto" and output is None:
        raise click.UsageError("--resume auto needs --output DIR: the folder to look into")
    from runs.config.loading import load_config
    from runs.display.progress import progress_for_terminal
    from runs.store.folder import RunFolder
    from runs.training.continuing import evolve_or_resume
    from runs.training.driver import evolve

    settings: dict[str, Any] = {} if seed is None else {"seed": seed}
    for key, value in execution_of(**execution).items():
        settings[f"execution__{key}"] = value
    config = load_config(source, overrides, **settings)
    output = output or RunFolder.default_path(config)
    click.get_current_context().params["output"] = output  # for `stoppable`
    begin = evolve_or_resume if mode == "auto" else evolve
    report(begin(config, output, progress_for_terminal()))


@main.command()
@click.argument("run_dir", metavar="RUN_DIR|URI")
@click.option("--generations", type=click.IntRange(1), help="A new total of generations.")
@click.option("--output", type=click.Path(path_type=Path), metavar="DIR",
              help="Where to fetch a URI's run to [default: outputs/LAST-PART].")  # fmt: skip
@execution_options
@stoppable
@plain_errors
def resume(
    run_dir: str,
    generations: int | None,
    output: Path | None,
    **execution: str | None,
) -> None:
    """Continue a run that was stopped or killed; it ends in the bits of one that was not.

    The URI of a mirror, such as s3://bucket/prefix, is fetched into --output first.
    """
    if output is not None and "://" not in run_dir:
        raise click.UsageError("--output is for a URI; a run in a folder goes on in it")
    from runs.display.progress import progress_for_terminal
    from runs.training.driver import resume as continue_run

    settings = execution_of(**execution)
    report(continue_run(run_dir, generations, progress_for_terminal(), output, **settings))


def resume_command(path: Path) -> str:
    """Return the command that continues a run."""
    return f"{program('run-evolution')} resume {shlex.quote(str(path))}"


def report(result: Any) -> None:
    """Print where the run's results lie, and exit with status 3 if a signal stopped it."""
    path = result.path
    if result.checksum:
        click.echo(f"\nstate at generation {result.generation}: checksum {result.checksum}")
    grids = sorted((path / "samples").glob("*.png"))
    if grids:
        click.echo(f"sample grid:   {grids[-1]}")
    click.echo(f"plots:         {path / 'plots'}")
    click.echo(f"look into it:  {program('run-evolution')} inspect {path}")
    click.echo(f"MLflow pages:  {mlflow_pages(path)}")
    if not result.finished:
        click.echo(f"\nstopped by {result.stopped_by}; go on with: {resume_command(path)}")
        sys.exit(STOPPED)


def program(name: str) -> str:
    """Return how to call a program of this environment from the shell that called us."""
    if shutil.which(name):
        return name
    path = Path(sys.executable).parent / name
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def mlflow_pages(path: Path) -> str:
    """Return the command that opens MLflow's pages on the store of a run, or a server's address."""
    from runs.common.files import read_json

    try:
        uri = read_json(path / "tracking.json")["uri"]
    except (OSError, ValueError, KeyError, TypeError):
        uri = None
    uri = uri if isinstance(uri, str) and uri else os.environ.get("MLFLOW_TRACKING_URI")
    if uri and uri.startswith(("http://", "https://")):
        return uri
    default = f"sqlite:///{Path('mlflow.db').absolute()}"
    mlflow = f"{program('mlflow')} ui"
    return mlflow if uri in (None, default) else f"{mlflow} --backend-store-uri {uri}"


@main.command()
@click.argument("run_dir", type=click.Path(path_type=Path))
@click.option("--count", default=64, show_default=True, type=click.IntRange(1))
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0))
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="FILE.png: a grid. FILE.npz: the array `images`, uint8, N x H x W x C "
    "(`points`, float32, N x 2, of a mixture).",
)
@choice_options
@truncation_options
@plain_errors
def sample(
    run_dir: Path,
    count: int,
    seed: int,
    out: Path,
    truncation: float | None,
    cutoff: int | None,
    **choice: Any,
) -> None:
    """Draw samples from a run: by the averaged generator of its best parent."""
    from runs.display.progress import bars
    from runs.sampling.generators import is_generator
    from runs.sampling.opening import mixture_centres
    from runs.sampling.writing import write_samples
    from runs.store.folder import RunFolder

    needs_suffix(out, ".png", ".npz")
    sampler, name = chosen_sampler(run_dir, **choice)
    centres = None
    if not is_generator(run_dir):
        centres = mixture_centres(RunFolder.open(run_dir).load_config().data)
    with bars() as progress:
        write_samples(sampler.truncated(truncation, cutoff), count, seed, out, centres, progress)
    click.echo(f"{out}: {count} samples of the {name}")


def latent_options(command: Any) -> Any:
    """Add what the commands that look into a latent space have in common."""
    command = choice_options(truncation_options(command))
    for option in (
        click.option("--seed", default=0, show_default=True, type=click.IntRange(0)),
        click.argument("run_dir", type=click.Path(path_type=Path)),
    ):  # fmt: skip
        command = option(command)
    return command


def needs_suffix(out: Path, *suffixes: str) -> None:
    """Refuse a file's name that says another format, before anything is computed."""
    if out.suffix.lower() not in suffixes:
        raise click.UsageError(f"--out {out}: the file's name must end in {' or '.join(suffixes)}")


@main.command()
@latent_options
@click.option("--out", required=True, type=click.Path(path_type=Path), metavar="FILE.png")
@click.option("--columns", default=6, show_default=True, type=click.IntRange(1), help="Sources.")
@click.option("--rows", default=2, show_default=True, type=click.IntRange(1),
              help="Images that take coarse styles, then middle, then fine.")  # fmt: skip
@plain_errors
def mix(
    run_dir: Path,
    out: Path,
    columns: int,
    rows: int,
    seed: int,
    truncation: float | None,
    cutoff: int | None,
    **choice: Any,
) -> None:
    """Mix styles: images (left) with the coarse, middle or fine styles of sources (top)."""
    from runs.sampling.latent import mixing_grid, style_ranges
    from runs.sampling.pictures import save_images

    needs_suffix(out, ".png")
    sampler, name = chosen_sampler(run_dir, **choice)
    cells = mixing_grid(sampler.truncated(truncation, cutoff), seed, columns, rows)
    save_images(cells, out, columns + 1)
    ranges = style_ranges(sampler.sample_shape[-1]).items()
    parts = ", ".join(f"{part} (layers {r.start} to {r.stop - 1})" for part, r in ranges)
    click.echo(f"{out}: styles of the {name}; from the top, {rows} row(s) each: {parts}")


@main.command()
@latent_options
@click.option("--out", required=True, type=click.Path(path_type=Path), metavar="FILE",
              help="FILE.png: a line for each way from one latent to the next. FILE.gif: a loop. "
              "FILE.mp4: the same, where ffmpeg is found.")  # fmt: skip
@click.option("--space", default="z", show_default=True, type=click.Choice(["z", "w"]))
@click.option("--path", "route", default="linear", show_default=True,
              type=click.Choice(["linear", "spherical"]))  # fmt: skip
@click.option("--points", default=4, show_default=True, type=click.IntRange(2), help="Latents.")
@click.option("--frames", default=8, show_default=True, type=click.IntRange(1),
              help="Images from one latent to the next.")  # fmt: skip
@click.option("--rate", default=12, show_default=True, type=click.IntRange(1, 50),
              help="Images per second.")  # fmt: skip
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
    truncation: float | None,
    cutoff: int | None,
    **choice: Any,
) -> None:
    """Walk from latent to latent, and back to the first."""
    from runs.sampling.animation import write_animation
    from runs.sampling.latent import interpolation
    from runs.sampling.pictures import save_images

    needs_suffix(out, ".png", ".gif", ".mp4")
    sampler, name = chosen_sampler(run_dir, **choice)
    sampler = sampler.truncated(truncation, cutoff)
    images = interpolation(sampler, seed, points, frames, space, route)
    if out.suffix.lower() == ".png":
        save_images(images, out, frames)
    else:
        write_animation(images, out, rate)
    click.echo(f"{out}: a {route} walk through {points} latents in {space}, of the {name}")


@main.command()
@latent_options
@click.option("--out", required=True, type=click.Path(path_type=Path), metavar="FILE.png")
@click.option("--columns", default=4, show_default=True, type=click.IntRange(1), help="Noises.")
@click.option("--rows", default=4, show_default=True, type=click.IntRange(1), help="Latents.")
@plain_errors
def noise(
    run_dir: Path,
    out: Path,
    columns: int,
    rows: int,
    seed: int,
    truncation: float | None,
    cutoff: int | None,
    **choice: Any,
) -> None:
    """Show what noise changes: a latent in each row, at its end every pixel's deviation."""
    from runs.sampling.latent import noise_variation
    from runs.sampling.pictures import save_images

    needs_suffix(out, ".png")
    sampler, name = chosen_sampler(run_dir, **choice)
    found = noise_variation(sampler.truncated(truncation, cutoff), seed, rows, columns)
    save_images(found.cells, out, found.columns)
    click.echo(
        f"{out}: noise of the {name}; white in the last column is a standard deviation of "
        f"{found.largest:.2f} of 255"
    )


@main.command()
@click.argument("weights", type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path), metavar="DIR",
              help="The generator's folder.")  # fmt: skip
@click.option(
    "--resolution",
    type=click.IntRange(8, 1024),
    help="Of the generator, where the file has higher ones too [default: the highest].",
)
@plain_errors
def convert(weights: Path, out: Path, resolution: int | None) -> None:
    """Convert a StyleGAN generator's weights from a PyTorch port.

    WEIGHTS is a state dict, .safetensors or torch's format, in one of two layouts: see
    docs/stylegan.md. sample, mix, interpolate, noise and evaluate take DIR in a run's place, and
    population.first_parent a run that starts from it.
    """
    from runs.sampling.conversion import convert_port

    found = convert_port(weights, out, resolution)
    keys = ("latent", "style", "mapping_layers", "mapping_multiplier", "fmap_base", "fmap_max")
    values = ", ".join(f"{key}: {getattr(found.backbone, key)}" for key in keys)
    size = " x ".join(map(str, found.shape))
    click.echo(f"{out}: a StyleGAN generator of images {size}, {found.parameters:,} parameters")
    click.echo(f"look at it:  {program('run-evolution')} sample {shlex.quote(str(out))} "
               "--truncation 0.7 --out grid.png")  # fmt: skip
    click.echo(f"evolve it:   population: {{first_parent: {out}}}\n"
               f"             backbone: {{name: stylegan, {values}}}")  # fmt: skip


@main.command()
@click.argument("subject", metavar="RUN_DIR|IMAGES", type=click.Path(path_type=Path))
@click.option(
    "--against",
    metavar="DATA",
    help="The real images: a path, or digits; or an .npz of their statistics "
    "[default: what the run was trained on].",
)
@click.option(
    "--metrics",
    metavar="A,B,...",
    help="Some of fid, kid, mmd, prdc, is, ssim, ms-ssim; of a run's latent space: ppl, "
    "separability; of a mixture: modes, high-quality, kl [default: what fits the data].",
)
@click.option(
    "--space",
    metavar="NAME",
    help="classifier, inception, efficientnet-lite0, pixels, package.module:Name or, "
    "for ppl, lpips-vgg16 [default: the run's, else classifier].",
)
@click.option(
    "--count",
    type=click.IntRange(2),
    help="How many images, or pairs of latents [default: 10000 of a run, all of IMAGES].",
)
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0))
@click.option("--weights", type=click.Path(path_type=Path), help="A space's weights file.")
@click.option("--resolution", type=click.IntRange(1), help="Bring the images to this side.")
@click.option("--labels", metavar="A,B,...",
              help="Of avatars: the parts and colours that are separability's attributes "
              "[default: the data's labels].")  # fmt: skip
@device_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@plain_errors
def evaluate(
    subject: Path, as_json: bool, metrics: str | None, labels: str | None, **options: Any
) -> None:
    """Score a run's generator, or any system's images, in a stated protocol.

    IMAGES is a folder, .zip, .npy or .npz. A metric's name carries its feature space and count,
    such as fid-classifier-10k; only values of the same name may be compared. The values are kept
    in RUN_DIR/evaluations and in the run's MLflow record.
    """
    from runs.display.progress import bars
    from runs.evaluation.commands import Options, assess
    from runs.evaluation.records import render

    names = tuple(name.strip() for name in metrics.split(",")) if metrics else None
    told = tuple(label.strip() for label in labels.split(",")) if labels else None
    with bars() as progress:
        found = assess(subject, Options(metrics=names, labels=told, **options), progress)
    if as_json:
        click.echo(json.dumps(found, indent=2))
    else:
        render(found)


@main.command()
@click.argument("data", metavar="DATA")
@click.option("--out", required=True, type=click.Path(path_type=Path), metavar="FILE.npz")
@click.option("--space", default="classifier", show_default=True, metavar="NAME",
              help="As for evaluate.")  # fmt: skip
@click.option("--count", type=click.IntRange(2), help="How many images [default: all].")
@click.option("--weights", type=click.Path(path_type=Path), help="The space's weights file.")
@click.option("--resolution", type=click.IntRange(1), help="Bring the images to this side.")
@device_option
@plain_errors
def statistics(data: str, out: Path, **options: Any) -> None:
    """Write the statistics of real images for `evaluate --against FILE.npz`.

    DATA is a path, or digits. The file holds the features' mean and covariance, `mu` and `sigma`,
    as pytorch-fid writes and reads them, and says its feature space besides.
    """
    from runs.display.progress import bars
    from runs.evaluation.commands import write_statistics

    with bars() as progress:
        written = write_statistics(data, out, progress=progress, **options)
    click.echo(f"{out}: statistics of {written.count} images in space {written.space}")


@main.command()
@click.argument("run_dir", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@plain_errors
def inspect(run_dir: Path, as_json: bool) -> None:
    """Show how a run went, and whether its snapshots verify. Works while it runs."""
    from runs.display.inspection import inspect_run, render

    found = inspect_run(run_dir)
    if as_json:
        click.echo(json.dumps(found, indent=2))
    else:
        render(found)


@main.command()
@click.argument("source", metavar="STUDY.yaml|STUDY_DIR|NAME")
@click.option("--output", type=click.Path(path_type=Path), metavar="DIR",
              help="The study's folder [default: outputs/NAME].")  # fmt: skip
@click.option("--at-once", type=click.IntRange(1), help="Runs at a time [default: what fits here].")
@plain_errors
def study(source: str, output: Path | None, at_once: int | None) -> None:
    """Compare strategies over seeds at equal budgets; the same command again goes on.

    Ctrl-C or SIGTERM stops all runs after a snapshot and exits with status 3.
    """
    from runs.study.report import render
    from runs.study.running import run_study

    result = run_study(source, output, at_once)
    for name in result.failed:
        click.echo(f"failed: {name}", err=True)
    if result.record:
        click.echo(f"MLflow: {result.record}")
    if not result.finished:
        click.echo(f"stopped; go on with: {program('run-evolution')} study {result.path}")
        sys.exit(STOPPED)
    if result.report is None:
        sys.exit(FAILED)
    click.echo()
    render(result.report)


@main.command()
@click.argument("subject", metavar="STUDY_DIR|EXPERIMENT")
@click.option("--metric", "metrics", multiple=True, metavar="NAME",
              help="What is compared, the deciding one first; repeatable.")  # fmt: skip
@click.option("--study", "name", help="Of an experiment, this study [default: the newest].")
@click.option("--store", help="MLflow's store [default: MLFLOW_TRACKING_URI, else its own].")
@click.option("--output", type=click.Path(path_type=Path), metavar="DIR",
              help="Where the report goes [default: STUDY_DIR, else outputs/].")  # fmt: skip
@plain_errors
def compare(
    subject: str, metrics: tuple[str, ...], name: str | None, store: str | None, output: Path | None
) -> None:
    """Compare the runs of a study's folder, or of an MLflow experiment from its store alone."""
    from runs.study.report import render, report_on_folder, report_on_store

    if (Path(subject) / "study.yaml").is_file():
        render(report_on_folder(subject, metrics, output))
    else:
        render(report_on_store(subject, metrics, name, output, store))


@main.command()
@click.argument("source", type=click.Path(exists=True, path_type=Path))
@click.argument("dest", type=click.Path(path_type=Path))
@click.option("--resolution", required=True, type=click.IntRange(4, 2048), help="Side, in pixels.")
@click.option("--skip-bad", is_flag=True, help="Leave unreadable images out, and list them.")
@click.option("--force", is_flag=True, help="Replace what was prepared in DEST before.")
@plain_errors
def prepare(source: Path, dest: Path, resolution: int, skip_bad: bool, force: bool) -> None:
    """Pack images once into a memory-mapped array that opens in milliseconds.

    SOURCE is a folder or .zip of images, an MNIST-format file or folder, CIFAR's binary folder,
    an .npy or an .npz. Train on DEST with --set data.source=packed --set data.path=DEST.
    """
    from functools import partial

    from egan.data import detect_source
    from egan.data import prepare as pack
    from runs.common.errors import printable
    from runs.display.progress import bars

    with bars() as progress:
        manifest = pack(
            detect_source(source),
            dest,
            resolution,
            skip_bad=skip_bad,
            progress=partial(progress, printable(f"packing {source.name}")),
            force=force,
        )
    for file, reason in manifest.skipped:
        click.echo(printable(f"skipped {file}: {reason}"), err=True)
    click.echo(f"{dest}: {manifest.count} images of {' x '.join(map(str, manifest.shape))}")
    click.echo(f"train on them: run-evolution train images64 --set data.source=packed "
               f"--set data.path={dest}")  # fmt: skip


@main.command()
@click.argument("name", required=False)
@plain_errors
def presets(name: str | None) -> None:
    """List the presets, or print one: the start of a config of your own."""
    from runs.presets import preset_names, preset_text

    if name:
        click.echo(preset_text(name), nl=False)
        return
    for known in preset_names():
        first = preset_text(known).splitlines()[0].removeprefix("#").strip()
        click.echo(f"{known:<16} {first}")
