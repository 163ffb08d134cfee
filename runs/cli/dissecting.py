"""The commands that look into a generator: dissect, detectors, edit, repair."""

from pathlib import Path
from typing import Any

import click

from runs.cli.endings import continued, muted, plain_errors
from runs.cli.options import (
    asked_sampler,
    choice_of,
    choice_options,
    latent_options,
    needs_suffix,
    truncation_options,
)
from runs.common.hints import hint


def reverse_option(command: Any) -> Any:
    """Add the option that chooses the way of a translator."""
    return click.option("--reverse", is_flag=True,
                        help="Look into the way from B to A, of a run that translates."
                        )(command)  # fmt: skip


@click.command()
@latent_options
@reverse_option
@click.option("--layer", default="all", show_default=True, metavar="NAME|all",
              help="Layer of the generator; all: the last one of each size.")  # fmt: skip
@click.option(
    "--segmenter",
    default="colours",
    show_default=True,
    metavar="NAME|module:Name",
    help="What says which class each pixel shows: parts (of avatars), colours, classes (of "
    "labelled data), or the import path of a torch module.",
)
@click.option("--count", type=click.IntRange(2),
              help="Number of images for thresholds, and again for scores [default: 1000, or "
              "as many as a translator has, if these are fewer].")  # fmt: skip
@click.option("--thresholds", "rule", default="ratio", show_default=True,
              type=click.Choice(["ratio", "quantile"]),
              help="How thresholds are chosen: by the information quality ratio, or the top 0.5 % "
              "of a unit's values.")  # fmt: skip
@click.option("--data", "data_at", type=click.Path(path_type=Path), metavar="PATH",
              help="Where the run's data are now, if they have moved.")  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR",
              help="Folder for the files [default: dissection, in the run's folder].")  # fmt: skip
@muted
@continued
@plain_errors
def dissect(
    run_dir: Path,
    layer: str,
    segmenter: str,
    count: int | None,
    rule: str,
    out: Path | None,
    data_at: Path | None,
    **options: Any,
) -> None:
    """Find out which units of a generator make which objects.

    Writes dissection.html, dissection.json and dissection.npz. A call that was interrupted goes on
    when it is given again.
    """
    from runs.common.errors import printable
    from runs.display.progress import bars
    from runs.dissection.commands import dissect as dissected
    from runs.dissection.results import PAGE, table

    subject = _subject(run_dir, data_at=data_at, **options)
    with bars() as progress:
        outcome = dissected(subject, layer, segmenter, count, rule, out, data_at, progress)
    if outcome.resumed:
        click.echo(f"went on after {outcome.resumed} images of an interrupted call")
    if held := outcome.found.held_out_iou:
        told = ", ".join(f"{k} {'none' if v is None else f'{v:.2f}'}" for k, v in held.items())
        click.echo(f"the segmenter's IoU on held-out drawings: {told}")
    for name, label, detectors in table(outcome.found):
        units = len(outcome.found.layers[name].units)
        click.echo(printable(f"{name}: {detectors} of {units} units detect {label}"))
    if not table(outcome.found):
        click.echo("no unit is a detector of any class")
    click.echo(f"{outcome.folder / PAGE}: units of the {subject.name}; MLflow: {outcome.mlflow}")


@click.command()
@click.argument("places", nargs=-1, required=True, metavar="[LABEL=]DIR...")
@click.option("--out", required=True, type=click.Path(path_type=Path), metavar="FILE.png",
              help="The picture; the numbers stand beside it, in FILE.json.")  # fmt: skip
@muted
@plain_errors
def detectors(places: tuple[str, ...], out: Path) -> None:
    """Compare dissections: how many detectors of which class each has.

    DIR is the folder of a dissection, or of a run that has one. Those of one LABEL are averaged.
    They must have been made with the same segmenter, count and thresholds.
    """
    from runs.dissection.comparing import compare

    needs_suffix(out, ".png")
    for line in compare(places, out):
        click.echo(line)
    click.echo(f"{out}: detectors by class; {out.with_suffix('.json')}: their numbers")


def _numbers(_context: click.Context, option: click.Parameter, value: str | None) -> Any:
    """Return a list of numbers, such as 3,17."""
    if value is None:
        return None
    parts = [part.strip() for part in value.split(",")]
    if not all(part.isdecimal() and len(part) < 10 for part in parts):
        raise click.BadParameter(f"{value!r} is no list of numbers such as {option.metavar}")
    return tuple(map(int, parts))


@click.command()
@click.argument("run_dir", type=click.Path(path_type=Path))
@click.option("--off", callback=_numbers, metavar="3,17", help="Change these units.")
@click.option("--class", "label", metavar="NAME",
              help="Change the units that detect this class of the dissection.")  # fmt: skip
@click.option("--units", "file", type=click.Path(path_type=Path), metavar="FILE",
              help="Change the units in a file that --optimise wrote.")  # fmt: skip
@click.option("--optimise", metavar="CLASS",
              help="Find the units that cause a class, and write them to a file.")  # fmt: skip
@click.option("--steps", default=200, show_default=True, type=click.IntRange(1),
              help="Steps of --optimise.")  # fmt: skip
@click.option("--scale", default=0.0, show_default=True, type=click.FloatRange(0, 3),
              help="Factor of the units' values: 0 switches off, less than 1 dampens, more than 1 "
              "boosts.")  # fmt: skip
@click.option("--insert", is_flag=True,
              help="Set the units to a constant, the mean of their values where the class is.",
              )  # fmt: skip
@click.option("--where", callback=_numbers, metavar="x0,y0,x1,y1",
              help="Change them in this part of the image, in pixels [default: everywhere].",
              )  # fmt: skip
@click.option("--layer", metavar="NAME",
              help="Layer of the units [default: the one with most detectors of the class].",
              )  # fmt: skip
@click.option("--count", default=8, show_default=True, type=click.IntRange(1, 64),
              help="Number of images.")  # fmt: skip
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0),
              help="Seed of the random draws.")  # fmt: skip
@click.option("--dissection", type=click.Path(path_type=Path), metavar="DIR",
              help="Folder of the dissection [default: dissection, in the run's folder].",
              )  # fmt: skip
@click.option("--data", "data_at", type=click.Path(path_type=Path), metavar="PATH",
              help="Where the run's data are now, if they have moved.")  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE",
              help="FILE.png of the images; FILE.json of --optimise [default: in the "
              "dissection's folder].")  # fmt: skip
@reverse_option
@choice_options
@truncation_options
@muted
@plain_errors
def edit(run_dir: Path, optimise: str | None, steps: int, seed: int, **options: Any) -> None:
    """Change units of a generator: images before and after, and the difference.

    Name the units by --off, --class or --units; or find those that cause a class by --optimise.
    """
    from runs.display.progress import bars
    from runs.dissection.edit_commands import Request

    of_request = Request.__dataclass_fields__.keys()
    asked = Request(**{name: options.pop(name) for name in [*options] if name in of_request})
    given = [asked.off is not None, asked.label is not None, asked.file is not None]
    if sum(given) + (optimise is not None) != 1:
        raise click.UsageError("give one of --off, --class, --units and --optimise")
    if asked.where is not None and len(asked.where) != 4:
        raise click.UsageError("--where takes four numbers: x0,y0,x1,y1")
    if asked.insert and asked.scale:
        raise click.UsageError("--insert sets the units to a constant: leave --scale out")
    if asked.out is not None:
        needs_suffix(asked.out, ".json" if optimise else ".png")
    subject = _subject(run_dir, seed, data_at=asked.data_at, classes=(), tags=(), **options)
    with bars() as progress:
        if optimise is not None:
            _optimise(subject, optimise, steps, asked, progress)
        else:
            _edit(subject, asked, progress)


def _edit(subject: Any, asked: Any, progress: Any) -> None:
    from runs.common.errors import printable
    from runs.dissection.edit_commands import edit_images

    done = edit_images(subject, asked, progress)
    if done.shares is not None:
        before, after = done.shares
        click.echo(printable(
            f"{done.label}: {before:.2%} of the pixels before, {after:.2%} after"
        ))  # fmt: skip
    units = ", ".join(map(str, done.edit.units[:20])) + (", ..." * (len(done.edit.units) > 20))
    click.echo(
        f"{done.picture}: units {units} of {done.edit.layer} changed; white is a change of "
        f"{done.most:.0f} of 255"
    )


def _optimise(subject: Any, label: str, steps: int, asked: Any, progress: Any) -> None:
    from runs.dissection.edit_commands import optimise_units

    causes, file, picture = optimise_units(subject, label, asked.layer, steps, asked, progress)
    click.echo("units  effect  of random units")
    for count, effect, other in causes.curve:
        click.echo(f"{count:5}  {effect:6.3f}  {other:6.3f}")
    click.echo(f"{file}: the units that cause {label} most; {picture}: their effect by number")


@click.command()
@click.argument("run_dir", type=click.Path(path_type=Path))
@click.option("--layer", default="all", show_default=True, metavar="NAME|all",
              help="Layer of the units; all: the best of the last ones of each size.")  # fmt: skip
@click.option("--number", type=click.IntRange(1),
              help="How many units are switched off [default: the best number of 1, 2, 4, ... up "
              "to a quarter of the layer].")  # fmt: skip
@click.option("--metric", default="fid", show_default=True, type=click.Choice(["fid", "kid"]),
              help="What units are chosen by: the distance from the reals.")  # fmt: skip
@click.option("--space", metavar="NAME",
              help="Feature space: classifier, inception, efficientnet-lite0, pixels or "
              "package.module:Name [default: the run's].")  # fmt: skip
@click.option("--weights", type=click.Path(path_type=Path),
              help="The feature space's weights file.")  # fmt: skip
@click.option("--count", default=2000, show_default=True, type=click.IntRange(20),
              help="Number of images to choose units by, and again to judge them.")  # fmt: skip
@click.option("--draws", default=5, show_default=True, type=click.IntRange(1),
              help="How often as many random units are switched off, to compare.")  # fmt: skip
@click.option("--model", is_flag=True,
              help="Log the repaired generator as a model to the run's MLflow record.",
              )  # fmt: skip
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0),
              help="Seed of the random draws.")  # fmt: skip
@click.option("--data", "data_at", type=click.Path(path_type=Path), metavar="PATH",
              help="Where the run's data are now, if they have moved.")  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR",
              help="Folder for the files [default: repair, in the run's folder].")  # fmt: skip
@choice_options
@truncation_options
@muted
@continued
@plain_errors
def repair(run_dir: Path, seed: int, **options: Any) -> None:
    """Find units of a generator that make artefacts, and see what images are without them.

    Writes repair.json, which sample --repair and edit --units take, and repair.html. A call that
    was interrupted goes on when it is given again.
    """
    from runs.display.progress import bars
    from runs.dissection.repair_commands import FILE, Asked, table
    from runs.dissection.repair_commands import repair as repaired

    asked = Asked(
        **{name: options.pop(name) for name in [*options] if name in Asked.__annotations__}
    )
    subject = _subject(run_dir, seed, classes=(), tags=(), **options)
    with bars() as progress:
        outcome = repaired(subject, asked, progress)
    if outcome.resumed:
        click.echo(f"went on after {outcome.resumed} passes of an interrupted call")
    found = outcome.repair
    click.echo(f"{'in space ' + outcome.space:24}  before   after  random units (least, largest)")
    for name, before, after, mean, least, largest in table(found):
        click.echo(
            f"{name:24}  {before:<7.4g}  {after:<5.4g}  {mean:.4g} ({least:.4g}, {largest:.4g})"
        )
    if found.after[asked.metric] >= found.before[asked.metric]:
        click.echo("images are not better without these units: the repair does not help")
    units = ", ".join(map(str, found.chosen.units))
    click.echo(
        f"{outcome.folder / FILE}: units {units} of {found.chosen.layer}, of the {subject.name}; "
        f"MLflow: {outcome.mlflow}"
    )
    click.echo(f"use it:  {hint('sample', run_dir, repair=outcome.folder / FILE, out='grid.png')}")


def _subject(
    run_dir: Path, seed: int, reverse: bool = False, data_at: Path | None = None, **options: Any
) -> Any:
    """Return the generator that the options of `latent_options` choose, or a translator."""
    from runs.dissection.subject import Subject
    from runs.translation.opening import is_translator

    if is_translator(run_dir):
        return _translator_subject(run_dir, seed, reverse, data_at, **options)
    if reverse:
        raise click.UsageError("--reverse is for runs that translate between two sets of images")
    sampler, name, asked = asked_sampler(run_dir, **options)
    return Subject(run_dir, name, sampler, asked, seed)


def _translator_subject(
    run_dir: Path,
    seed: int,
    reverse: bool,
    data_at: Path | None,
    classes: tuple[str, ...],
    tags: tuple[str, ...],
    truncation: float | None,
    cutoff: int | None,
    snapshot: str | int,
    survivor: int,
    raw: bool,
    device: Any,
) -> Any:
    """Return a run's translator, with the test part of its data to translate."""
    from runs.dissection.subject import Subject
    from runs.sampling.generators import is_generator
    from runs.sampling.translations import Translations
    from runs.translation.opening import open_translator
    from runs.translation.parts import open_part

    if classes or tags or truncation is not None or cutoff is not None:
        raise click.UsageError(
            "--class, --tags, --truncation, --cutoff: a translator of images takes none of them"
        )
    if is_generator(run_dir):
        raise click.UsageError(
            f"{run_dir} holds a translator alone, and the images to translate are those of its run"
        )
    opened = open_translator(run_dir, choice_of(snapshot, survivor, raw), device)
    translator = opened.translator.reversed() if reverse else opened.translator
    part = open_part(opened, "test", data_at, None)
    images = part.b if translator.backwards else part.a
    return Subject(run_dir, opened.name, Translations.of(translator, images), None, seed)
