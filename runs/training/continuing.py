"""`train --resume auto`: go on where a folder or its mirror holds the run, else begin.

So a job script needs no logic: the same command begins the run, continues it after a preemption,
and does nothing more once it has ended.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from runs.common.errors import ConfigError
from runs.common.lock import RunBusy, is_held
from runs.config.differences import told
from runs.config.loading import changes_of, load_config, with_changes
from runs.config.schema import RunConfig
from runs.display.progress import Progress, Silent
from runs.mirror.fetching import catch_up, fetch_run, holds_run, is_uri
from runs.store.data import moved
from runs.store.folder import RunExists, RunFolder
from runs.store.identity import MOVABLE
from runs.tracking.preflight import check_store
from runs.training.driver import go_on, start
from runs.training.forking import Fork, check_fork_of, plan_fork
from runs.training.precision import settled, with_precision
from runs.training.session import Result

# What may differ between a run and the config that continues it: nothing here changes what it is,
# but for the precision, which decides the bits. Where the data lie may differ, too.
FREE = ("generations", "execution", "checkpoint", "tracking")
PAUSE = 1.0  # seconds between looks at a run that another process has


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
    config: RunConfig, output: str | Path, progress: Progress | None = None
) -> Result:
    """Continue the run in `output`, or else the one in the config's mirror, or else begin one.

    Where another process has the run, this waits until that one has ended or is dead.

    Raises:
        ConfigError: the run there is of another config; or as `evolve` and `resume`.
    """
    progress, folder = progress or Silent(), RunFolder(Path(output))

    def go() -> Result:
        if not _brought(folder, config.checkpoint.mirror, progress):
            return begin(config, output, progress)
        return _continue(folder, config, progress)

    return _when_free(folder, go, progress)


def fork_or_resume(
    place: str,
    overrides: Iterable[str],
    output: str | Path,
    progress: Progress | None = None,
    **settings: Any,
) -> Result:
    """Continue the fork in `output`, or else the one in its mirror, or else begin one.

    A fork that was begun needs its parent no more: it goes on by its own config, which `overrides`
    and `settings` may not make another one.

    Raises:
        ConfigError: the run there is no fork of `place`, or of another config; or as `fork` and
            `resume`.
    """
    progress, folder = progress or Silent(), RunFolder(Path(output))

    def go() -> Result:
        if not _brought(folder, _mirror(folder, overrides, settings), progress):
            planned = plan_fork(place, overrides, **settings)
            return begin(planned.config, output, progress, planned)
        check_fork_of(folder, place)
        return _continue(folder, load_config(folder.config, overrides, **settings), progress)

    return _when_free(folder, go, progress)


def choose_or_resume(
    choose: Callable[[], RunConfig],
    data: str | Path,
    overrides: Iterable[str],
    output: str | Path,
    progress: Progress | None = None,
    **settings: Any,
) -> Result:
    """Continue the run in `output`, or else the one in its mirror, or else begin as `choose` says.

    A run that was begun goes on by its own config, which was chosen on the machine that began it;
    `overrides` and `settings` may not make it another one. Its data lie at `data` now.

    Raises:
        ConfigError: the run there is of other data, or of another config; or as `resume`.
    """
    progress, folder = progress or Silent(), RunFolder(Path(output))

    def go() -> Result:
        if not _brought(folder, _mirror(folder, overrides, settings), progress):
            return begin(choose(), output, progress)
        config = load_config(folder.config, overrides, **settings)
        if not hasattr(config.data, "path"):
            raise ConfigError(f"{folder.path} holds a run of other data; choose another --output")
        config = config.model_copy(update={"data": moved(config.data, data)})
        return _continue(folder, config, progress)

    return _when_free(folder, go, progress)


def _mirror(folder: RunFolder, overrides: Iterable[str], settings: Mapping[str, Any]) -> str | None:
    """Return the mirror of the run in a folder, or the one that is asked for."""
    if folder.config.is_file():
        return load_config(folder.config, overrides, **settings).checkpoint.mirror
    asked = with_changes({}, changes_of(overrides, settings)).get("checkpoint", {})
    named = asked.get("mirror") if isinstance(asked, Mapping) else None
    return str(named) if is_uri(named) else None


def _when_free(folder: RunFolder, go: Callable[[], Result], progress: Progress) -> Result:
    """Begin or continue a run, once no other process has it."""
    waits = False
    while True:
        try:
            return go()
        except RunBusy as error:
            if not waits:
                progress.message(f"{error}; this one waits for it to end")
            waits = True
        except RunExists:  # another process made it just now
            if not folder.config.is_file():
                raise
        time.sleep(PAUSE)
        while is_held(folder.lock):
            time.sleep(PAUSE)


def _brought(folder: RunFolder, mirror: str | None, progress: Progress) -> bool:
    """Return whether a folder holds a run, after it was brought there from its mirror."""
    if folder.config.is_file():
        catch_up(folder, mirror, progress.message)
    elif mirror is not None and holds_run(mirror):
        fetch_run(mirror, folder, progress.message)
    else:
        return False
    return True


def _continue(folder: RunFolder, config: RunConfig, progress: Progress) -> Result:
    kept = folder.load_config()
    config = settled(config, kept)
    check_same(kept, config, str(folder.path))
    config = with_precision(config, kept.execution.precision)  # not left open any more
    free = {key: getattr(config, key) for key in (*FREE, "data")}
    return go_on(folder, kept.model_copy(update=free), progress)


def check_same(kept: RunConfig, config: RunConfig, where: str) -> None:
    """Refuse to continue a run by a config that would have made another one.

    Raises:
        ConfigError: names the keys that differ.
    """
    if differing := told(_deciding(kept), _deciding(config)):
        message = f"{where} holds a run of another config; choose another --output. They differ in:"
        raise ConfigError("\n".join([message, *differing]))


def _deciding(config: RunConfig) -> dict[str, Any]:
    exclude: dict[str, Any] = {**dict.fromkeys(FREE, True), **MOVABLE}
    values = config.model_dump(mode="json", exclude=exclude)
    return values | {"execution": {"precision": config.execution.precision}}
