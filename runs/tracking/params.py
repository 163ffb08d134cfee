"""The description of a run as MLflow's tags and params."""

import subprocess
from pathlib import Path
from typing import Any

from runs.config.schema import RunConfig
from runs.store.identity import Identity


def strategy_of(config: RunConfig) -> str:
    """Return a run's strategy in a word or two: how it selects, among which operators."""
    operators = [operator.name for operator in config.population.operators]
    if len(operators) == 1:
        return operators[0]
    return f"{config.selection.name}: {' + '.join(operators)}"


def tags_of(config: RunConfig, identity: Identity | None = None) -> dict[str, str]:
    """Return the tags by which MLflow's pages group runs, and those of a fork's parentage."""
    tags = {
        "strategy": strategy_of(config),
        "backbone": config.backbone.name,
        "data": config.data.source,
        "seed": str(config.seed),
        "mlflow.source.name": "run-evolution",
    }
    if identity:
        tags["evolution.run"] = identity.run
    if identity and (parent := identity.parent):
        tags["evolution.parent"] = parent.run or parent.folder
        tags["evolution.parent_generation"] = str(parent.generation)
    commit = git_commit()
    return tags | ({"mlflow.source.git.commit": commit} if commit else {})


def git_commit() -> str | None:
    """Return the commit that this code is at, if it lies in a git repository."""
    try:
        command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None


def flatten(values: dict[str, Any], prefix: str = "") -> dict[str, str]:
    """Return nested values under dotted keys, as MLflow's params want them."""
    flat: dict[str, str] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
            flat[f"{prefix}{key}"] = text
    return flat
