"""The loop: evolve a population from its configuration, or go on from its journal."""

import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from egan.data import open_source
from egan.determinism import prepare_device
from egan.replica import ExportedState, exported_checksum
from populations.executors.base import (
    Executor,
    Origin,
    Outcome,
    WorkerLost,
    out_of_memory,
)
from populations.individual import Individual
from populations.lineage import Lineage
from populations.population import Population
from populations.selection import Selection
from runs.common.background import Background
from runs.common.errors import ConfigError
from runs.common.files import write_json
from runs.common.hints import hint
from runs.common.lock import RunBusy
from runs.common.memory import memory_advice
from runs.common.signals import Stop, same_handlers
from runs.config.loading import validate
from runs.config.schema import RunConfig
from runs.display.plots import draw_plots
from runs.display.progress import Progress, Silent
from runs.evaluation.evaluator import Evaluator
from runs.mirror.copying import Mirror, NoMirror, open_mirror
from runs.mirror.fetching import catch_up, fetch_run, holds_run, is_uri
from runs.sampling.device import chosen_device
from runs.sampling.opening import mixture_centres
from runs.sampling.pictures import save_samples
from runs.sampling.states import check_whole, sampler_of, survivors_of
from runs.store.folder import DataCard, RunFolder, sibling_of
from runs.store.identity import Identity, alarms_behind, digests
from runs.store.journal import Entry, Event, Journal, Scoring
from runs.store.replay import Past, past_lines, read_origin, read_past, replay_lineage
from runs.store.snapshots import snapshots, write_snapshot
from runs.tracking.run_logger import Tracker, open_tracker
from runs.training.forking import Fork, config_after, plan_alarm_fork, plan_fork
from runs.training.interruption import InterruptibleExecutor
from runs.training.placement import (
    build_executor,
    check_device,
    check_networks,
    choose_executor,
)
from runs.training.watch import Watch

GRID = 100  # samples in a grid; of points, ten times as many
GRID_SEED = 0
EVALUATION_SEED = 1  # of the samples that are scored: the same noise at every scoring


@dataclass(frozen=True)
class Result:
    """How a run ended: where it lies, how far it came, and the checksum of its state there."""

    path: Path
    generation: int
    checksum: str
    finished: bool
    stopped_by: str | None = None


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


def start(
    config: RunConfig,
    output: str | Path | None,
    progress: Progress,
    planned: Fork | None = None,
) -> Result:
    """Begin a run, or a planned fork, in a new folder; see `evolve`."""
    source = open_source(config.data)
    for file, reason in source.skipped:
        progress.message(f"skipped {file}: {reason}")
    card, place = DataCard.of(source), Path(output) if output else None
    if planned is None:
        folder = RunFolder.create(config, card, place)
    else:
        planned.check(card)
        folder = RunFolder.create(config, card, place, planned.parent, planned.state)
    try:
        return _run(folder, config, card, progress, fresh=True)
    except RunBusy:  # another process has taken it up
        raise
    except BaseException:
        folder.discard()  # if nothing was evolved: the same command may be given again
        raise


def resume(
    run_dir: str | Path,
    generations: int | None = None,
    progress: Progress | None = None,
    output: str | Path | None = None,
    **execution: Any,
) -> Result:
    """Continue a run to the bit: newest snapshot that verifies, journal replayed, then on.

    Args:
        run_dir: the run's folder, or the URI of its mirror, which is fetched first.
        generations: a new total number of generations; by default the config's.
        progress: where to report to; by default nowhere.
        output: the folder for a fetched run; by default `outputs/<the URI's last part>`.
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
    return go_on(folder, config, progress)


def go_on(folder: RunFolder, config: RunConfig, progress: Progress) -> Result:
    """Continue the run in a folder as `config` says, which may differ from the one that lies there.

    Raises:
        ConfigError: its data have changed; or as `resume`.
    """
    card, found = folder.load_data(), DataCard.of(open_source(config.data))
    if found.fingerprint != card.fingerprint:
        raise ConfigError(
            f"the data have changed since {folder.path} began: {found.name} is now "
            f"{found.fingerprint[:12]}, was {card.fingerprint[:12]}. Put them back, or start anew"
        )
    return _run(folder, config, card, progress, fresh=False)


def _run(
    folder: RunFolder, config: RunConfig, card: DataCard, progress: Progress, fresh: bool
) -> Result:
    """Run to the end, through the forks that alarms make."""
    run = Run(folder, config, card, progress)
    result = run.go(fresh)
    if not (run.forked and result.finished):
        return result
    identity = folder.load_identity()
    alarms = alarms_behind(identity) + 1
    sibling, config = sibling_of(folder, identity), config_after(config, alarms)
    mirror = config.checkpoint.mirror
    progress.message(f"going on from generation {run.best} in {sibling.path}, with other streams")
    if not sibling.config.is_file():
        if mirror is None or not holds_run(mirror):
            planned = plan_alarm_fork(folder, config, alarms, run.best)
            return start(config, sibling.path, progress, planned)
        fetch_run(mirror, sibling, progress.message)
    born = sibling.load_identity()
    if born is None or born.parent is None or identity is None or born.parent.run != identity.run:
        raise ConfigError(
            f"{sibling.path} holds a run that is no fork of {folder.path}; move it away"
        )
    catch_up(sibling, mirror, progress.message)
    return go_on(sibling, config, progress)


class Run:
    """One process's part in a run: its loop, its record, its snapshots."""

    def __init__(
        self, folder: RunFolder, config: RunConfig, card: DataCard, progress: Progress
    ) -> None:
        self._folder = folder
        self._config = config
        self._card = card
        self._progress = progress
        self._lineage = Lineage()
        self._background = Background()
        self._evaluator: Evaluator | None = None
        self._centres = mixture_centres(config.data)
        self._replicas: tuple[dict[str, Any], ...] = ()  # as written down last
        self._mirror: Mirror = NoMirror()
        self._saved = -1  # the generation of the newest snapshot
        self._written = 0  # generations that the journal has
        self._identity = folder.load_identity() or Identity(decides=digests(config))
        self._watch = Watch(config.evaluation, (), alarms_behind(self._identity))
        self._journal: Journal | None = None  # once it is open
        self._stop = Stop(config.checkpoint.grace)
        self._clock = time.perf_counter()

    @property
    def forked(self) -> bool:
        """Whether the run ended by an alarm that forks it."""
        return self._watch.forked

    @property
    def best(self) -> int:
        """The generation of its best snapshot."""
        assert self._watch.best is not None
        return self._watch.best

    def go(self, fresh: bool) -> Result:
        """Run to the end, or to a signal; a `fresh` run was made by this process."""
        config, folder = self._config, self._folder
        selection = config.policy()
        journal = self._journal = Journal(folder.journal, self._identity)
        tracker = executor = None
        status, advice = "FAILED", f"Go on with: {hint('resume', folder.path)}"
        try:
            folder.sweep()
            past = self._read_past(journal)
            if past.end > config.generations:
                raise ConfigError(
                    f"generations: {config.generations} is less than the {past.end} that "
                    f"{folder.path} has behind it"
                )
            self._replay_record(selection, past)
            self._written = past.end
            choice = choose_executor(config.execution)
            check_device(config.execution, choice)
            check_networks(config, self._card.shape)
            if config.evaluation.every is not None:
                self._evaluator = self._make_evaluator()
            say = self._progress.message
            with same_handlers():
                replicas = build_executor(config, choice, partial(read_origin, folder), say)
            executor = InterruptibleExecutor(replicas, self._stop)
            self._mirror = open_mirror(folder, config.checkpoint.mirror, fresh, self._report)
            if not fresh:  # not before: a mistake must leave the run as it was
                folder.write_config(config, self._identity)
            self._progress.message(
                f"{config.name}: {config.generations} generations, {executor.description}"
                f"{choice.reason}; folder {folder.path}"
            )
            population = self._population(executor, past, fresh)
            tracker = open_tracker(folder, config, self._progress.message)
            self._mirror.update()
            with self._stop.listen():
                self._progress.start(config, population.generation)
                generation, checksum = self._evolve(population, selection, journal, executor)
                self._warn(self._background.wait())
            whole = generation >= config.generations or bool(self._watch.stopped)
            finished = whole and not (self._stop.abandoned or (self.forked and self._stop.signal))
            status = "FINISHED" if finished else "KILLED"
            return Result(folder.path, generation, checksum, finished, self._stop.signal)
        except WorkerLost as error:
            raise WorkerLost(f"{error}. {advice}") from error
        except Exception as error:
            if not out_of_memory(error):
                raise
            raise WorkerLost(f"{memory_advice(error)}. {advice}") from error
        finally:
            self._progress.close()
            self._background.close()
            if executor is not None:
                executor.close()
            if not isinstance(sys.exc_info()[1], KeyboardInterrupt):  # a second one: be gone
                self._mirror.finish()
                if tracker is not None:
                    self._end_record(tracker, status)
            folder.replicas.unlink(missing_ok=True)
            journal.close()

    # ------------------------------------------------------------------------------------ the loop

    def _evolve(
        self, population: Population, selection: Selection, journal: Journal, executor: Executor
    ) -> tuple[int, str]:
        """Run the loop; return the generation that the run ends at, and the checksum there."""
        try:
            if population.generation - max(self._saved, 0) >= self._config.checkpoint.every:
                self._snapshot(population, journal)  # one was lost: the next replay be shorter
            self._loop(population, selection, journal)
            return population.generation, self._snapshot(population, journal)
        except KeyboardInterrupt:
            if not self._stop.abandoned:
                raise
            return self._save_held(executor)

    def _loop(self, population: Population, selection: Selection, journal: Journal) -> None:
        """Algorithm 1 of Wang et al., 1803.00657: a generation begins by training D.

        At the first one there is nobody to train it on, as the authors' code has it.
        """
        config = self._config
        self._score(population, journal)
        while self._goes_on(population):
            jobs = selection.propose(
                config.population.operators, config.seed, population.generation
            )
            scored = config.scored(population.generation)
            # On the replicas, in one round trip: adopt the survivors chosen before and train D on
            # them; then variation and evaluation.
            scores = population.advance_and_evaluate(jobs, scored)
            children = selection.individuals(population.generation, jobs, scores)
            survivors = selection.select(children)
            self._record(population, children, survivors, journal)
            population.choose(tuple(survivor.job for survivor in survivors))
            self._score(population, journal)
            if population.generation % config.checkpoint.every == 0:
                self._snapshot(population, journal)

    def _goes_on(self, population: Population) -> bool:
        if self._watch.stopped:
            how = "ends as collapsed" if self.forked else "stopped early"
            self._progress.message(
                f"{how} at generation {population.generation}: {self._watch.stopped}"
            )
            return False
        return population.generation < self._config.generations and self._stop.signal is None

    def _record(
        self,
        population: Population,
        children: list[Individual],
        survivors: list[Individual],
        journal: Journal,
    ) -> None:
        outcome = population.outcome
        assert outcome is not None
        now = time.perf_counter()
        seconds = outcome.seconds | {"total": now - self._clock}
        self._clock = now
        self._take_note(outcome)
        entry = Entry(
            outcome.generation,
            time.time(),
            outcome.checksum,
            tuple(child.job for child in children),
            tuple(child.score for child in children),
            tuple(survivor.job for survivor in survivors),
            outcome.training,
            seconds,
        )
        journal.append(entry)
        self._written = outcome.generation + 1
        self._lineage.update(children, survivors)
        self._progress.generation(entry, self._lineage)

    def _advance(self, population: Population) -> str:
        """Let every replica train D on the survivors, if it has not; return the checksum."""
        outcome = population.advance()
        self._take_note(outcome)
        return outcome.checksum

    def _take_note(self, outcome: Outcome) -> None:
        """Report replica events, here and in the journal."""
        for event in outcome.events:
            self._report(event, describe(event))
        self._show_replicas(outcome)

    def _show_replicas(self, outcome: Outcome) -> None:
        """Write down where the replicas are, whenever that changes, for `inspect` to show."""
        if outcome.replicas == self._replicas:
            return
        self._replicas = outcome.replicas
        try:
            write_json(
                self._folder.replicas,
                {"generation": outcome.generation, "replicas": list(outcome.replicas)},
            )
        except OSError:  # such as a full disk, which the next snapshot tells of
            self._replicas = ()

    # ----------------------------------------------------------------------------- past and future

    def _read_past(self, journal: Journal) -> Past:
        """Read where to go on from, tell what was passed over, and cut a damaged journal."""
        folder = self._folder
        past, parent = read_past(folder), self._identity.parent
        if past.rollback is not None:
            raise ConfigError(
                f"{folder.path} was rolled back at generation {past.rollback} by a version before "
                "0.2, which this one cannot repeat. Go on with a new run from its best snapshot: "
                + hint("train", **{"from": f"{folder.path}@best"})
            )
        if past.origin.exported is not None:
            self._check(past.origin.exported, folder.snapshots)
        elif parent is not None:
            reasons = "; ".join(past.notes) or "there is none"
            raise ConfigError(
                f"{folder.path} is a fork of {parent.folder}, and the snapshot that it began with "
                f"cannot be read: {reasons}. Fork generation {parent.generation} again"
            )
        for note in past.notes:
            self._progress.message(note)
        if past.notes or past.outdated:
            journal.rewrite(past_lines(folder, past.end, past.scored))
        return past

    def _check(self, exported: ExportedState, where: Path) -> None:
        """Refuse a snapshot that verifies and holds no state of this run, such as a forged one."""
        try:
            check_whole(self._config, self._card.shape, exported)
        except ConfigError as error:
            raise ConfigError(
                f"{where}, generation {exported.generation}: {error}. Without that snapshot the "
                "run goes on from the one before, or from its journal"
            ) from None

    def _replay_record(self, selection: Selection, past: Past) -> None:
        """Bring the lineage and the watch to where the journal ends."""
        alarms = alarms_behind(self._identity)
        self._watch = Watch(self._config.evaluation, past.scorings, alarms)
        replay_lineage(self._lineage, selection, past_lines(self._folder, past.end))

    def _population(self, executor: Executor, past: Past, fresh: bool) -> Population:
        """Bring the replicas to the last journalled generation; its survivors are pending."""
        origin = past.origin
        kept = [snapshot.generation for snapshot in snapshots(self._folder.snapshots)]
        if origin.exported is not None and origin.exported.generation in kept:
            self._saved = origin.exported.generation
        if past.end == 0 and origin.exported is None:
            return Population(executor)
        checksum = executor.restore(Origin(origin.exported, origin.history[:-1]))
        if checksum != past.checksum:
            self._report(
                {"event": "replay-differs", "now": checksum, "then": past.checksum},
                f"note: the replay gives other bits here ({checksum}, then {past.checksum}): the "
                "hardware, a library's version or execution.threads differ. The run goes on",
            )
        told = f"resumed at generation {past.end}"
        if fresh:
            assert self._identity.parent is not None
            self._progress.message(
                f"forked from generation {past.end} of {self._identity.parent.folder}"
            )
        elif past.end < self._config.generations and not self._watch.stopped:
            self._report({"event": "resumed", "replayed": len(origin.history)}, told)
        else:
            self._progress.message(told)
        if not origin.history:
            return Population(executor, past.end)
        population = Population(executor, past.end - 1)
        population.choose(origin.history[-1])
        return population

    def _snapshot(self, population: Population, journal: Journal) -> str:
        """Begin to write a snapshot and a sample grid; return the state's checksum."""
        checksum = self._advance(population)
        if population.generation != self._saved:
            journal.sync()
            exported = population.export()
            save = partial(self._save, exported, checksum)
            self._warn(self._background.submit(save))
            self._saved = population.generation
        return checksum

    def _save(self, exported: ExportedState, checksum: str) -> None:
        folder, keep = self._folder, self._config.checkpoint.keep
        write_snapshot(folder.snapshots, exported, checksum, keep, self._identity.run)
        self._mirror.update()
        sampler = sampler_of(self._config, self._card.shape, exported)
        count = GRID if sampler.images else GRID * 10
        path = folder.samples / f"generation-{exported.generation:08d}.png"
        save_samples(sampler(count, GRID_SEED), path, self._centres)

    def _save_held(self, executor: Executor) -> tuple[int, str]:
        """Write a snapshot of what a replica holds of a generation that was given up.

        It may be one generation behind the journal, which `resume` replays.
        """
        self._progress.message(
            f"gave up the generation after {self._config.checkpoint.grace:g} s; "
            "it is made again, to the bit"
        )
        held = executor.held()
        if held is None:
            self._progress.message("no worker answers: `resume` goes on from the snapshot before")
            return max(self._saved, 0), ""
        checksum = exported_checksum(held)
        if held.generation > self._saved:
            self._warn(self._background.submit(partial(self._save, held, checksum)))
        return held.generation, checksum

    def _end_record(self, tracker: Tracker, status: str) -> None:
        """Draw the plots and close the record."""
        try:
            draw_plots(self._folder)
        except OSError as error:
            self._progress.message(f"warning: the plots could not be drawn: {error}")
        tracker.finish(status)

    # ------------------------------------------------------------------------------------- scoring

    def _make_evaluator(self) -> Evaluator:
        config, execution = self._config.evaluation, self._config.execution
        device = chosen_device("auto", execution)
        # What is best, and when a run stops, follows from the scores: so their bits count.
        prepare_device(device, execution.threads, execution.precision)
        self._progress.message(
            f"scoring every {config.every} generations, on {device}: preparing the metrics"
        )
        return Evaluator(
            open_source(self._config.data),
            self._card.shape,
            config.metrics,
            config.space,
            config.count,
            device=device,
            progress=self._progress.stage,
        )

    def _score(self, population: Population, journal: Journal) -> None:
        """Score the state if its generation is due; keep the best, and do what the watch says.

        The journal says first what follows: if the process ends before it is done, resume does it.
        """
        generation = population.generation
        if self._evaluator is None or not self._watch.due(generation):
            return
        checksum = self._advance(population)
        exported = population.export()
        values, survivors = self._values(exported)
        verdict = self._watch.judge(generation, values)
        journal.append(
            Scoring(
                generation,
                time.time(),
                values,
                survivors,
                verdict.best,
                verdict.action,
                self._evaluator.device,
            )
        )
        journal.sync()
        shown = "  ".join(f"{name} {value:.4g}" for name, value in values.items())
        mark = "  (best so far)" if verdict.best else ""
        self._progress.message(f"scored generation {generation}: {shown}{mark}")
        if verdict.action == "warn":
            self._progress.message(f"alarm at generation {generation}: {verdict.reason}")
        if verdict.best:
            self._keep_best(exported, checksum)

    def _values(
        self, exported: ExportedState
    ) -> tuple[dict[str, float], tuple[dict[str, float], ...]]:
        """Return the metrics of the averaged generator, and of each survivor if asked for."""
        assert self._evaluator is not None
        config, shape = self._config, self._card.shape
        device = self._evaluator.device
        samplers = [sampler_of(config, shape, exported)]
        if config.evaluation.survivors:
            samplers += survivors_of(config, shape, exported)
        count = config.evaluation.count
        with self._stop.abandonable():
            values, *survivors = (
                self._evaluator.score(
                    sampler.to(device).batches(count, EVALUATION_SEED), EVALUATION_SEED
                )
                for sampler in samplers
            )
        return values, tuple(survivors)

    def _keep_best(self, exported: ExportedState, checksum: str) -> None:
        try:
            write_snapshot(self._folder.best, exported, checksum, 1, self._identity.run)
        except OSError as error:
            self._warn(error)

    def _warn(self, error: OSError | None) -> None:
        if error is not None:
            self._report(
                {"event": "snapshot-failed", "reason": str(error)},
                f"warning: a snapshot could not be written ({error}); the run goes on, and the "
                "snapshots before it are intact",
            )

    def _report(self, event: dict[str, Any], text: str) -> None:
        """Tell of an event, here and in the journal; other threads call it too."""
        details = {key: value for key, value in event.items() if key != "event"}
        assert self._journal is not None
        with suppress(OSError):  # of a full disk, say: the next generation's line ends the run
            self._journal.append(Event(self._written, time.time(), event["event"], details))
        self._progress.message(text)


def describe(event: dict[str, Any]) -> str:
    """Return an event of the journal as a line to read."""
    details = ", ".join(f"{key} {value}" for key, value in event.items() if key != "event")
    return f"note: {event['event'].replace('-', ' ')} ({details})"
