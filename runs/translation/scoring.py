"""Scores of a run's translator on the test part of its data, which no generator has seen.

Pairs are compared with their partners, image by image. Two sets have none, but for built-in ones,
whose test parts hide them: there each way is compared with what it should give, and there and back
with where it began. KID compares the sets of images.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from egan.data import open_source
from egan.data.pairs import PairSource
from fitness.features import Progress
from fitness.metrics.fidelity import FIDELITY, HIGHER_IS_BETTER
from fitness.metrics.kid import kernel_distance
from fitness.metrics.ssim import SMALLEST
from runs.common.errors import ConfigError
from runs.common.files import write_json
from runs.evaluation.commands import Options
from runs.evaluation.mistakes import user_mistakes
from runs.evaluation.records import joined, read_records
from runs.evaluation.spaces import feature_space
from runs.sampling.translation_grid import to_bytes
from runs.sampling.translator import Translator
from runs.store.data import moved
from runs.store.folder import RunFolder
from runs.tracking.run_logger import log_evaluation
from runs.translation.opening import Opened, open_translator

KID = "kid"
METRICS = (*FIDELITY, KID)
SPACE = "pixels"  # which needs no weights
CHUNK = 64


@dataclass(frozen=True)
class Compared:
    """One way of translation on the test part, images uint8 (N, C, H, W).

    Attributes:
        name: "" for pairs; "a-to-b", "b-to-a", or "a-to-a", "b-to-b" for there and back.
        given: what was translated.
        made: the translations.
        wanted: what each should be; None: nobody knows.
        others: images of the set that translations should look like.
    """

    name: str
    given: np.ndarray
    made: np.ndarray
    wanted: np.ndarray | None
    others: np.ndarray

    def scores(self, metrics: tuple[str, ...]) -> dict[str, np.ndarray]:
        """Return the scores (N,) of each image that has a target, by metric."""
        if self.wanted is None:
            return {}
        pair = torch.from_numpy(self.made), torch.from_numpy(self.wanted)
        return {
            name: FIDELITY[name](*pair).numpy()
            for name in metrics
            if name in FIDELITY and (name != "ssim" or min(self.made.shape[2:]) >= SMALLEST["ssim"])
        }


def is_translator(folder: RunFolder) -> bool:
    """Tell whether a folder holds a run that translates images."""
    return folder.config.is_file() and folder.load_data().partner is not None


def score_run(
    folder: RunFolder, options: Options, progress: Progress | None = None
) -> tuple[dict[str, Any], list[Compared]]:
    """Score a run's translator; return JSON values, and what they are of.

    The values are kept in the run's folder and in its MLflow record, as `assess` does.

    Raises:
        ConfigError, DataError: what was asked for cannot be; nothing was written.
    """
    metrics = _asked(options)
    opened = open_translator(folder.path, options.choice, options.device)
    source = _test_part(opened, options)
    ways = compared(opened.translator, source, options.seed, progress)
    space = options.space or SPACE
    values: dict[str, float] = {}
    for way in ways:
        start = f"{way.name}/" if way.name else ""
        for name, scores in way.scores(metrics).items():
            values[f"{start}{name}-{len(scores)}"] = float(scores.mean())
        if KID in metrics and not way.name.endswith(("a-to-a", "b-to-b")):
            name = f"{start}{KID}-{space}-{len(way.made)}"
            values[name] = _kid(way, space, options, opened.translator.device)
    record = {
        "snapshot": opened.name,
        "against": f"{source.name}, test part",
        "data": source.fingerprint,
        "seed": options.seed,
        "values": values,
    }
    file = folder.path / "evaluations" / f"generation-{opened.generation:08d}.json"
    write_json(file, joined(read_records(file), record))
    logged = {f"test/{options.choice.own}{name}": value for name, value in values.items()}
    told = {"file": str(file), "mlflow": log_evaluation(folder, logged, opened.generation)}
    return {"subject": str(folder.path)} | record | told, ways


def _asked(options: Options) -> tuple[str, ...]:
    """Return the metrics to compute.

    Raises:
        ConfigError: others are asked for, or something that a translator has not.
    """
    metrics = options.metrics or METRICS
    for name in metrics:
        if name not in METRICS:
            raise ConfigError(f"--metrics {name}: of translators there are {', '.join(METRICS)}")
    for option, value in (
        ("--against", options.against),
        ("--resolution", options.resolution),
        ("--labels", options.labels),
    ):
        if value is not None:
            raise ConfigError(f"{option}: a translator is scored on the test part of its own data")
    return metrics


def _test_part(opened: Opened, options: Options) -> PairSource:
    """Open the part of the data that no generator and no critic has seen."""
    data = opened.config.data
    if options.data_at is not None:
        data = moved(data, options.data_at)
    source = open_source(data.model_copy(update={"split": "test"}))
    assert isinstance(source, PairSource)
    if options.count is not None and options.count > source.length:
        raise ConfigError(f"--count {options.count}: the test part holds {source.length} images")
    shapes = opened.folder.load_data()
    assert shapes.partner is not None
    if (source.shape, source.target) != (shapes.shape, shapes.partner.shape):
        raise ConfigError(
            f"the test part holds images {source.shape} and {source.target}, and the run was "
            f"trained on {shapes.shape} and {shapes.partner.shape}"
        )
    count = options.count
    a, b = source.a[:count], source.b[:count]
    return PairSource(
        source.name, a, b, source.aligned, source.size, counterparts=source.counterparts
    )


def compared(
    translator: Translator, source: PairSource, seed: int = 0, progress: Progress | None = None
) -> list[Compared]:
    """Return the ways of a translator on a test part."""
    a, b = source.a, source.b
    if source.aligned:
        given, wanted = (b, a) if translator.backwards else (a, b)
        made = _made(translator, given, seed, progress, "translations")
        return [Compared("", to_bytes(given), made, to_bytes(wanted), to_bytes(wanted))]
    back = translator.reversed()
    ways = []
    for one, other, images, others, names in (
        (translator, back, a, b, ("a-to-b", "a-to-a")),
        (back, translator, b, a, ("b-to-a", "b-to-b")),
    ):
        there = _made(one, images, seed, progress, names[0])
        again = _made(other, there, seed, progress, names[1])
        own, target = to_bytes(images), to_bytes(others)
        ways.append(Compared(names[0], own, there, target if source.counterparts else None, target))
        ways.append(Compared(names[1], own, again, own, own))
    return ways


def _made(
    translator: Translator, images: np.ndarray, seed: int, progress: Progress | None, stage: str
) -> np.ndarray:
    parts = []
    for start in range(0, len(images), CHUNK):
        part = np.array(images[start : start + CHUNK])
        parts.append(translator.pictures(part, seed, start))
        if progress:
            progress(stage, min(start + CHUNK, len(images)), len(images))
    return np.concatenate(parts)


def _kid(way: Compared, space: str, options: Options, device: torch.device) -> float:
    with user_mistakes():
        network = feature_space(
            space, shape=way.made.shape[1:], weights=options.weights, device=device
        )
        real, fake = (
            torch.cat([network(part) for part in torch.split(torch.from_numpy(images), CHUNK)])
            for images in (way.others, way.made)
        )
        return kernel_distance(real.double(), fake.double())


def direction_of(name: str) -> str:
    """Return which way a value of `score_run` is better."""
    metric = name.rpartition("/")[2].partition("-")[0]
    return "higher" if HIGHER_IS_BETTER.get(metric) else "lower"


def rows(values: Mapping[str, float]) -> list[tuple[str, str, str]]:
    """Return the lines of a table of values: name, value, which way is better."""
    return [(name, f"{value:.5g}", direction_of(name)) for name, value in values.items()]
