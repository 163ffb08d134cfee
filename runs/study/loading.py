"""A study from a YAML file, or from those that come with the package."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fitness.metrics.names import expand_metrics
from runs.common.errors import ConfigError
from runs.common.files import read_text
from runs.common.folders import refuse_another
from runs.common.formats import format_of, upgraded, without_head
from runs.config.explaining import checked
from runs.config.loading import load_config, validate
from runs.config.safe_yaml import LARGEST_CONFIG, parse_yaml
from runs.study.strategies import typed_overrides
from runs.study.study import Study, StudyConfig


def load_study(path: str | Path) -> Study:
    """Return the study of a YAML file or of a study that comes with the package, checked.

    Raises:
        ConfigError: no such study, an unknown key, a value that is not allowed.
    """
    from runs.studies import study_names, study_text

    file = Path(path)
    if file.suffix in (".yaml", ".yml") or file.is_file():
        try:
            text = read_text(file, LARGEST_CONFIG)
        except (OSError, ValueError) as error:
            raise ConfigError(f"cannot read the study {file}: {error}") from None
    else:
        if str(path) not in study_names():
            refuse_another(file, "study")
        text = study_text(str(path))
    return parse_study(text, str(path), file.parent)


def parse_study(text: str, source: str, folder: Path) -> Study:
    """Return the study of a YAML text; a base config's path is relative to `folder`.

    Raises:
        ConfigError: see `load_study`.
    """
    values = parse_yaml(text, source)
    values = without_head(upgraded("study", values, format_of(values, source)))
    config = checked(StudyConfig, _typed_overrides(values), f"the study {source}")
    study = Study(config, _base_of(config.base, folder))
    study.check()
    try:
        wanted = expand_metrics(config.metrics) if config.metrics else ()
    except ValueError as error:
        raise ConfigError(f"metrics: {error}") from None
    for name, run in study.configs.items():
        missing = [m for m in wanted if m not in expand_metrics(run.evaluation.metrics)]
        if missing:
            raise ConfigError(
                f"metrics: {', '.join(missing)} is not among evaluation.metrics of {name}: "
                f"{', '.join(expand_metrics(run.evaluation.metrics))}"
            )
    return study


def _base_of(base: str | dict[str, Any], folder: Path) -> Mapping[str, Any]:
    if isinstance(base, dict):
        return validate(base, "base").model_dump(mode="json")
    beside = folder / base
    source = beside if beside.suffix in (".yaml", ".yml") and beside.is_file() else base
    return load_config(source).model_dump(mode="json")


def _typed_overrides(values: dict[str, Any]) -> dict[str, Any]:
    """Return a study's values, those that change the base's config as the config wants them."""
    values = dict(values)
    if "set" in values:
        values["set"] = typed_overrides(values["set"])
    strategies = values.get("strategies")
    if isinstance(strategies, Mapping):
        values["strategies"] = {
            name: typed_overrides(overrides) for name, overrides in strategies.items()
        }
    return values
