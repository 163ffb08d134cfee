"""Scores of a run's translator on the test part of its data, which no generator has seen."""

from typing import Any

from egan.data import open_source
from egan.data.pairs import PairSource
from fitness.features import Progress
from runs.common.errors import ConfigError
from runs.common.files import write_json
from runs.evaluation.commands import Options
from runs.evaluation.records import joined, read_records
from runs.store.data import moved
from runs.store.folder import RunFolder
from runs.tracking.run_logger import log_evaluation
from runs.translation.comparing import METRICS, SPACE, Compared, compared, space_opener, values_of
from runs.translation.opening import Opened, open_translator


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
    device = opened.translator.device
    values = values_of(ways, metrics, space_opener(options.space or SPACE, options.weights, device))
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
