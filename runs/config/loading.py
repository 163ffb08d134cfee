"""A run's configuration from a preset or a YAML file, with `--set key=value` on top."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from types import NoneType
from typing import Any

from pydantic import BaseModel

from egan.imports import WITHOUT_IMPORTS
from runs.common.errors import ConfigError
from runs.common.files import read_text
from runs.common.formats import format_of, upgraded, without_head
from runs.config.explaining import checked
from runs.config.fields import types_at
from runs.config.safe_yaml import LARGEST_CONFIG, leftover, parse_value, parse_yaml
from runs.config.schema import RunConfig
from runs.config.values import Plain, has_parts, is_text
from runs.presets import preset_text

TAGS = ("data.source", "backbone.name")  # the keys that say which model a section is of


def load_config(source: str | Path, overrides: Iterable[str] = (), **settings: Any) -> RunConfig:
    """Return the configuration of a preset's name or a YAML file's path.

    Args:
        source: a preset's name, or the path of a YAML file.
        overrides: texts `key=value`, with dots in the key: `population.survivors=2`. A text or a
            path is taken literally, `data.path=photos #2`. Another `data.source` or
            `backbone.name` than the preset's empties that section first.
        settings: the same as keywords, with `__` for the dots: `population__survivors=2`.

    Raises:
        ConfigError: unknown preset, unreadable file, unknown key, value out of range, or workers
            for a run that has none.
    """
    changes = changes_of(overrides, settings)
    config = validate(with_changes(config_values(source), changes), str(source))
    check_asked(config, [key for key, _ in changes])
    return config


def config_values(source: str | Path) -> dict[str, Any]:
    """Return what a preset or a YAML file says, unchecked, in the present format.

    Raises:
        ConfigError: unknown preset, unreadable file, or a newer version's.
    """
    return present_config(parse_yaml(_read(source), str(source)), str(source))


def changes_of(
    overrides: Iterable[str], settings: Mapping[str, Any] | None = None
) -> list[tuple[str, Any]]:
    """Return overrides and settings, see `load_config`, as dotted keys with their values.

    Raises:
        ConfigError: an override is not `key=value`.
    """
    changes: list[tuple[str, Any]] = [_split(override) for override in overrides]
    return changes + [(key.replace("__", "."), value) for key, value in (settings or {}).items()]


def with_changes(
    values: Mapping[str, Any],
    changes: Iterable[tuple[str, Any]],
    model: type[BaseModel] = RunConfig,
) -> dict[str, Any]:
    """Return values (not changed) of a model with others under dotted keys.

    Raises:
        ConfigError: a key leads into what is no section.
    """
    changed: dict[str, Any] = _copy(values)
    for key, value in sorted(changes, key=lambda change: change[0] not in TAGS):
        if isinstance(value, _Override):
            value = _as_typed(model, changed, key, value)
        if key in TAGS:
            _restart_section(changed, key, value)
        _assign(changed, key, value)
    return changed


def validate(values: Mapping[str, Any], source: str, imported: bool = True) -> RunConfig:
    """Return the checked configuration.

    Without `imported`, a user's own mutations and backbone are taken for names: it can be shown.

    Raises:
        ConfigError: with one line for each mistake.
    """
    context = None if imported else WITHOUT_IMPORTS
    return checked(RunConfig, values, f"the config {source}", context)


def present_config(values: dict[str, Any], source: str) -> dict[str, Any]:
    """Return a config's values in the present format, without the head that a run's config has.

    Raises:
        ConfigError: a newer version wrote it.
    """
    return without_head(upgraded("config", values, format_of(values, source)))


def _read(source: str | Path) -> str:
    """Return the text of a preset or a file; a name that can be no path is no preset either."""
    path = Path(source)
    try:
        if path.suffix in (".yaml", ".yml") or path.is_file():
            return read_text(path, LARGEST_CONFIG)
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot read the config {path}: {error}") from None
    return preset_text(str(source))


class _Override(str):
    """The value after the `=` of an override."""

    __slots__ = ()


def _split(override: str) -> tuple[str, _Override]:
    key, equals, text = override.partition("=")
    if not equals or not key.strip():
        raise ConfigError(f"--set {override!r}: needs the form key=value, such as seed=1")
    return key.strip(), _Override(text)


def _as_typed(model: type[BaseModel], values: Mapping[str, Any], key: str, text: str) -> Any:
    """Return an override's value: YAML only where the key takes a list or a mapping."""
    allowed = types_at(model, key, values)
    if allowed is not None and is_text(allowed):
        return Plain(text) if NoneType in allowed or text == "null" else str(text)
    bare = text.strip()
    takes_parts = allowed is None or has_parts(allowed)
    if not (takes_parts and bare.startswith(("[", "{"))):
        return Plain(bare)
    if rest := leftover(text):
        raise ConfigError(f"--set {key}={text}: {rest!r} after the value's end is not allowed")
    try:
        return parse_value(text)
    except ValueError as error:
        raise ConfigError(f"--set {key}={text}: the value is {error}") from None


def _copy(value: Any) -> Any:
    return (
        {key: _copy(inner) for key, inner in value.items()} if isinstance(value, Mapping) else value
    )


def _restart_section(values: dict[str, Any], key: str, value: Any) -> None:
    """Empty a section whose kind changes: its other keys belong to the kind it was."""
    section, tag = key.split(".")
    former = values.get(section)
    if isinstance(former, dict) and former.get(tag) != value:
        values[section] = {}


def _assign(values: dict[str, Any], key: str, value: Any) -> None:
    """Set `values[a][b] = value` for the key `a.b`."""
    *sections, last = key.split(".")
    for section in sections:
        inner = values.setdefault(section, {})
        if not isinstance(inner, dict):
            raise ConfigError(f"--set {key}: {section} is a value, not a section with keys")
        values = inner
    values[last] = value


def check_comparable(config: RunConfig, where: str) -> None:
    """Refuse `auto` for runs that are compared: each would choose for itself.

    Raises:
        ConfigError: the precision is `auto`.
    """
    if config.execution.precision == "auto":
        raise ConfigError(
            f"{where}: execution.precision: auto is chosen for each run, so that runs of "
            "different precisions would be compared; name one, such as float32"
        )


def check_asked(config: RunConfig, given: Iterable[str]) -> None:
    """Refuse Ray workers, or what only they have, that a call asks for where the executor is local.

    A file may hold both, so that one key switches between them: `given` are the call's own keys.

    Raises:
        ConfigError: the call asks for them.
    """
    execution, given = config.execution, tuple(given)
    if execution.executor != "local":
        return
    asked = [
        f"execution.{key}={value}"
        for key in ("workers", "address", "resources", "labels")
        if (value := getattr(execution, key)) not in ("auto", 1, None, {})
        and any(f"{each}.".startswith(f"execution.{key}.") or each == "execution" for each in given)
    ]
    if asked:
        raise ConfigError(
            f"{', '.join(asked)}: that is for Ray workers, and execution.executor is local: this "
            "process does all; add --executor ray, or leave it out"
        )
