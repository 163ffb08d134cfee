"""Runs on disk and in MLflow: configuration, training, journal, snapshots, tracking, commands.

As a library:

    from runs import evolve, load_config, resume, sample

    result = evolve(load_config("digits", generations=100), output="outputs/mine")
    images = sample(result.path, count=16, seed=1)

Each name is imported when it is first used, so that `--help` needs no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runs.common.errors import ConfigError
    from runs.config.loading import load_config
    from runs.config.schema import RunConfig
    from runs.sampling.opening import sample
    from runs.training.driver import evolve, fork, resume
    from runs.training.session import Result

_HOMES = {
    "ConfigError": "runs.common.errors",
    "RunConfig": "runs.config.schema",
    "load_config": "runs.config.loading",
    "Result": "runs.training.session",
    "evolve": "runs.training.driver",
    "fork": "runs.training.driver",
    "resume": "runs.training.driver",
    "sample": "runs.sampling.opening",
}
__all__ = [
    "ConfigError",
    "Result",
    "RunConfig",
    "evolve",
    "fork",
    "load_config",
    "resume",
    "sample",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'runs' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
