"""The `evaluate` and `statistics` commands: a generator, or any images, against real data."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from egan.data import DataConfig, ImageSource, Source, open_held_out
from egan.data.report import report_of
from fitness.features import Progress
from fitness.metrics.lpips import LPIPS
from fitness.metrics.names import METRICS, expand_metrics
from fitness.observation import observe
from fitness.statistics import Statistics
from runs.common.errors import ConfigError
from runs.common.files import write_json
from runs.display.class_plot import draw_classes
from runs.evaluation.evaluator import Evaluator
from runs.evaluation.latent_metrics import check_latent_metrics, is_of_latents
from runs.evaluation.latent_scoring import LatentScoring
from runs.evaluation.memorised import FEWER, SAMPLES, search
from runs.evaluation.mistakes import user_mistakes
from runs.evaluation.reals import open_images, open_reals, reals_of
from runs.evaluation.records import joined, read_records
from runs.evaluation.spaces import open_space
from runs.evaluation.statistics_file import save_statistics
from runs.evaluation.subjects import (
    SPACE,
    Subject,
    generator_subject,
    images_subject,
    run_subject,
)
from runs.sampling.device import Asked, opened_device
from runs.sampling.generators import is_generator
from runs.sampling.opening import Choice
from runs.store.class_values import read_classes, written_classes
from runs.store.data import moved, reopened
from runs.store.folder import RunFolder
from runs.tracking.metrics import plain
from runs.tracking.run_logger import log_evaluation


@dataclass(frozen=True)
class Options:
    """The options of a scoring; None: the default for the subject.

    Attributes:
        against: the path of the real images or of their statistics, or "digits".
        metrics: short names or groups.
        space: the feature space.
        count: how many samples.
        seed: of the samples, and of the metrics' own draws.
        weights: a file of the space's weights.
        resolution: side that images are brought to.
        labels: what separability's attributes are; None: the data's own labels.
        device: where samples are made and features computed, see `runs.sampling.device`.
        choice: which generator of a run is meant.
        data_at: where a run's data lie now, if they have moved.
        copies: whether copies of training images are looked for; None: if these are few.
    """

    against: str | None = None
    metrics: tuple[str, ...] | None = None
    space: str | None = None
    count: int | None = None
    seed: int = 0
    weights: Path | None = None
    resolution: int | None = None
    labels: tuple[str, ...] | None = None
    device: Asked = "auto"
    choice: Choice = field(default_factory=Choice)
    data_at: Path | None = None
    copies: bool | None = None


def assess(
    path: Path, options: Options | None = None, progress: Progress | None = None
) -> dict[str, Any]:
    """Score a run's generator or a set of images; return JSON values.

    Args:
        path: the folder of a run or of a generator; or images: a folder, .zip, .npy or .npz.
        options: what is asked for.
        progress: called as `progress(stage, done, total)`.

    Raises:
        ConfigError, DataError: what was asked for cannot be; nothing was written.
    """
    options = options or Options()
    run = RunFolder(path)
    if options.data_at is not None and not run.config.is_file():
        raise ConfigError(
            f"--data is for a run, which {path} is not; name the reals with --against"
        )
    if is_generator(path):
        options.choice.refuse_alone(f"{path} holds a generator alone")
        return _score(generator_subject(path, options.device), options, progress)
    if not run.config.is_file():
        options.choice.refuse_alone(f"{path} holds images, and no run")
        subject = images_subject(path, options.resolution, options.device)
        return _score(subject, options, progress)
    return _assess_run(run, options, progress)


def _assess_run(run: RunFolder, options: Options, progress: Progress | None) -> dict[str, Any]:
    """Score a run's generator, and keep the values beside it and in its MLflow record."""
    subject, generation = run_subject(run, options.choice, options.device)
    if subject.data is not None:
        data = subject.data if options.data_at is None else moved(subject.data, options.data_at)
        real = partial(_own_source, run, data)
        subject = replace(subject, data=data, real=real)
    file = run.path / "evaluations" / f"generation-{generation:08d}.json"
    kept = read_records(file)
    picture = file.with_name(f"{file.stem}-{plain(options.choice.own)}copies.png")
    found = _score(subject, options, progress, picture)
    record = {key: value for key, value in found.items() if key not in ("subject", "read")}
    write_json(file, joined(kept, record))
    # Other data than the run's own make other scores, whatever the metric's name.
    own = found["data"] == run.load_data().fingerprint
    place = "" if own or found["against"] is None else f"against {plain(found['against'])}/"
    mark = f"{place}{options.choice.own}"
    values = {f"{mark}{name}": value for name, value in found["values"].items()}
    classes = read_classes(found.get("classes", {}))
    logged = log_evaluation(run, values, generation, {f"{mark}{k}": v for k, v in classes.items()})
    pictures = {"copies": str(picture)} if "memorisation" in found else {}
    if classes:
        picture = file.with_name(f"{file.stem}-{plain(mark)}classes.png")
        draw_classes(classes, picture)
        pictures["picture"] = str(picture)
    return found | {"file": str(file), **pictures, "mlflow": logged}


def _own_source(run: RunFolder, data: DataConfig) -> Source:
    return reopened(run, data, "evaluate")[0]


def write_statistics(
    data: str,
    out: Path,
    *,
    space: str = SPACE,
    count: int | None = None,
    weights: Path | None = None,
    resolution: int | None = None,
    device: Asked = "auto",
    progress: Progress | None = None,
) -> Statistics:
    """Write the mean and covariance of real images in a feature space, for `--against`.

    Args:
        data: the images' path, or "digits".
        out: the .npz to write; pytorch-fid reads it too.
        space: the feature space.
        count: how many of the images, drawn as for a scoring; None: all.
        weights: a file of the space's weights.
        resolution: side that the images are brought to.
        device: where the features are computed.
        progress: called as `progress(stage, done, total)`.

    Raises:
        ConfigError, DataError: what was asked for cannot be; nothing was written.
    """
    if out.suffix != ".npz":
        raise ConfigError(f"{out}: the file's name must end in .npz")
    chosen = opened_device(device)
    images = open_images(data, resolution)
    with user_mistakes():
        network = open_space(space, images, images.shape, weights, chosen, progress)
        count = len(images) if count is None else count
        reals = reals_of(images, count)
        stage = "real images"
        seen = observe(
            reals, network, count, ["statistics"], stage=stage, progress=progress
        ).statistics
    assert seen is not None
    save_statistics(seen, out)
    return seen


@dataclass(frozen=True)
class _Plan:
    """The metrics of a subject by name: those of its latent space and of its images."""

    latent: list[str]
    of_images: list[str]
    space: str
    count: int


def _score(
    subject: Subject, options: Options, progress: Progress | None, picture: Path | None = None
) -> dict[str, Any]:
    """Return what is reported of a subject: about it, the protocol, and the values.

    `picture` is the PNG of samples that are near to training images.
    """
    plan = _planned(subject, options)
    samples = subject.draw(plan.count, options.seed)
    record: dict[str, Any] = {"against": None, "data": None, "devices": _devices(subject)}
    record["read"] = list(subject.read)
    real: Source | Statistics | None = None
    if plan.of_images or _learns(plan, options):
        real, record["against"], record["data"] = _real_side(subject, options)
        record["read"] += [] if isinstance(real, Statistics) else report_of(real)
    if isinstance(real, Statistics):
        of_images = plan.of_images if options.metrics else ["fid"]
        plan = replace(plan, space=real.space, of_images=of_images)
    values: dict[str, float] = {}
    latents = None
    if plan.latent:  # before the images, which may take long: a mistake is told at once
        latents = LatentScoring(
            subject, real, plan.space, options.space, options.weights, options.labels, progress
        )
        record |= latents.open(plan.latent)
    if plan.of_images:
        assert real is not None
        evaluator = _evaluator(subject, plan, real, options, progress)
        record["space_identity"] = evaluator.identity
        values = evaluator.score(samples, options.seed)
        if draw := subject.draw_classes:
            by_class, classes = evaluator.score_classes(lambda labels: draw(labels, options.seed))
            values |= by_class
            record |= {"classes": written_classes(classes)} if classes else {}
        if isinstance(real, ImageSource) and _copies_matter(real, options):
            again = subject.draw(min(plan.count, SAMPLES), options.seed)
            held_out = _held_out(subject, options)
            found = search(evaluator, again, real, held_out, picture)
            record["memorisation"] = found
    if latents:
        values |= latents.score(plan.latent, plan.count, options.seed)
    return subject.about | record | {"seed": options.seed, "values": values}


def _copies_matter(real: ImageSource, options: Options) -> bool:
    """Return whether copies are looked for: by default among few images that were trained on."""
    unasked = options.against is None and len(real) < FEWER
    return unasked if options.copies is None else options.copies


def _held_out(subject: Subject, options: Options) -> ImageSource | None:
    """Return the images that a run was not trained on, if its config keeps any."""
    if subject.data is None or options.against is not None:
        return None
    return open_held_out(subject.data) if getattr(subject.data, "held_out", 0) else None


def _planned(subject: Subject, options: Options) -> _Plan:
    """Return what is to be computed.

    Raises:
        ConfigError: the subject or the space cannot serve the metrics that are asked for.
    """
    with user_mistakes():
        asked = expand_metrics(options.metrics or subject.metrics)
    latent = [metric for metric in asked if is_of_latents(metric)]
    of_images = [metric for metric in asked if metric not in latent]
    count = options.count or subject.count
    _check_used(asked, options)
    if latent:
        _check_generator(subject, latent, count)
    if of_images and options.space == LPIPS:
        raise ConfigError(
            f"space {LPIPS!r} is for path lengths only: evaluate {', '.join(of_images)} in another "
            "space, in a separate call"
        )
    return _Plan(latent, of_images, options.space or subject.space, count)


def _check_used(metrics: Sequence[str], options: Options) -> None:
    """Refuse an option that none of the metrics uses.

    Raises:
        ConfigError: names it.
    """
    if options.labels is not None and not any(m.startswith("separability") for m in metrics):
        raise ConfigError(
            "--labels is for separability, which is not among the metrics: leave it out, or add "
            "--metrics separability"
        )
    if all(METRICS[metric].need == "points" for metric in metrics):
        for option, value in (("--space", options.space), ("--weights", options.weights)):
            if value is not None:
                raise ConfigError(
                    f"{option}: points have no feature space, and {', '.join(metrics)} need none: "
                    "leave it out"
                )


def _evaluator(
    subject: Subject,
    plan: _Plan,
    real: Source | Statistics,
    options: Options,
    progress: Progress | None,
) -> Evaluator:
    return Evaluator(
        real,
        subject.shape,
        plan.of_images,
        plan.space,
        plan.count,
        weights=options.weights,
        device=subject.device,
        classes=subject.classes,
        progress=progress,
    )


def _devices(subject: Subject) -> dict[str, str]:
    """Return where samples are made and features computed: a GPU's last digits are others."""
    features = {"features": subject.device}
    return features if subject.sampler is None else {"samples": subject.device} | features


def _check_generator(subject: Subject, metrics: list[str], count: int) -> None:
    if subject.sampler is None:
        raise ConfigError(
            f"{', '.join(metrics)} look into a generator's latent space, and "
            f"{subject.about['subject']} holds images: name a run's folder"
        )
    check_latent_metrics(subject.sampler, metrics, count)


def _learns(plan: _Plan, options: Options) -> bool:
    """Tell whether a classifier learns from real images for the latent metrics."""
    told_apart = any(metric.startswith("separability") for metric in plan.latent)
    return (told_apart or plan.space == SPACE) and not (plan.space == SPACE and options.weights)


def _real_side(subject: Subject, options: Options) -> tuple[Source | Statistics, str, str | None]:
    """Return the real data or their statistics, their name, and the data's hash if known."""
    if options.against is None:
        own = _own_reals(subject, options)
        return own, own.name, own.fingerprint
    side = subject.shape[-1] if len(subject.shape) == 3 else None
    real = open_reals(options.against, options.space, options.resolution, side)
    if isinstance(real, Statistics):
        return real, Path(options.against).name, None
    return real, real.name, real.fingerprint


def _own_reals(subject: Subject, options: Options) -> Source:
    """Open the data that a run was trained on.

    Raises:
        ConfigError: the subject is no run, or a resolution is asked for.
    """
    if subject.real is None:
        raise ConfigError(
            f"{subject.about['subject']} holds no run, and so does not say what it was made "
            "from: name the real images with --against DATA"
        )
    if options.resolution is not None:
        raise ConfigError(
            "--resolution is for image files; a run is scored at the resolution of its own data"
        )
    return subject.real()
