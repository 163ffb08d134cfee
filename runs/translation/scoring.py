"""Scores of a run's translator on the test part of its data, which no generator has seen."""

from typing import Any

from fitness.features import Progress
from fitness.metrics.names import expand_metrics
from runs.common.errors import ConfigError
from runs.common.files import write_json
from runs.evaluation.commands import Options
from runs.evaluation.mistakes import user_mistakes
from runs.evaluation.records import joined, read_records
from runs.store.folder import RunFolder
from runs.tracking.run_logger import log_evaluation
from runs.translation.comparing import METRICS, SPACE, compared, space_opener, values_of
from runs.translation.opening import open_translator
from runs.translation.part_scores import PARTS, PartScores
from runs.translation.parts import open_part


def score_run(
    folder: RunFolder, options: Options, progress: Progress | None = None
) -> dict[str, Any]:
    """Score a run's translator; return JSON values.

    The values are kept in the run's folder and in its MLflow record, as `assess` does.

    Raises:
        ConfigError, DataError: what was asked for cannot be; nothing was written.
    """
    metrics = _asked(options)
    opened = open_translator(folder.path, options.choice, options.device)
    device, backwards = opened.translator.device, opened.translator.backwards
    parts = None
    if set(metrics) & set(PARTS):
        parts = PartScores(opened.config.data, backwards, device, progress)
    source = open_part(opened, "test", options.data_at, options.count)
    ways = compared(opened.translator, source, options.seed, progress)
    space_for = space_opener(options.space or SPACE, options.weights, device)
    values = values_of(ways, metrics, space_for)
    if parts is not None:
        values |= parts(ways, metrics)
    record = {
        "snapshot": opened.name,
        "against": source.name,
        "data": source.fingerprint,
        "seed": options.seed,
        "values": values,
    }
    file = folder.path / "evaluations" / f"generation-{opened.generation:08d}.json"
    write_json(file, joined(read_records(file), record))
    logged = {f"test/{options.choice.own}{name}": value for name, value in values.items()}
    told = {"file": str(file), "mlflow": log_evaluation(folder, logged, opened.generation)}
    return {"subject": str(folder.path)} | record | told


def _asked(options: Options) -> tuple[str, ...]:
    """Return the metrics to compute.

    Raises:
        ConfigError: others are asked for, or something that a translator has not.
    """
    with user_mistakes():
        metrics = expand_metrics(options.metrics or METRICS)
    for name in metrics:
        if name not in (*METRICS, *PARTS):
            raise ConfigError(
                f"--metrics {name}: of translators there are {', '.join(METRICS)}, and of masks of "
                f"parts {', '.join(PARTS)}"
            )
    for option, value in (
        ("--against", options.against),
        ("--resolution", options.resolution),
        ("--labels", options.labels),
    ):
        if value is not None:
            raise ConfigError(f"{option}: a translator is scored on the test part of its own data")
    return metrics
