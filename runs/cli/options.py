"""Options that several commands share, and the values made of them."""

from pathlib import Path
from typing import Any

import click


def execution_options(command: Any) -> Any:
    """Add the options that say where a run's children are made."""
    for option in (
        click.option("--device", help="Device of the networks: auto, cpu or cuda."),
        click.option("--workers", help="Number of Ray workers, or auto."),
        click.option("--address", help="Address of a Ray cluster: auto or HOST:6379."),
        click.option(
            "--executor",
            help="Where children are made: auto, local (this process) or ray (Ray workers).",
        ),
    ):
        command = option(command)
    return command


def execution_of(**options: str | None) -> dict[str, Any]:
    """Return the keys of `execution` that the options set."""
    return {key: value for key, value in options.items() if value is not None}


def truncation_options(command: Any) -> Any:
    """Add the options of the truncation in W."""
    for option in (
        click.option("--cutoff", type=int, metavar="LAYERS",
                     help="Truncate the styles of the first LAYERS layers only [default: all]."),
        click.option("--truncation", type=float, metavar="PSI",
                     help="Truncation of the styles towards their mean: 1 is no truncation, 0 is "
                          "the mean itself."),
    ):  # fmt: skip
        command = option(command)
    return command


def repair_option(command: Any) -> Any:
    """Add the option that switches units of the generator off."""
    return click.option("--repair", type=click.Path(path_type=Path), metavar="FILE",
                        help="Switch off the units in a file that the command repair, or edit "
                        "--optimise, wrote for this generator."
                        )(command)  # fmt: skip


def device_option(command: Any) -> Any:
    """Add the option that says where samples are made and features computed."""
    return click.option("--device", default="auto", show_default=True,
                        type=click.Choice(["auto", "cpu", "cuda"]),
                        help="auto: CUDA, if this machine has it and the run allows it; else "
                        "the CPU."
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
    return snapshot_options(device_option(command))


def snapshot_options(command: Any) -> Any:
    """Add the options that say which generator of a run is meant."""
    for option in (
        click.option("--raw", is_flag=True,
                     help="Use the survivor's own weights, not their running average."),
        click.option("--survivor", default=0, show_default=True, type=click.IntRange(0),
                     metavar="INDEX", help="Index of the survivor; 0 is the best."),
        click.option("--snapshot", default="best", show_default=True, callback=snapshot_name,
                     metavar="best|newest|GENERATION",
                     help="best: the one with the best scoring, if there are scorings; else the "
                          "newest."),
    ):  # fmt: skip
        command = option(command)
    return command


def chosen_sampler(
    run_dir: Path, snapshot: str | int, survivor: int, raw: bool, device: Any
) -> tuple[Any, str]:
    """Return the sampler that `choice_options` ask for, and the name of what it comes from."""
    from runs.sampling.opening import open_sampler

    return open_sampler(run_dir, choice_of(snapshot, survivor, raw), device)


def mixed_sampler(
    run_dir: Path, snapshot: str | int, survivor: int, raw: bool, device: Any
) -> tuple[Any, str]:
    """Return the mixture of a run's survivors, and its name; say how good it is."""
    from runs.evaluation.mixing import mix_survivors
    from runs.store.folder import RunFolder

    mixed = mix_survivors(RunFolder.open(run_dir), choice_of(snapshot, survivor, raw), device)
    click.echo(f"MMD to {mixed.reals}, on a second draw: {mixed.fitness:.4g}; of the best survivor "
               f"alone: {mixed.alone:.4g}")  # fmt: skip
    return mixed.sampler, mixed.name


def asked_sampler(
    run_dir: Path,
    classes: tuple[str, ...],
    tags: tuple[str, ...],
    truncation: float | None,
    cutoff: int | None,
    mixture: bool = False,
    repair: Path | None = None,
    **choice: Any,
) -> tuple[Any, str, Any]:
    """Return the chosen sampler, truncated, its name, and what samples are asked for, if anything.

    The options are those of `choice_options`, `truncation_options`, `condition_options` and
    `repair_option`; with `mixture` it is that of all survivors.
    """
    from runs.sampling.conditions import asked_for

    if mixture and repair is not None:
        raise click.UsageError("--repair is for one generator, and --mixture draws from several")
    sampler, name = (mixed_sampler if mixture else chosen_sampler)(run_dir, **choice)
    if repair is not None:
        sampler, name = repaired_sampler(sampler, name, repair)
    asked = asked_for(sampler.conditions, classes, tags)
    return sampler.truncated(truncation, cutoff), name, asked


def repaired_sampler(sampler: Any, name: str, repair: Path) -> tuple[Any, str]:
    """Return a sampler with the units in a file switched off, and its name."""
    from runs.sampling.repair import check_fit, repaired
    from runs.sampling.units import read_units

    units = read_units(repair, "--repair")
    check_fit(units, sampler, name, f"--repair {repair}")
    off = f"{len(units.units)} unit{'s' * (len(units.units) > 1)} of {units.layer}"
    return repaired(sampler, units), f"{name}, without {off}"


def choice_of(snapshot: str | int, survivor: int, raw: bool) -> Any:
    """Return which generator of a run `choice_options` ask for."""
    from runs.sampling.opening import Choice

    return Choice(snapshot, survivor, raw)


def condition_options(command: Any) -> Any:
    """Add the options that say what samples are asked for; both may be given several times."""
    for option in (
        click.option("--tags", multiple=True, metavar="A,B,...",
                     help="Tags of the samples; A=0.5 gives a tag a value; none: no tag; "
                          "repeatable, for further samples."),
        click.option("--class", "classes", multiple=True, metavar="NAME|INDEX",
                     help="Class of the samples; repeatable, for further classes [default: as in "
                          "the data]."),
    ):  # fmt: skip
        command = option(command)
    return command


def latent_options(command: Any) -> Any:
    """Add the options that the commands on a latent space share."""
    command = choice_options(truncation_options(condition_options(command)))
    for option in (
        click.option("--seed", default=0, show_default=True, type=click.IntRange(0),
                     help="Seed of the random draws."),
        click.argument("run_dir", type=click.Path(path_type=Path)),
    ):  # fmt: skip
        command = option(command)
    return command


def needs_suffix(out: Path, *suffixes: str, option: str = "--out") -> None:
    """Refuse a file's name that says another format, before anything is computed."""
    if out.suffix.lower() not in suffixes:
        raise click.UsageError(
            f"{option} {out}: the file's name must end in {' or '.join(suffixes)}"
        )
