"""Commands that score: evaluate, statistics."""

import json
from pathlib import Path
from typing import Any

import click

from runs.cli.endings import muted, plain_errors, showing
from runs.cli.options import choice_of, choice_options, device_option


@click.command()
@click.argument("subject", metavar="RUN_DIR|IMAGES", type=click.Path(path_type=Path))
@click.option(
    "--against",
    metavar="DATA",
    help="The real images: a path, digits, or an .npz of their statistics "
    "[default: the run's training data].",
)
@click.option("--data", "data_at", type=click.Path(path_type=Path), metavar="PATH",
              help="Where the run's data are now, if they have moved.")  # fmt: skip
@click.option(
    "--metrics",
    metavar="A,B,...",
    help="Metrics: fid, kid, mmd, prdc, is, ssim, ms-ssim; for samples by class: ifid, ikid, "
    "gan-train, gan-test, class-accuracy, or by-class for these five; for a run's latent space: "
    "ppl, separability; for a mixture: modes, high-quality, kl, overlap, mode-accuracy; for "
    "stacked digits: classes-covered, classes-kl; for translations: l1, psnr, target-ssim, kid, or "
    "translation for these four, and parts [default: those that fit the data].",
)
@click.option(
    "--space",
    metavar="NAME",
    help="Feature space: classifier, inception, efficientnet-lite0, pixels, package.module:Name "
    "or, for ppl, lpips-vgg16 [default: the run's, else classifier].",
)
@click.option(
    "--count",
    type=click.IntRange(2),
    help="Number of images, or of pairs of latents [default: 10000 of a run, all of IMAGES].",
)
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0),
              help="Seed of the random draws.")  # fmt: skip
@click.option(
    "--weights", type=click.Path(path_type=Path), help="The feature space's weights file."
)
@click.option(
    "--resolution", type=click.IntRange(1), help="Resize the images to this side, in pixels."
)
@click.option("--labels", metavar="A,B,...",
              help="For avatars: the parts and colours that separability takes as attributes "
              "[default: the data's labels].")  # fmt: skip
@click.option("--copies/--no-copies", default=None,
              help="Compare samples with their nearest training images, and draw the nearest pairs "
              "[default: if there are fewer than 5,000].")  # fmt: skip
@choice_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@showing
@plain_errors
def evaluate(
    subject: Path,
    as_json: bool,
    metrics: str | None,
    labels: str | None,
    snapshot: str | int,
    survivor: int,
    raw: bool,
    **options: Any,
) -> None:
    """Compute metrics of a run's generator, or of any images.

    IMAGES is a folder, .zip, .npy or .npz. A metric's name carries its feature space and count,
    such as fid-classifier-10k; only values of the same name may be compared. The values are kept
    in RUN_DIR/evaluations and in the run's MLflow record. A run that translates images is scored
    by l1, psnr, target-ssim and kid on the test part of its data.
    """
    from runs.display.progress import bars
    from runs.evaluation.commands import Options, assess
    from runs.evaluation.records import render
    from runs.sampling.generators import is_generator
    from runs.store.folder import RunFolder
    from runs.translation.opening import is_translator
    from runs.translation.scoring import score_run

    names = tuple(name.strip() for name in metrics.split(",")) if metrics else None
    told = tuple(label.strip() for label in labels.split(",")) if labels else None
    choice = choice_of(snapshot, survivor, raw)
    asked = Options(metrics=names, labels=told, choice=choice, **options)
    with bars() as progress:
        if is_translator(subject) and not is_generator(subject):
            found = score_run(RunFolder(subject), asked, progress)
        else:
            found = assess(subject, asked, progress)
    if as_json:
        click.echo(json.dumps(found, indent=2))
    else:
        render(found)


@click.command()
@click.argument("data", metavar="DATA")
@click.option("--out", required=True, type=click.Path(path_type=Path), metavar="FILE.npz")
@click.option("--space", default="classifier", show_default=True, metavar="NAME",
              help="Feature space, as for evaluate.")  # fmt: skip
@click.option("--count", type=click.IntRange(2), help="Number of images [default: all].")
@click.option(
    "--weights", type=click.Path(path_type=Path), help="The feature space's weights file."
)
@click.option(
    "--resolution", type=click.IntRange(1), help="Resize the images to this side, in pixels."
)
@device_option
@muted
@plain_errors
def statistics(data: str, out: Path, **options: Any) -> None:
    """Write statistics of real images for `evaluate --against`.

    DATA is a path, or digits. The file holds the mean and covariance of the features, `mu` and
    `sigma`, as pytorch-fid writes and reads them, and the name of the feature space.
    """
    from runs.display.progress import bars
    from runs.evaluation.commands import write_statistics

    with bars() as progress:
        written = write_statistics(data, out, progress=progress, **options)
    click.echo(f"{out}: statistics of {written.count} images in space {written.space}")
