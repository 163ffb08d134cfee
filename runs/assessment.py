"""The `evaluate` command: a run, or any system's images, against real data."""

import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from egan.data import ImageSource, Source, detect_source, open_source
from egan.data.config import DigitsConfig, ImagesConfig
from fitness.features import Progress
from fitness.names import METRICS, MetricName
from runs.evaluation import Evaluator
from runs.files import write_json
from runs.folder import RunFolder
from runs.mistakes import ConfigError
from runs.sampling import chosen_snapshot, sampler_of
from runs.tracking import log_evaluation

MIXTURE_COUNT = 2500  # points, the usual number in the papers on mixtures
RUN_COUNT = 10_000
MIXTURE_METRICS = ("mixture",)


def assess(
    subject: Path,
    *,
    against: str | None = None,
    metrics: tuple[str, ...] | None = None,
    space: str | None = None,
    count: int | None = None,
    seed: int = 0,
    weights: Path | None = None,
    resolution: int | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Score a run's generator or a set of images; return JSON values.

    Args:
        subject: a run's folder; or images: a folder, .zip, .npy or .npz.
        against: the real images' path, or "digits"; by default what the run was trained on.
        metrics: short names; by default those of the run's config, else fid, kid and prdc.
        space: the feature space; by default the run's, else "classifier".
        count: generated images; by default 10,000 of a run (2,500 points), all of a set of images.
        seed: of the samples.
        weights: a file of the space's weights.
        resolution: side that folders of images are brought to.
        progress: called as `progress(stage, done, total)`.

    Raises:
        ConfigError, DataError: what was asked for cannot be; nothing was written.
    """
    run = RunFolder(subject)
    if run.config.is_file():
        return _assess_run(run, against, metrics, space, count, seed, weights, resolution, progress)
    images = _images(subject, resolution)
    if against is None:
        raise ConfigError(
            f"{subject} holds images, not a run: name the real ones with --against DATA"
        )
    real = open_data(against, resolution or images.shape[-1])
    chosen = images.images[:count] if count else images.images
    if count and count > len(images):
        raise ConfigError(f"--count {count}: {subject} holds only {len(images)} images")
    evaluator = Evaluator(
        real,
        metrics or ("fid", "kid", "prdc"),
        space or "classifier",
        len(chosen),
        weights=weights,
        progress=progress,
    )
    values = evaluator.score_samples(chosen.transpose(0, 2, 3, 1), seed)
    return {"subject": str(subject), "against": real.name, "seed": seed, "values": values}


def _assess_run(
    run: RunFolder,
    against: str | None,
    metrics: tuple[str, ...] | None,
    space: str | None,
    count: int | None,
    seed: int,
    weights: Path | None,
    resolution: int | None,
    progress: Progress | None,
) -> dict[str, Any]:
    config = run.load_config()
    real = open_data(against, resolution) if against else open_source(config.data)
    points = not isinstance(real, ImageSource)
    chosen = metrics or (MIXTURE_METRICS if points else config.evaluation.metrics)
    exported, name = chosen_snapshot(run)
    sampler = sampler_of(config.backbone, run.load_data().shape, exported)
    wanted = count or (MIXTURE_COUNT if points else RUN_COUNT)
    evaluator = Evaluator(
        real,
        chosen,
        space or config.evaluation.space,
        wanted,
        weights=weights,
        progress=progress,
    )
    values = evaluator.score(sampler, seed)
    found = {
        "subject": str(run.path),
        "snapshot": name,
        "against": real.name,
        "seed": seed,
        "values": values,
    }
    file = run.path / "evaluations" / f"generation-{exported.generation:08d}.json"
    kept = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    protocol = f"against {real.name}, seed {seed}"
    kept[protocol] = kept.get(protocol, {}) | values
    write_json(file, kept)
    found["file"] = str(file)
    found["mlflow"] = log_evaluation(run, values, exported.generation)
    return found


def open_data(text: str, resolution: int | None) -> Source:
    """Open real data by path, or the digits by name."""
    if text == "digits" and not Path(text).exists():
        return open_source(DigitsConfig(resolution=resolution or 16))
    return _images(Path(text), resolution)


def _images(path: Path, resolution: int | None) -> ImageSource:
    config = detect_source(path)
    if resolution is not None and hasattr(config, "resolution"):
        config = config.model_copy(update={"resolution": resolution})
    elif isinstance(config, ImagesConfig):
        raise ConfigError(
            f"{path} is a folder of images: say to which side they are to be brought, with "
            "--resolution R (metrics compare images of one size)"
        )
    source = open_source(config)
    assert isinstance(source, ImageSource)
    return source


def render(found: dict[str, Any]) -> None:
    """Print what `assess` found."""
    console = Console(highlight=False)
    table = Table("metric", "value", "better is", box=None)
    for name, value in found["values"].items():
        up = METRICS[MetricName.parse(name).metric].higher_is_better
        table.add_row(name, f"{value:.5g}", "higher" if up else "lower")
    what = f" ({found['snapshot']})" if "snapshot" in found else ""
    console.print(f"{found['subject']}{what} against {found['against']}", soft_wrap=True)
    console.print(table)
    for key in ("file", "mlflow"):
        if found.get(key):
            console.print(f"{key}: {found[key]}", soft_wrap=True)
