"""One run of a study in a process of its own.

    python -m runs.study.trial STUDY_DIR STRATEGY SEED {...}

It reports to the study in JSON lines on standard output, writes down how it ended, and stops
gracefully when its standard input closes: so no run outlives a study that was killed.
"""

import json
import signal
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from populations.garbage import collect_seldom
from populations.lineage import Lineage
from populations.messages import one_line
from runs.batch.child import DONE, FAILED, STOPPED, stop_with_parent
from runs.common.lock import RunBusy
from runs.common.signals import SOFT
from runs.config.schema import RunConfig
from runs.display.progress import paced
from runs.store.budgets import Spent
from runs.store.folder import RunFolder
from runs.store.journal import Entry, read_journal
from runs.study.folder import StudyFolder
from runs.study.records import read_outcome, write_outcome
from runs.tournament.config import Tournament
from runs.tournament.progress import SilentTournament
from runs.tournament.running import run_tournament
from runs.tournament.schedule import Plan
from runs.training.driver import evolve, resume
from runs.training.session import Result

INTERVAL = 0.5  # seconds between reports
BUSY = 600.0  # seconds to wait for a run whose former process is still ending


class Reporter:
    """Reports a run's course to the study, and ends it when its seconds are spent."""

    def __init__(self, seconds: float | None, spent: Spent) -> None:
        self._limit = seconds
        self._spent = spent
        self._reported = 0.0
        self.stage = paced(self.message)  # into the run's log, now and then
        self.exhausted = False

    def start(self, config: RunConfig, generation: int) -> None:
        """Report where the run begins."""
        self.report(generation)

    def report(self, generation: int) -> None:
        """Report a generation."""
        self._say(generation=generation)

    def generation(self, entry: Entry, lineage: Lineage) -> None:
        """Report a finished generation, not too often."""
        self._spent.add(entry)
        if self._limit is not None and self._spent.seconds >= self._limit and not self.exhausted:
            self.exhausted = True
            signal.raise_signal(SOFT)  # the generation is finished and scored
        if time.monotonic() - self._reported >= INTERVAL:
            self._say(generation=entry.generation + 1, seconds=self._spent.seconds)

    def message(self, text: str) -> None:
        """Keep the line in the run's log."""
        print(text, file=sys.stderr, flush=True)

    def close(self) -> None:
        """Do nothing: the study sees the process end."""

    def _say(self, **values: Any) -> None:
        self._reported = time.monotonic()
        try:
            print(json.dumps(values), flush=True)
        except OSError:  # the study is gone; `stop_with_parent` ends the run
            sys.stdout = sys.stderr


def run_trial(folder: StudyFolder, strategy: str, seed: int, execution: dict[str, Any]) -> int:
    """Evolve or continue one run, write down how it ended, and return the process's status."""
    path = folder.run(strategy, seed)
    if read_outcome(path).get("status") == "finished":
        return DONE
    study = folder.load()
    config = study.config_of(strategy, seed, execution)
    reporter = Reporter(study.budget.seconds, _spent_so_far(RunFolder(path), config))
    tournament = study.tournament_of(strategy, seed, execution)
    try:
        if tournament is None:
            result = _patiently(lambda: _go(path, config, reporter, execution))
        else:
            shares = Shares(reporter.report, config.generations)
            result = _patiently(lambda: _play(path, tournament, shares, execution))
    except Exception as error:  # whatever it is: the study goes on, and reports it
        traceback.print_exc()
        write_outcome(path, "failed", one_line(error), type(error).__name__)
        return FAILED
    if not result.finished and not reporter.exhausted:
        return STOPPED
    if not result.saved:
        write_outcome(path, "failed", "the last snapshot could not be written", "OSError")
        return FAILED
    write_outcome(path, "finished", generation=result.generation, checksum=result.checksum)
    return DONE


def _play(
    path: Path, tournament: Tournament, progress: "Shares", execution: dict[str, Any]
) -> Result:
    """Play or continue a tournament in this process."""
    found = run_tournament(tournament, path, progress, execution=execution)
    if found.values is None:
        return Result(path, 0, "", False)
    return Result(path, found.values["generation"], found.values["checksum"], True)


class Shares(SilentTournament):
    """Reports a tournament's course to the study, as the generations of one run of its price."""

    def __init__(self, report: Callable[[int], None], generations: int) -> None:
        self._report = report
        self._generations = generations
        self._number = 0
        self._targets: Mapping[str, tuple[int, int]] = {}

    def start(self, tournament: Tournament, plan: Plan, done: int) -> None:
        """Report where the tournament begins."""
        self._plan = plan
        self._tell(done, 0.0)

    def round(self, number: int, targets: Mapping[str, tuple[int, int]]) -> None:
        """Note the islands of a round."""
        self._number, self._targets = number, targets
        self._done = dict.fromkeys(targets, 0.0)

    def reached(self, name: str, generation: int) -> None:
        """Report how far a round is."""
        if name in self._targets:
            begin, end = self._targets[name]
            self._done[name] = (generation - begin) / max(1, end - begin)
            self._tell(self._number, sum(self._done.values()) / len(self._done))

    def answered(self, name: str) -> None:
        """Report how far a round is."""
        if name in self._targets:
            self.reached(name, self._targets[name][1])

    def _tell(self, number: int, share: float) -> None:
        plan = self._plan
        before, after = plan.spent(number), plan.spent(min(number + 1, len(plan.rounds)))
        worked = (before + share * (after - before)) / plan.spent(len(plan.rounds))
        self._report(int(self._generations * worked))


def _go(path: Path, config: RunConfig, reporter: Reporter, execution: dict[str, Any]) -> Result:
    """Evolve or continue a run."""
    if RunFolder(path).config.is_file():
        return resume(path, progress=reporter, **execution)
    return evolve(config, path, reporter)


def _patiently(work: Callable[[], Result]) -> Result:
    """Return what a piece of work returns, whose former process may still be ending."""
    deadline = time.monotonic() + BUSY
    while True:
        try:
            return work()
        except RunBusy:
            if time.monotonic() > deadline:
                raise
            time.sleep(1.0)


def _spent_so_far(folder: RunFolder, config: RunConfig) -> Spent:
    spent = Spent(config)
    for line in read_journal(folder.journal):
        if isinstance(line, Entry):
            spent.add(line)
    return spent


def main() -> None:
    """Run the trial that the arguments name."""
    study_dir, strategy, seed, execution = sys.argv[1:]
    collect_seldom()
    stop_with_parent()
    status = run_trial(StudyFolder(Path(study_dir)), strategy, int(seed), json.loads(execution))
    sys.stdout.flush()
    sys.exit(status)


if __name__ == "__main__":
    main()
