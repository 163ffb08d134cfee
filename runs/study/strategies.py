"""Strategies: named sets of overrides on a study's base config."""

from collections.abc import Iterator, Mapping
from typing import Any

from fitness.suggestion import nearest
from runs.common.errors import ConfigError
from runs.config.explaining import checked
from runs.config.fields import types_at
from runs.config.loading import with_changes
from runs.config.schema import RunConfig
from runs.config.values import resolved, typed

# The question of every study, and its controls. `random` makes one child per survivor, by a
# mutation drawn blindly, so that it costs no more than a single mutation does.
BUILT_IN: dict[str, dict[str, Any]] = {
    "evolution": {"selection.name": "egan"},
    "random": {"selection.name": "random"},
    "minimax": {"selection.name": "egan", "population.mutations": ["minimax"]},
    "heuristic": {"selection.name": "egan", "population.mutations": ["heuristic"]},
    "least_squares": {"selection.name": "egan", "population.mutations": ["least_squares"]},
    # One run whose rates fall; a tournament, and its controls at the same price.
    "decay": {"decay": 0.02},
    "tournament": {"tournament": {}},
    "blind": {"tournament": {"schedule": {"blind": True}}},
    "best-of": {"tournament": {"schedule": {"name": "best-of"}}},
}
# Keys of a strategy that are none of a run's: a tournament's own, and how far the rates fall.
OWN_KEYS = ("tournament", "decay")
NEEDS_A_CHOICE = ("evolution", "random")


def strategy_overrides(name: str, overrides: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return a strategy's overrides, a built-in's with those given on top.

    Raises:
        ConfigError: no overrides are given, and the name is no built-in's.
    """
    if overrides is None and name not in BUILT_IN:
        raise ConfigError(
            f"strategies.{name}: not a built-in strategy{nearest(name, BUILT_IN)} "
            f"Built-in: {', '.join(BUILT_IN)}; any other needs overrides, such as "
            "{fitness.gamma: 0.1}"
        )
    built_in, given = BUILT_IN.get(name, {}), dict(overrides or {})
    if "tournament" in built_in and isinstance(given.get("tournament"), Mapping):
        given["tournament"] = merged(built_in["tournament"], given["tournament"])
    return built_in | given


def merged(values: Mapping[str, Any], others: Mapping[str, Any]) -> dict[str, Any]:
    """Return nested values with others on top."""
    inner = {
        key: merged(values[key], value)
        if isinstance(value, Mapping) and isinstance(values.get(key), Mapping)
        else value
        for key, value in others.items()
    }
    return {**values, **inner}


def with_overrides(
    values: Mapping[str, Any], overrides: Mapping[str, Any], where: str
) -> RunConfig:
    """Return the config of `values` (not changed) with overrides on top.

    A key may be dotted (`fitness.gamma: 0.1`) or nested (`fitness: {gamma: 0.1}`); both change that
    key alone.

    Raises:
        ConfigError: an unknown key or a value that is not allowed; the message begins with `where`.
    """
    try:
        changed = with_changes(values, _flatten(overrides, values))
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None
    return checked(RunConfig, changed, where)


def typed_overrides(overrides: Any) -> Any:
    """Return overrides as a study's file has them, each value as the type of its key.

    Values that fit no type, and unknown keys, stay: the config that they change refuses them.
    """
    if not isinstance(overrides, Mapping):
        return resolved(overrides)
    return {
        str(key): resolved(typed(value, types_at(RunConfig, str(key), {}) or ()))
        for key, value in overrides.items()
    }


def check_choice(name: str, config: RunConfig) -> None:
    """Refuse a strategy that is to choose among mutations where the base has one.

    Raises:
        ConfigError: there is nothing to choose from.
    """
    if name in NEEDS_A_CHOICE and len(config.population.mutations) < 2:
        raise ConfigError(
            f"strategies.{name}: chooses among mutations, but population.mutations holds only "
            f"{config.population.mutations[0]}; name at least two in the base or in `set`"
        )


def _flatten(
    overrides: Mapping[str, Any], present: Mapping[str, Any], prefix: str = ""
) -> Iterator[tuple[str, Any]]:
    """Yield overrides under dotted keys; a mapping for what is no section yet stays whole."""
    for key, value in overrides.items():
        inside = _at(present, f"{prefix}{key}")
        if isinstance(value, Mapping) and isinstance(inside, Mapping):
            yield from _flatten(value, present, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _at(values: Any, key: str) -> Any:
    for part in key.split("."):
        values = values.get(part) if isinstance(values, Mapping) else None
    return values
