"""Commands that evolve: train, resume."""

import shlex
import sys
from pathlib import Path
from typing import Any

import click

from runs.cli.endings import STOPPED, plain_errors, stoppable
from runs.cli.options import execution_of, execution_options
from runs.common.hints import hint, program


@click.command()
@click.argument("source", metavar="PRESET|CONFIG.yaml|IMAGES", required=False)
@click.option("--from", "parent", metavar="RUN[@GENERATION|@best]",
              help="Fork a run: start with its config and the whole state of one of its snapshots "
                   "[default: the newest].")  # fmt: skip
@click.option("--like", metavar="PRESET",
              help="Train on IMAGES with the settings of a preset [default: settings are chosen "
                   "by the images].")  # fmt: skip
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
              help="auto: continue the run in --output or in checkpoint.mirror, or begin it if "
                   "there is none.")  # fmt: skip
@execution_options
@stoppable
@plain_errors
def train(
    source: str | None,
    parent: str | None,
    like: str | None,
    overrides: tuple[str, ...],
    seed: int | None,
    output: Path | None,
    mode: str,
    **execution: str | None,
) -> None:
    """Begin a run from a preset, a config file, your own images or a snapshot.

    IMAGES is a folder, a .zip or a file of images. A config is chosen for them, and printed with a
    reason for each line.

    Ctrl-C, SIGTERM and SIGHUP stop the run: it finishes the generation, or gives it up after
    checkpoint.grace seconds, writes a snapshot and exits with status 3. `resume`, or the same
    command with `--resume auto`, continues it. The result is the same, bit for bit.
    """
    if (source is None) == (parent is None):
        raise click.UsageError("give either a PRESET, CONFIG.yaml or IMAGES, or --from RUN")
    from runs.config.loading import load_config
    from runs.display.progress import progress_for_terminal
    from runs.store.folder import RunFolder
    from runs.training.choosing import is_data, name_of
    from runs.training.continuing import begin, evolve_or_resume, fork_or_resume
    from runs.training.forking import plan_fork

    settings: dict[str, Any] = {} if seed is None else {"seed": seed}
    for key, value in execution_of(**execution).items():
        settings[f"execution__{key}"] = value
    own = source is not None and is_data(source)
    if like is not None and not own:
        raise click.UsageError("--like goes with IMAGES: a folder, a .zip or a file of images")
    if mode == "auto" and output is None:
        if not own:
            raise click.UsageError("--resume auto needs --output DIR: the folder to look into")
        output = Path("outputs") / name_of(str(source))
    if own:
        report(_train_on(str(source), like, overrides, output, mode, settings))
        return
    if mode == "auto" and output is not None and parent is not None:
        report(fork_or_resume(parent, overrides, output, progress_for_terminal(), **settings))
        return
    planned = None if parent is None else plan_fork(parent, overrides, **settings)
    config = planned.config if planned else load_config(str(source), overrides, **settings)
    output = output or RunFolder.default_path(config)
    click.get_current_context().params["output"] = output  # for `stoppable`
    if mode == "auto":
        report(evolve_or_resume(config, output, progress_for_terminal()))
    else:
        report(begin(config, output, progress_for_terminal(), planned))


def _train_on(
    images: str,
    like: str | None,
    overrides: tuple[str, ...],
    output: Path | None,
    mode: str,
    settings: dict[str, Any],
) -> Any:
    """Begin a run on images with a config that is chosen for them and shown, or continue it."""
    from runs.common.errors import printable
    from runs.display.progress import progress_for_terminal
    from runs.store.folder import RunFolder
    from runs.training.choosing import config_for
    from runs.training.continuing import begin, choose_or_resume

    def choose() -> Any:
        config, lines = config_for(images, overrides, like, **settings)
        for line in lines:
            click.echo(printable(line))
        return config

    params = click.get_current_context().params  # for `stoppable`
    if mode == "auto" and output is not None:
        params["output"] = output
        progress = progress_for_terminal()
        if like is not None and RunFolder(output).config.is_file():
            progress.message(f"the run in {output} goes on by its own config; --like is not used")
        return choose_or_resume(choose, images, overrides, output, progress, **settings)
    config = choose()
    params["output"] = output = output or RunFolder.default_path(config)
    return begin(config, output, progress_for_terminal())


@click.command()
@click.argument("run_dir", metavar="RUN_DIR|URI")
@click.option(
    "--generations",
    type=click.IntRange(1),
    help="Train to this generation instead of the config's.",
)
@click.option("--output", type=click.Path(path_type=Path), metavar="DIR",
              help="Folder for a run fetched from a URI [default: outputs/LAST-PART].")  # fmt: skip
@click.option("--data", type=click.Path(path_type=Path), metavar="PATH",
              help="Where the run's data are now, if they have moved.")  # fmt: skip
@execution_options
@stoppable
@plain_errors
def resume(
    run_dir: str,
    generations: int | None,
    output: Path | None,
    data: Path | None,
    **execution: str | None,
) -> None:
    """Continue a run that was stopped or killed.

    The result is the same as without the stop, bit for bit. A mirror, given by
    its URI such as s3://bucket/prefix, is fetched into --output first.
    """
    if output is not None and "://" not in run_dir:
        raise click.UsageError("--output is for a URI; a run in a folder goes on in it")
    from runs.display.progress import progress_for_terminal
    from runs.training.driver import resume as continue_run

    settings = execution_of(**execution)
    report(continue_run(run_dir, generations, progress_for_terminal(), output, data, **settings))


def report(result: Any) -> None:
    """Print where the run's results lie, and how to go on if they are not whole.

    Exits with status 3 if a signal stopped the run, and with 1 if its end could not be saved.
    """
    path = result.path
    if result.checksum:
        click.echo(f"\nstate at generation {result.generation}: checksum {result.checksum}")
    grids = sorted((path / "samples").glob("*.png"))
    if grids:
        click.echo(f"sample grid:   {grids[-1]}")
    click.echo(f"plots:         {path / 'plots'}")
    click.echo(f"look into it:  {hint('inspect', path)}")
    if pages := mlflow_pages(path):
        click.echo(f"MLflow pages:  {pages}")
    if not result.finished:
        click.echo(f"\nstopped by {result.stopped_by}; go on with: {hint('resume', path)}")
        sys.exit(STOPPED)
    if not result.saved:
        raise click.ClickException(
            f"the last snapshot could not be written, so the state at generation "
            f"{result.generation} is not on the disk; to compute and write it again: "
            f"{hint('resume', path)}"
        )


def mlflow_pages(path: Path) -> str:
    """Return how to see a run in MLflow: a command, or a server's address; nothing if it is not."""
    from runs.common.addresses import without_secrets
    from runs.common.files import read_json

    try:
        uri = read_json(path / "tracking.json")["uri"]
    except (OSError, ValueError, KeyError, TypeError):
        return ""
    if not isinstance(uri, str) or not uri:
        return ""
    uri = without_secrets(uri)
    if uri.startswith(("http://", "https://")):
        return uri
    default = f"sqlite:///{Path('mlflow.db').absolute()}"
    mlflow = f"{program('mlflow')} ui"
    return mlflow if uri == default else f"{mlflow} --backend-store-uri {shlex.quote(uri)}"
