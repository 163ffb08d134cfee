"""`train --resume auto`: go on where a folder or its mirror holds the run, else begin.

So a job script needs no logic: the same command begins the run, continues it after a preemption,
and does nothing more once it has ended.
"""

from pathlib import Path
from typing import Any

from runs.common.errors import ConfigError
from runs.config.differences import differences
from runs.config.schema import RunConfig
from runs.display.progress import Progress, Silent
from runs.mirror.fetching import catch_up, fetch_run, holds_run
from runs.store.folder import RunFolder
from runs.tracking.preflight import check_store
from runs.training.driver import go_on, start
from runs.training.forking import Fork
from runs.training.session import Result

# What may differ between a run and the config that continues it: nothing here changes what it is,
# but for the precision, which decides the bits.
FREE = ("generations", "execution", "checkpoint", "tracking")


def begin(
    config: RunConfig,
    output: str | Path,
    progress: Progress | None = None,
    planned: Fork | None = None,
) -> Result:
    """Begin a run, or a planned fork, unless it is known before that its record would be refused.

    Raises:
        ConfigError: MLflow's store refuses it; or as `evolve`.
    """
    check_store(config.tracking)
    return start(config, output, progress or Silent(), planned)


def evolve_or_resume(
    config: RunConfig,
    output: str | Path,
    progress: Progress | None = None,
    planned: Fork | None = None,
) -> Result:
    """Continue the run in `output`, or else the one in the config's mirror, or else begin one.

    Raises:
        ConfigError: the run there is of another config or, where a fork is `planned`, no fork of
            that run; or as `evolve` and `resume`.
    """
    progress = progress or Silent()
    folder, mirror = RunFolder(Path(output)), config.checkpoint.mirror
    if folder.config.is_file():
        catch_up(folder, mirror, progress.message)
    elif mirror is not None and holds_run(mirror):
        fetch_run(mirror, folder, progress.message)
    else:
        return begin(config, output, progress, planned)
    kept = folder.load_config()
    check_same(kept, config, str(output))
    identity = folder.load_identity()
    parent = identity.parent if identity else None
    if planned is not None and (parent is None or parent.run != planned.parent.run):
        raise ConfigError(
            f"{output} holds a run that is no fork of {planned.parent.folder}; "
            "choose another --output"
        )
    free = {key: getattr(config, key) for key in FREE}
    return go_on(folder, kept.model_copy(update=free), progress)


def check_same(kept: RunConfig, config: RunConfig, where: str) -> None:
    """Refuse to continue a run by a config that would have made another one.

    Raises:
        ConfigError: names the keys that differ.
    """
    differing = [
        f"  {key}: {_shown(there)} there, {_shown(here)} here"
        for key, there, here in differences(_deciding(kept), _deciding(config))
    ]
    if differing:
        message = f"{where} holds a run of another config; choose another --output. They differ in:"
        raise ConfigError("\n".join([message, *differing]))


def _deciding(config: RunConfig) -> dict[str, Any]:
    values = config.model_dump(mode="json", exclude=set(FREE))
    return values | {"execution": {"precision": config.execution.precision}}


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return "not set" if value is None else str(value)
