"""The `evaluate` and `statistics` commands: a generator, or any images, against real data."""

import re
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, TypeAdapter
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from torch import Tensor

from egan.data import ImageSource, Source, detect_source, open_source
from egan.data.config import AvatarsConfig, DataConfig, DigitsConfig, ImagesConfig
from fitness.evaluation import observe
from fitness.features import Progress
from fitness.metrics.lpips import LPIPS, PerceptualDistance, check_space, distance_in, lpips_vgg16
from fitness.metrics.names import METRICS, MetricName, expand_metrics
from fitness.statistics import Statistics, read_arrays
from runs.common.errors import ConfigError, printable
from runs.common.files import read_json, write_json
from runs.evaluation.evaluator import (
    Evaluator,
    batches_of,
    best_device,
    open_space,
    reals_of,
    user_mistakes,
)
from runs.evaluation.latent_metrics import (
    Attributes,
    check_latent_metrics,
    is_of_latents,
    score_latents,
)
from runs.sampling.sampler import Sampler, chosen_snapshot, is_generator, load_sampler, sampler_of
from runs.store.folder import RunFolder
from runs.tracking.record import log_evaluation

POINTS = 2500  # the usual number in the papers on mixtures
IMAGES = 10_000
IMAGE_METRICS = ("fid", "kid", "prdc")
POINT_METRICS = ("mixture",)
SPACE = "classifier"


class _Record(BaseModel, extra="allow"):
    """A scoring that was kept; any keys, but `values` by name."""

    values: dict[str, float | None]


_RECORDS = TypeAdapter(list[_Record])


@dataclass(frozen=True)
class Options:
    """What is asked of a scoring; None: what suits the subject.

    Attributes:
        against: the path of the real images or of their statistics, or "digits".
        metrics: short names or groups.
        space: the feature space.
        count: how many samples.
        seed: of the samples, and of the metrics' own draws.
        weights: a file of the space's weights.
        resolution: side that images are brought to.
        labels: what separability's attributes are; None: the data's own labels.
    """

    against: str | None = None
    metrics: tuple[str, ...] | None = None
    space: str | None = None
    count: int | None = None
    seed: int = 0
    weights: Path | None = None
    resolution: int | None = None
    labels: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Subject:
    """What is scored, and what suits it where nothing else is asked for.

    Attributes:
        shape: of one sample, (C, H, W) or (2,).
        draw: `draw(count, seed)` gives batches of samples.
        count: how many samples.
        metrics: short names or groups.
        space: the feature space.
        real: opens the data that it was trained on, if they are known.
        about: what is reported of it.
        sampler: the generator, if it is one.
        data: the config of the data that it was trained on, if they are known.
    """

    shape: tuple[int, ...]
    draw: Callable[[int, int], Iterable[Tensor]]
    count: int
    metrics: tuple[str, ...]
    space: str
    real: Callable[[], Source] | None
    about: dict[str, str]
    sampler: Sampler | None = None
    data: DataConfig | None = None


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
    if is_generator(path):
        return _score(_generator_subject(path), options, progress)
    if not run.config.is_file():
        return _score(_images_subject(path, options.resolution), options, progress)
    subject, generation = _run_subject(run)
    file = run.path / "evaluations" / f"generation-{generation:08d}.json"
    kept = _read_records(file)
    found = _score(subject, options, progress)
    record = {key: value for key, value in found.items() if key != "subject"}
    write_json(file, _joined(kept, record))
    # Other data than the run's own make other scores, whatever the metric's name.
    own = found["data"] == run.load_data().fingerprint
    place = "" if own or found["against"] is None else f"against {_plain(found['against'])}/"
    values = {f"{place}{name}": value for name, value in found["values"].items()}
    return found | {"file": str(file), "mlflow": log_evaluation(run, values, generation)}


def write_statistics(
    data: str,
    out: Path,
    *,
    space: str = SPACE,
    count: int | None = None,
    weights: Path | None = None,
    resolution: int | None = None,
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
        progress: called as `progress(stage, done, total)`.

    Raises:
        ConfigError, DataError: what was asked for cannot be; nothing was written.
    """
    if out.suffix != ".npz":
        raise ConfigError(f"{out}: the file's name must end in .npz")
    images = _open_images(data, resolution)
    with user_mistakes():
        network = open_space(space, images, images.shape, weights, best_device(), progress)
        count = len(images) if count is None else count
        reals = reals_of(images, count)
        stage = "real images"
        seen = observe(
            reals, network, count, ["statistics"], stage=stage, progress=progress
        ).statistics
    assert seen is not None
    seen.save(out)
    return seen


def _score(subject: Subject, options: Options, progress: Progress | None) -> dict[str, Any]:
    count = options.count or subject.count
    samples = subject.draw(count, options.seed)
    with user_mistakes():
        asked = expand_metrics(options.metrics or ("fid",))
    latent = [metric for metric in asked if is_of_latents(metric)]
    of_images = [metric for metric in asked if not is_of_latents(metric)]
    if latent:
        _check_generator(subject, latent, count)
    _check_space(of_images, options)
    space = options.space or subject.space
    metrics = of_images if options.metrics else list(subject.metrics)
    real: Source | Statistics | None = None
    record: dict[str, Any] = {"against": None, "data": None}
    if metrics or _learns(latent, space, options):
        real, record["against"], record["data"] = _real_side(subject, options)
    if isinstance(real, Statistics):
        space, metrics = real.space, of_images if options.metrics else ["fid"]
    values: dict[str, float] = {}
    latents = None
    if latent:  # before the images, which may take long: a mistake is told at once
        latents = _Latents(subject, real, space, options, progress)
        record |= latents.open(latent)
    if metrics:
        assert real is not None
        evaluator = Evaluator(
            real,
            subject.shape,
            metrics,
            space,
            count,
            weights=options.weights,
            device=best_device(),
            progress=progress,
        )
        record["space_identity"] = evaluator.identity
        values = evaluator.score(samples, options.seed)
    if latents:
        values |= latents.score(latent, count)
    return subject.about | record | {"seed": options.seed, "values": values}


# ------------------------------------------------------------------------------------ latent space


def _check_generator(subject: Subject, metrics: list[str], count: int) -> None:
    if subject.sampler is None:
        raise ConfigError(
            f"{', '.join(metrics)} look into a generator's latent space, and "
            f"{subject.about['subject']} holds images: name a run's folder"
        )
    check_latent_metrics(subject.sampler, metrics, count)


def _learns(metrics: list[str], space: str, options: Options) -> bool:
    """Tell whether a classifier learns from real images for the latent metrics."""
    told_apart = any(metric.startswith("separability") for metric in metrics)
    return (told_apart or space == SPACE) and not (space == SPACE and options.weights)


def _check_space(of_images: list[str], options: Options) -> None:
    if of_images and options.space == LPIPS:
        raise ConfigError(
            f"space {LPIPS!r} is of path lengths alone: evaluate {', '.join(of_images)} in another "
            "space, in a call of their own"
        )


class _Latents:
    """What a generator's latent metrics are computed with, made ready before anything long."""

    def __init__(
        self,
        subject: Subject,
        real: Source | Statistics | None,
        space: str,
        options: Options,
        progress: Progress | None,
    ) -> None:
        assert subject.sampler is not None
        self._sampler, self._shape = subject.sampler, subject.shape
        self._real, self._config = real, subject.data
        self._space, self._options, self._progress = space, options, progress
        self._distance: PerceptualDistance | None = None
        self._attributes: Attributes | None = None

    def open(self, metrics: list[str]) -> dict[str, Any]:
        """Open the spaces that metrics need; return what a record says of them."""
        said: dict[str, Any] = {}
        with user_mistakes():
            if any(metric.startswith("ppl") for metric in metrics):
                self._distance = self._open_distance()
                said["space_identity"] = self._distance.identity
            if any(metric.startswith("separability") for metric in metrics):
                self._attributes = self._open_attributes()
                identities = [space.identity for space in self._attributes.spaces]
                said["attributes_identity"] = identities
        return said

    def score(self, metrics: list[str], count: int) -> dict[str, float]:
        """Return the values by full name."""
        with user_mistakes():
            return score_latents(
                self._sampler,
                metrics,
                count,
                self._options.seed,
                distance=self._distance,
                attributes=self._attributes,
                device=best_device(),
                progress=self._progress,
            )

    def _open_distance(self) -> PerceptualDistance:
        weights, device = self._options.weights, best_device()
        check_space(self._space)
        if self._space == LPIPS:
            return lpips_vgg16(weights, device=device)
        real = _images_or_statistics(self._real)
        space = open_space(self._space, real, self._shape, weights, device, self._progress)
        return distance_in(space)

    def _open_attributes(self) -> Attributes:
        labels, device = self._options.labels, best_device()
        if self._options.space not in (None, SPACE, LPIPS):
            raise ValueError(
                f"separability's attributes are told apart by space {SPACE!r}, which learns them "
                f"from labels; {self._options.space!r} was asked for"
            )
        if labels is None:
            weights = self._options.weights if self._space == SPACE else None  # another space's
            real = _images_or_statistics(self._real)
            space = open_space(SPACE, real, self._shape, weights, device, self._progress)
            return Attributes(SPACE, [space])
        if not isinstance(self._config, AvatarsConfig):
            raise ValueError("--labels: only data.source=avatars has labels to choose from")
        spaces = []
        for label in labels:
            data = open_source(self._config.model_copy(update={"label": label}))
            assert isinstance(data, ImageSource)
            spaces.append(open_space(SPACE, data, self._shape, None, device, self._progress))
        return Attributes(".".join((SPACE, *labels)), spaces)


def _images_or_statistics(real: Source | Statistics | None) -> ImageSource | Statistics | None:
    assert real is None or isinstance(real, ImageSource | Statistics), "of points, nothing is asked"
    return real


# --------------------------------------------------------------------------------------- two sides


def _run_subject(run: RunFolder) -> tuple[Subject, int]:
    """Return a run's generator, and the generation of the snapshot that it is of."""
    config, shape = run.load_config(), run.load_data().shape
    exported, name = chosen_snapshot(run)
    sampler = sampler_of(config, shape, exported)
    asked = config.evaluation
    points = not sampler.images
    of_points = all(METRICS[name].need == "points" for name in expand_metrics(asked.metrics))
    usual = POINT_METRICS if points else IMAGE_METRICS
    subject = Subject(
        shape,
        sampler.batches,
        POINTS if points else IMAGES,
        asked.metrics if of_points == points else usual,
        asked.space,
        lambda: open_source(config.data),
        {"subject": str(run.path), "snapshot": name},
        sampler,
        config.data,
    )
    return subject, exported.generation


def _generator_subject(path: Path) -> Subject:
    """Return a generator without a run: what it was trained on is not known."""
    sampler = load_sampler(path)
    points = not sampler.images
    return Subject(
        sampler.shape,
        sampler.batches,
        POINTS if points else IMAGES,
        POINT_METRICS if points else IMAGE_METRICS,
        SPACE,
        None,
        {"subject": str(path), "snapshot": "generator"},
        sampler,
    )


def _images_subject(path: Path, resolution: int | None) -> Subject:
    images = _open_images(str(path), resolution)

    def draw(count: int, seed: int) -> Iterable[Tensor]:
        if count > len(images):
            raise ConfigError(f"--count {count}: {path} holds only {len(images)} images")
        # A part is drawn at random, for a folder's files are often sorted by class.
        chosen = np.random.default_rng(seed).permutation(len(images))[:count]
        return batches_of(images.images, np.sort(chosen))

    return Subject(
        images.shape, draw, len(images), IMAGE_METRICS, SPACE, None, {"subject": str(path)}
    )


def _real_side(subject: Subject, options: Options) -> tuple[Source | Statistics, str, str | None]:
    """Return the real data or their statistics, their name, and the data's hash if known."""
    if options.against is None:
        if subject.real is None:
            raise ConfigError(
                f"{subject.about['subject']} holds no run, and so does not say what it was made "
                "from: name the real images with --against DATA"
            )
        if options.resolution is not None:
            raise ConfigError(
                "--resolution is the side of image files; a run is scored at its own data's"
            )
        own = subject.real()
        return own, own.name, own.fingerprint
    path = Path(options.against)
    if _holds_statistics(path):
        return _open_statistics(path, options.space), path.name, None
    side = subject.shape[-1] if len(subject.shape) == 3 else None
    real = _open_images(options.against, options.resolution, folders=side)
    return real, real.name, real.fingerprint


def _open_images(
    text: str, resolution: int | None = None, folders: int | None = None
) -> ImageSource:
    """Open images by path, or the digits by name.

    Args:
        text: the path, or "digits".
        resolution: side that they are brought to; None: as stored.
        folders: side for images that are stored in many sizes.
    """
    if text == "digits" and not Path(text).exists():
        config: Any = DigitsConfig(resolution=resolution or folders or 16)
    else:
        config = detect_source(Path(text))
        if isinstance(config, ImagesConfig):
            resolution = resolution or folders
            if resolution is None:
                raise ConfigError(
                    f"{text} holds image files: say to which side they are to be brought, with "
                    "--resolution R (metrics compare images of one size)"
                )
        if resolution is not None and hasattr(config, "resolution"):
            config = config.model_copy(update={"resolution": resolution})
    source = open_source(config)
    assert isinstance(source, ImageSource)
    return source


def _holds_statistics(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return {"mu.npy", "sigma.npy"} <= set(archive.namelist())
    except (OSError, zipfile.BadZipFile):
        return False


def _open_statistics(path: Path, space: str | None) -> Statistics:
    with user_mistakes():
        arrays = read_arrays(path)
        if space is None and "space" not in arrays:
            raise ConfigError(
                f"{path} does not say its feature space: name it with --space, such as "
                "--space inception for a file that pytorch-fid wrote"
            )
        return Statistics.from_arrays(arrays, str(path), space=space)


# ------------------------------------------------------------------------------------ the record


def _read_records(file: Path) -> list[dict[str, Any]]:
    try:
        kept = read_json(file)
        _RECORDS.validate_python(kept)
    except FileNotFoundError:
        return []
    except (OSError, ValueError):
        raise ConfigError(f"{file} is damaged; move it away, and evaluate again") from None
    return list(kept)


def _joined(kept: list[dict[str, Any]], record: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the records with one more; of one protocol there is one, with all values."""

    def protocol(of: dict[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in of.items() if key != "values"}

    others = [known for known in kept if protocol(known) != protocol(record)]
    values = {k: v for known in kept if known not in others for k, v in known["values"].items()}
    return [*others, record | {"values": values | record["values"]}]


def _plain(name: str) -> str:
    """Return a name in characters that MLflow takes."""
    return re.sub(r"[^\w.\- ]", "_", name, flags=re.ASCII)


def render(found: dict[str, Any]) -> None:
    """Print what `assess` found."""
    console = Console(highlight=False)
    table = Table("metric", "value", "better is", box=None)
    for name, value in found["values"].items():
        up = METRICS[MetricName.parse(name).metric].higher_is_better
        table.add_row(name, f"{value:.5g}", "higher" if up else "lower")
    what = f" ({found['snapshot']})" if "snapshot" in found else ""
    against = f" against {found['against']}" if found["against"] else ""
    title = f"{found['subject']}{what}{against}"
    console.print(escape(printable(title)), soft_wrap=True)
    console.print(table)
    for key in ("file", "mlflow"):
        if found.get(key):
            console.print(escape(printable(f"{key}: {found[key]}")), soft_wrap=True)
