"""To begin a run, fork one, or go on with one, through the forks that its alarms make."""

import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from runs.common.errors import ConfigError
from runs.common.lock import RunBusy
from runs.config.loading import check_asked, validate
from runs.config.schema import RunConfig
from runs.display.progress import Progress, Silent
from runs.mirror.fetching import catch_up, fetch_run, holds_run, is_uri
from runs.store.data import moved
from runs.store.folder import DataCard, RunFolder, sibling_of
from runs.store.identity import Identity, alarms_behind, digests
from runs.store.journal import Event, Journal
from runs.training.forking import Fork, config_after, plan_alarm_fork, plan_fork
from runs.training.info import RunInfo
from runs.training.inherited import note_on_first_parent, note_on_fork
from runs.training.placement import check_networks, check_place, choose_executor
from runs.training.precision import by_default, decided
from runs.training.reading import open_data, say_what_was_read
from runs.training.rules import values_by_rule
from runs.training.session import Result, go


def evolve(
    config: RunConfig, output: str | Path | None = None, progress: Progress | None = None
) -> Result:
    """Evolve a population as `config` says, in a new folder.

    Args:
        config: see `runs.load_config`.
        output: the run's folder; by default `outputs/<name>-<time>`.
        progress: where to report to; by default nowhere.

    Raises:
        ConfigError: the folder holds a run, or the data or networks do not fit.
        NoFiniteChild, Diverged, WorkerLost: the run cannot go on; its last snapshot is intact.
    """
    return start(config, output, progress or Silent())


def fork(
    place: str,
    overrides: Iterable[str] = (),
    output: str | Path | None = None,
    progress: Progress | None = None,
    **settings: Any,
) -> Result:
    """Begin a run with the whole state of another's snapshot: `RUN[@GENERATION|@best]`.

    Without another seed or config it goes on as that run did, to the bit.

    Args:
        place: the run's folder, and which snapshot; by default the newest.
        overrides, settings: what differs from the parent's config, as for `load_config`.
        output: the run's folder; by default `outputs/<name>-<time>`.
        progress: where to report to; by default nowhere.

    Raises:
        ConfigError: no such snapshot, or it does not fit the config; or as `evolve`.
        NoFiniteChild, Diverged, WorkerLost: as `evolve`.
    """
    planned = plan_fork(place, overrides, **settings)
    return start(planned.config, output, progress or Silent(), planned)


def _read(
    config: RunConfig, progress: Progress, planned: Fork | None
) -> tuple[RunConfig, DataCard, dict[str, Any] | None]:
    """Return a new run's config, the card of its data, and how its precision was decided, if here.

    That takes a while, so what is soon refused is refused before. The opened data are let go: the
    replicas open their own.
    """
    source = open_data(config)
    card = DataCard.of(source, config.data)
    if planned is not None:
        planned.check(card)
    if config.execution.precision != "auto":
        config, rule = by_default(config, progress.message)
        return config, card, rule
    check_place(config.execution, choose_executor(config.execution), progress.message)
    check_networks(config, card)
    values_by_rule(config, card.shape)
    config, rule = decided(config, source, progress.message)
    return config, card, rule


def start(
    config: RunConfig,
    output: str | Path | None,
    progress: Progress,
    planned: Fork | None = None,
) -> Result:
    """Begin a run, or a planned fork, in a new folder; see `evolve`."""
    place = Path(output) if output else None
    if place is not None:
        RunFolder(place).check_place()  # before anything is read
    config, card, rule = _read(config, progress, planned)
    if planned is None:
        note = note_on_first_parent(config)
        folder = RunFolder.create(config, card, place)
    else:
        note = note_on_fork(planned.former.backbone, config.backbone)
        folder = RunFolder.create(config, card, place, planned.parent, planned.state)
    try:
        if rule is not None:
            _write_rule(folder, rule, planned)
        say_what_was_read(card, config, progress.message)
        if note:
            progress.message(note)
        return _run(folder, config, card, progress, fresh=True)
    except RunBusy:  # another process has taken it up
        raise
    except BaseException:
        folder.discard()  # if nothing was evolved: the same command may be given again
        raise


def _write_rule(folder: RunFolder, rule: dict[str, Any], planned: Fork | None) -> None:
    """Begin a new run's journal with what `auto` stands for."""
    identity = folder.load_identity()
    assert identity is not None  # it was just made
    generation = 0 if planned is None else planned.parent.generation
    journal = Journal(folder.journal, identity)
    try:
        journal.append(Event(generation, time.time(), "rule", rule))
    finally:
        journal.close()


def resume(
    run_dir: str | Path,
    generations: int | None = None,
    progress: Progress | None = None,
    output: str | Path | None = None,
    data: str | Path | None = None,
    pictures: bool = True,
    **execution: Any,
) -> Result:
    """Continue a run to the bit: newest snapshot that verifies, journal replayed, then on.

    Args:
        run_dir: the run's folder, or the URI of its mirror, which is fetched first.
        generations: a new total number of generations; by default the config's.
        progress: where to report to; by default nowhere.
        output: the folder for a fetched run; by default `outputs/<the URI's last part>`.
        data: where the run's data lie now, if they have moved.
        pictures: whether sample grids and plots are drawn.
        execution: other values for keys of `execution`, such as `workers=2`; the result's bits
            do not depend on them, but on `threads` and `device`.

    Raises:
        ConfigError: no such run, a bad value, or its data have changed.
        OSError: the mirror cannot be read.
        RunBusy: another process writes to it.
        NoFiniteChild, Diverged, WorkerLost: the run cannot go on; its last snapshot is intact.
    """
    progress = progress or Silent()
    if is_uri(run_dir):
        folder = fetch_run(str(run_dir), RunFolder.of(run_dir, output), progress.message)
    else:
        folder = RunFolder.open(run_dir)
    catch_up(folder, folder.load_config().checkpoint.mirror, progress.message)
    config = folder.load_config()
    if generations is not None or execution:
        values = config.model_dump(mode="json")
        values["generations"] = generations or config.generations
        values["execution"] |= execution
        config = validate(values, str(folder.config))
        check_asked(config, [f"execution.{key}" for key in execution])
    if data is not None:
        config = config.model_copy(update={"data": moved(config.data, data)})
    return go_on(folder, config, progress, pictures)


def go_on(
    folder: RunFolder, config: RunConfig, progress: Progress, pictures: bool = True
) -> Result:
    """Continue the run in a folder as `config` says, which may differ from the one that lies there.

    Raises:
        ConfigError: its data have changed; or as `resume`.
    """
    return _run(folder, config, folder.load_data(), progress, fresh=False, pictures=pictures)


def _run(
    folder: RunFolder,
    config: RunConfig,
    card: DataCard,
    progress: Progress,
    fresh: bool,
    pictures: bool = True,
) -> Result:
    """Run to the end, through the forks that alarms make."""
    identity = folder.load_identity() or Identity(decides=digests(config))
    info = RunInfo(folder, config, card, identity, pictures)
    result, best = go(info, progress, fresh)
    return result if best is None else _go_on_as_fork(folder, config, best, progress)


def _go_on_as_fork(folder: RunFolder, config: RunConfig, best: int, progress: Progress) -> Result:
    """Begin the fork of a collapsed run from its snapshot of generation `best`, or go on with it.

    Raises:
        ConfigError: another run lies where the fork would; or as `resume`.
    """
    identity = folder.load_identity()
    alarms = alarms_behind(identity) + 1
    sibling, config = sibling_of(folder, identity), config_after(config, alarms)
    mirror = config.checkpoint.mirror
    progress.message(f"going on from generation {best} in {sibling.path}, with other streams")
    if not sibling.config.is_file():
        if mirror is None or not holds_run(mirror):
            planned = plan_alarm_fork(folder, config, alarms, best)
            return start(config, sibling.path, progress, planned)
        fetch_run(mirror, sibling, progress.message)
    born = sibling.load_identity()
    if born is None or born.parent is None or identity is None or born.parent.run != identity.run:
        raise ConfigError(
            f"{sibling.path} holds a run that is no fork of {folder.path}; move it away"
        )
    catch_up(sibling, mirror, progress.message)
    return go_on(sibling, config, progress)
