"""One process's part in a run: what is opened for it, and closed whatever happens."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

from egan.backbones import TranslationBackbone
from egan.discriminator import misfit
from populations.executors.base import Executor, WorkerLost, out_of_memory
from populations.population import Population
from runs.common.hints import hint
from runs.common.memory import LESS, memory_advice, short_memory
from runs.common.signals import Stop, same_handlers
from runs.display.progress import Progress
from runs.mirror.copying import Mirror, NoMirror, open_mirror
from runs.store.folder import RunFolder
from runs.store.identity import alarms_behind
from runs.store.journal import Journal
from runs.store.lines import describe
from runs.store.replay import Past, read_origin
from runs.store.snapshots import snapshots
from runs.tracking.run_logger import NoTracking, Tracker, is_recorded, open_tracker
from runs.training.adaptation import Adaptation
from runs.training.health import Health
from runs.training.info import RunInfo
from runs.training.interruption import InterruptibleExecutor
from runs.training.loop import Loop
from runs.training.placement import (
    Choice,
    build_executor,
    check_networks,
    check_place,
    choose_executor,
    precision_advice,
)
from runs.training.record import Record
from runs.training.recovery import (
    check_data,
    check_end,
    has_ended,
    mend_journal,
    plots_are_current,
    restored,
    saved_generation,
    sound_past,
)
from runs.training.rules import values_by_rule
from runs.training.saving import SnapshotWriter
from runs.training.scoring import Scorer, open_scores
from runs.training.watch import Watch

LOST = "Nothing was evolved yet, so no run is left: mend that, and give the command again"


@dataclass(frozen=True)
class Result:
    """How a run ended: where it lies, how far it came, and the checksum of its state there.

    `saved` says whether its last snapshot could be written.
    """

    path: Path
    generation: int
    checksum: str
    finished: bool
    stopped_by: str | None = None
    saved: bool = True


class Session:
    """The resources that are open while a process works on a run.

    It is closed in one order, whatever was opened: the display; what computes and writes; the
    mirror, then MLflow's record, which read what was written; the journal last, with the lock.

    Attributes:
        journal: the run's, which no other process can write to now.
        record: what is written to the journal, and shown.
        status: MLflow's word for how the run ends.
    """

    def __init__(self, info: RunInfo, progress: Progress) -> None:
        """Take the run.

        Raises:
            RunBusy: another process writes to it.
        """
        self.journal = Journal(info.folder.journal, info.identity)
        self.executor: Executor | None = None
        self.writer: SnapshotWriter | None = None
        self.mirror: Mirror = NoMirror()
        self.tracker: Tracker | None = None
        self.record: Record | None = None
        self.status = "FAILED"
        self._folder = info.folder
        self._pictures = info.pictures
        self._progress = progress

    def __enter__(self) -> "Session":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.close()
        if self.writer is not None:
            self.writer.close()
        if self.executor is not None:
            self._tell(self.executor.close())
        if not isinstance(error, KeyboardInterrupt):  # a second one: be gone
            self.mirror.finish()
            if self.tracker is not None:
                self._end_record(self.tracker)
        self._folder.replicas.unlink(missing_ok=True)
        self.journal.close()

    def _tell(self, events: Iterable[dict[str, Any]]) -> None:
        """Write down what befell the workers since the last step, such as in the last export."""
        for event in events:
            if self.record is not None:
                self.record.report(event, f"note: {describe(event)}")

    def _end_record(self, tracker: Tracker) -> None:
        """Draw the plots and close the record."""
        if self._pictures:
            self._draw_plots()
        tracker.finish(self.status)

    def _draw_plots(self) -> None:
        from runs.display.plots import draw_plots  # matplotlib takes a second to import

        try:
            draw_plots(self._folder)
        except OSError as error:
            self._progress.message(f"warning: the plots could not be drawn: {error}")


def go(info: RunInfo, progress: Progress, fresh: bool) -> tuple[Result, int | None]:
    """Run to the end, or to a signal; a `fresh` run was made by this process.

    Returns:
        How it ended; and where an alarm ended it that forks it, the generation to fork it from.
    """
    with _with_advice(info.folder, fresh), Session(info, progress) as session:
        health = Health(info.config)
        record = Record(session.journal, progress, info.folder.replicas, health)
        session.record = record
        past = sound_past(info, progress.stage)
        check_end(info, past)
        watch = Watch(info.config.evaluation, past.scorings, alarms_behind(info.identity))
        if has_ended(info, past, watch):
            return _settle(session, info, past, record), watch.best if watch.forked else None
        if not fresh:
            check_data(info, progress.message)
        info.folder.sweep()
        mend_journal(session.journal, info.folder, past, progress.message)
        loop, population = _prepare(session, info, past, watch, record, progress, fresh)
        stop = loop.stop
        with stop.listen():
            progress.start(info.config, population.generation)
            generation, checksum = loop.run(population)
            saved = loop.writer.wait()
        whole = generation >= info.config.generations or bool(watch.stopped)
        finished = whole and not (stop.abandoned or (watch.forked and stop.signal))
        session.status = "FINISHED" if finished and saved else "KILLED"
        result = Result(info.folder.path, generation, checksum, finished, stop.signal, saved)
        return result, watch.best if watch.forked and finished else None


def _settle(session: Session, info: RunInfo, past: Past, record: Record) -> Result:
    """Complete what lies beside a run that has ended: its mirror, its plots, MLflow's record.

    It needs no worker and no data, and where nothing is missing it does nothing.
    """
    config, folder = info.config, info.folder
    mend_journal(session.journal, folder, past, record.say)
    session.journal.sync()
    record.say(f"the run has ended, at generation {past.end}")
    session.status = "FINISHED"
    session.mirror = open_mirror(folder, config.checkpoint.mirror, False, record.report)
    folder.write_config(config, info.identity)
    if not is_recorded(folder, config):
        session.tracker = open_tracker(folder, config, record.say)
    elif not plots_are_current(folder):
        session.tracker = NoTracking()  # they are drawn before a record ends
    if session.tracker is not None and info.pictures:
        record.say("drawing the plots ...")
    session.mirror.update()
    return Result(folder.path, past.end, past.checksum, finished=True)


def _prepare(
    session: Session,
    info: RunInfo,
    past: Past,
    watch: Watch,
    record: Record,
    progress: Progress,
    fresh: bool,
) -> tuple[Loop, Population]:
    """Open what a run needs, and bring its population to where it goes on from."""
    config, folder = info.config, info.folder
    selection, stop = config.policy(), Stop(config.checkpoint.grace)
    record.goes_on_at(past.end)

    choice = choose_executor(config.execution)
    check_place(config.execution, choice, progress.message)
    check_networks(config, info.card)
    if isinstance(config.backbone, TranslationBackbone):
        progress.message(f"critic: {config.backbone.patches(info.card.shape)}")
    rules = values_by_rule(config, info.card.shape)
    adaptation = Adaptation(info, past.scorings)
    scorer = Scorer(info, record, watch, open_scores(info, progress), stop, adaptation)
    executor = session.executor = _open_executor(info, choice, stop, progress)
    session.mirror = open_mirror(folder, config.checkpoint.mirror, fresh, record.report)
    if not fresh:  # not before: a mistake must leave the run as it was
        folder.write_config(config, info.identity)
    progress.message(
        f"{config.name}: {config.generations} generations, {executor.description}"
        f"{choice.reason}; folder {folder.path}"
    )
    for key, value in rules.items():
        record.rule(key, value, new=fresh)
    for advice in (
        precision_advice(config.execution, config.backbone.name),
        misfit(config.discriminator.loss, config.population.mutations),
        config.backbone.advice,
        config.spared_passes if fresh else None,
    ):
        if advice:
            progress.message(f"note: {advice}")

    saved = saved_generation(folder, past)
    writer = session.writer = SnapshotWriter(info, record, session.mirror, saved)
    goes_on = not fresh and past.end < config.generations and not watch.stopped
    told = _whence(info, past, fresh)
    population = restored(executor, past, record, told, resumed=goes_on)
    session.tracker = open_tracker(folder, config, progress.message)
    session.mirror.update()
    return Loop(config, selection, record, scorer, writer, executor, stop), population


def _open_executor(
    info: RunInfo, choice: Choice, stop: Stop, progress: Progress
) -> InterruptibleExecutor:
    """Return the executor of a run, whose steps `stop` may give up."""
    recover = partial(read_origin, info.folder)
    with same_handlers():
        replicas = build_executor(info.config, choice, recover, progress.message)
    return InterruptibleExecutor(replicas, stop)


def _whence(info: RunInfo, past: Past, fresh: bool) -> str:
    """Return the line that says where a run goes on from; a `fresh` one is a fork."""
    parent = info.identity.parent
    if fresh and parent is not None:
        return f"forked from generation {past.end} of {parent.folder}"
    return f"resumed at generation {past.end}"


@contextmanager
def _with_advice(folder: RunFolder, fresh: bool) -> Iterator[None]:
    """Say how to go on where the workers or their memory are lost.

    Raises:
        WorkerLost: they are.
    """
    try:
        yield
    except WorkerLost as error:
        lost = fresh and not folder.evolved
        advice = LOST if lost else f"Go on with: {hint('resume', folder.path)}"
        raise WorkerLost(f"{error}. {advice}") from error
    except Exception as error:
        if not out_of_memory(error):
            raise
        raise WorkerLost(_advice_on_memory(folder, fresh, error)) from error


def _advice_on_memory(folder: RunFolder, fresh: bool, error: BaseException) -> str:
    """Return a line on memory that was short; what makes less decides a run's bits."""
    if fresh and not folder.evolved:
        return f"{memory_advice(error)}. {LOST}"
    less = "begin a new run"
    if snapshots(folder.snapshots):
        less = "fork the run: " + hint("train", **{"from": folder.path, "set": "KEY=VALUE"})
    return (
        f"{short_memory(error)}. To {LESS}, {less}. Where more memory is free, this one goes on "
        f"as it is: {hint('resume', folder.path)}"
    )
