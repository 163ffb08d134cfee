"""From where a run goes on: what its folder has of its past, and a population brought there."""

from collections.abc import Callable

from populations.executors.base import Executor, Origin
from populations.population import Population
from runs.common.errors import ConfigError
from runs.common.hints import hint
from runs.sampling.states import check_whole
from runs.store.data import reopened
from runs.store.folder import RunFolder
from runs.store.index import Stage
from runs.store.journal import Journal
from runs.store.replay import Past, past_lines, read_past
from runs.store.snapshots import snapshots
from runs.training.info import RunInfo
from runs.training.reading import say_what_was_read
from runs.training.record import Record
from runs.training.watch import Watch

Say = Callable[[str], None]


def sound_past(info: RunInfo, progress: Stage) -> Past:
    """Read where to go on from; nothing is changed.

    Raises:
        ConfigError: this version cannot go on from there, or the folder's files do not belong to
            the run.
    """
    folder, parent = info.folder, info.identity.parent
    past = read_past(folder, progress)
    if past.rollback is not None:
        raise ConfigError(
            f"{folder.path} was rolled back at generation {past.rollback} by a version before "
            "0.2, which this one cannot repeat. Go on with a new run from its best snapshot: "
            + hint("train", **{"from": f"{folder.path}@best"})
        )
    exported = past.origin.exported
    if exported is not None:
        try:  # it verifies, and may hold no state of this run, such as a forged one
            check_whole(info.config, info.card, exported)
        except ConfigError as error:
            raise ConfigError(
                f"{folder.snapshots}, generation {exported.generation}: {error}. Without that "
                "snapshot the run goes on from the one before, or from its journal"
            ) from None
    elif parent is not None:
        reasons = "; ".join(past.notes) or "there is none"
        raise ConfigError(
            f"{folder.path} is a fork of {parent.folder}, and the snapshot that it began with "
            f"cannot be read: {reasons}. Fork generation {parent.generation} again"
        )
    return past


def mend_journal(journal: Journal, folder: RunFolder, past: Past, say: Say) -> None:
    """Cut a journal that is damaged, or of an older format, to its sound lines.

    Where lines are lost by it, the journal as it was is kept.
    """
    journal.index = past.index
    for note in past.notes:
        say(note)
    if past.lossy:
        say(f"the journal was repaired; the damaged file is kept in {journal.keep()}")
    if past.notes or past.outdated:
        journal.rewrite(past_lines(folder, past.end, past.scored))


def check_end(info: RunInfo, past: Past) -> None:
    """Refuse a number of generations that lies in the past.

    Raises:
        ConfigError: it does.
    """
    if past.end > info.config.generations:
        raise ConfigError(
            f"generations: {info.config.generations} is less than the {past.end} that "
            f"{info.folder.path} has completed"
        )


def check_data(info: RunInfo, say: Say) -> None:
    """Refuse data that are not those that the run began with; say what was read.

    Raises:
        ConfigError: they are not.
    """
    _, card = reopened(info.folder, info.config.data, "resume")
    say_what_was_read(card, info.config, say)


def has_ended(info: RunInfo, past: Past, watch: Watch) -> bool:
    """Return whether nothing is left to evolve, to score or to save."""
    over = past.end == info.config.generations or bool(watch.stopped)
    saved = saved_generation(info.folder, past) == past.end
    return over and saved and not watch.due(past.end)


def plots_are_current(folder: RunFolder) -> bool:
    """Return whether the plots were drawn after the journal's last line was written."""
    drawn = [plot.stat().st_mtime for plot in folder.plots.glob("*.png")]
    return bool(drawn) and min(drawn) >= folder.journal.stat().st_mtime


def saved_generation(folder: RunFolder, past: Past) -> int:
    """Return the generation of the snapshot that a past begins with; -1: none of the run's own."""
    exported = past.origin.exported
    kept = [snapshot.generation for snapshot in snapshots(folder.snapshots)]
    return exported.generation if exported is not None and exported.generation in kept else -1


def restored(
    executor: Executor, past: Past, record: Record, told: str, resumed: bool
) -> Population:
    """Bring the replicas to the last journalled generation; its survivors are pending.

    Args:
        executor: of replicas at generation 0.
        past: where to go on from.
        record: takes what is to be said of it.
        told: the line that says where the population is.
        resumed: whether that is an event of the run, because generations follow.
    """
    origin = past.origin
    if past.end == 0 and origin.exported is None:
        return Population(executor)
    checksum = executor.restore(Origin(origin.exported, origin.history[:-1]))
    if checksum != past.checksum:
        record.report(
            {"event": "replay-differs", "now": checksum, "then": past.checksum},
            f"note: the replay gives other bits here ({checksum}, then {past.checksum}): the "
            "hardware, a library's version or execution.threads differ. The run goes on",
        )
    if resumed:
        record.report({"event": "resumed", "replayed": len(origin.history)}, told)
    else:
        record.say(told)
    if not origin.history:
        return Population(executor, past.end)
    population = Population(executor, past.end - 1)
    population.choose(origin.history[-1])
    return population
