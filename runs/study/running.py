"""Running a study to its end, or on from where it was, and comparing what came out."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runs.batch.child import DONE, STOPPED
from runs.batch.placement import Placement, place_runs
from runs.batch.queue import Task, run_all
from runs.common.errors import ConfigError
from runs.study.curves import strategy_curves
from runs.study.folder import StudyFolder, tasks_of
from runs.study.loading import load_study
from runs.study.progress import StudyProgress, share_of
from runs.study.records import read_outcome, write_outcome
from runs.study.report import Report, report_on_folder
from runs.study.study import Study
from runs.tracking.preflight import check_store
from runs.tracking.study_logger import StudyRecord, open_study_record


@dataclass(frozen=True)
class StudyResult:
    """How a study ended: where it lies, the runs that failed, and the report if it came so far."""

    path: Path
    finished: bool
    failed: tuple[str, ...]
    report: Report | None
    record: str | None  # where MLflow has it


def run_study(
    source: str | Path,
    output: str | Path | None = None,
    at_once: int | None = None,
    progress: StudyProgress | None = None,
) -> StudyResult:
    """Run a study, or go on with it, and report on it.

    Args:
        source: a study's YAML file, the name of one that comes with the package, or the folder of
            one that was begun.
        output: the study's folder; by default `outputs/<name>`.
        at_once: how many runs at a time; by default as many as fit, see `runs.batch.placement`.
        progress: where to show how far it is.

    Raises:
        ConfigError: the study is not valid, or another one lies in the folder.
        RunBusy: another process works on it.
    """
    begun = StudyFolder(Path(source))
    study = begun.load() if begun.config.is_file() else load_study(source)
    default = begun.path if begun.config.is_file() else Path("outputs") / study.name
    folder = StudyFolder(Path(output) if output else default)
    progress = progress or StudyProgress(study.name)
    first = next(iter(study.configs.values()))
    if not folder.config.is_file():
        check_store(first.tracking)
    with folder.lock():
        folder.keep(study)
        placement = place_runs(first.execution, at_once)
        tags = {
            "budget": str(study.budget),
            "strategies": ", ".join(study.config.strategies),
            "seeds": ", ".join(map(str, study.config.seeds)),
        }
        record = open_study_record(folder.path, study.name, first.tracking, tags, progress.message)
        complete = _run(study, folder, placement, record, progress)
        if not complete:
            record.close("KILLED")
            return StudyResult(folder.path, False, (), None, record.where)
        progress.message("comparing the strategies")
        report = None
        try:
            report = report_on_folder(folder.path)
        except ConfigError as error:  # no run was ever scored: each says why
            progress.message(f"no report: {error}")
        if report is None:
            record.close("FAILED")
        else:
            record.compare(strategy_curves(report.comparison, study.budget.axis))
            record.close("FINISHED", report.artifacts)
    failed = tuple(
        f"{strategy} seed {seed}"
        for strategy, seed in study.trials
        if read_outcome(folder.run(strategy, seed)).get("status") != "finished"
    )
    return StudyResult(folder.path, True, failed, report, record.where)


def _run(
    study: Study,
    folder: StudyFolder,
    placement: Placement,
    record: StudyRecord,
    progress: StudyProgress,
) -> bool:
    """Run what is not finished yet; return whether all was run."""
    left = [
        trial
        for trial in study.trials
        if read_outcome(folder.run(*trial)).get("status") != "finished"
    ]
    for trial in left:  # a failure is tried again
        (folder.run(*trial) / "outcome.json").unlink(missing_ok=True)
    kept = len(study.trials) - len(left)
    progress.message(
        f"{study.name}: {len(study.config.strategies)} strategies x {len(study.config.seeds)} "
        f"seeds, {study.budget} each, {placement.description}; folder {folder.path}"
    )
    tasks = tasks_of(folder, left, json.dumps(dict(placement.execution)))
    names = dict(zip((task.name for task in tasks), left, strict=True))
    watcher = StudyWatcher(study, folder, names, record, progress)
    progress.start(len(study.trials), kept)
    try:
        return run_all(tasks, placement.places, watcher)
    finally:
        progress.close()


class StudyWatcher:
    """Follows the runs: shows them, nests them in MLflow, writes down crashes."""

    def __init__(
        self,
        study: Study,
        folder: StudyFolder,
        trials: Mapping[str, tuple[str, int]],
        record: StudyRecord,
        progress: StudyProgress,
    ) -> None:
        """Follow the runs of `trials`, which are strategies and seeds by the tasks' names."""
        self._study = study
        self._folder = folder
        self._trials = trials
        self._record = record
        self._progress = progress

    def began(self, task: Task) -> None:
        """Show the run."""
        self._progress.running(task, 0.0)

    def reported(self, task: Task, values: Mapping[str, Any]) -> None:
        """Show how far the run is, and nest its record."""
        strategy, _ = self._trials[task.name]
        generations = self._study.configs[strategy].generations
        self._progress.running(task, share_of(values, generations, self._study.budget.seconds))
        self._nest(task)

    def ended(self, task: Task, status: int, stopped: bool) -> None:
        """Write down how the run ended, if it could not do so itself."""
        path = self._folder.run(*self._trials[task.name])
        outcome = read_outcome(path)
        if not outcome and (stopped or status == STOPPED):
            self._progress.stopped(task)
            return
        if not outcome:
            write_outcome(path, "failed", _crash(status, task.log), "Crash")
            outcome = read_outcome(path)
        self._nest(task)
        error = outcome.get("error") if status != DONE else None
        tags = {"error": error, "fault": str(outcome.get("fault"))} if error else {}
        self._record.end(path, "FAILED" if error else "FINISHED", tags)
        self._progress.done(task, error)

    def refresh(self) -> None:
        """Redraw."""
        self._progress.refresh()

    def _nest(self, task: Task) -> None:
        strategy, seed = self._trials[task.name]
        values = {
            "study": self._study.name,
            "strategy": strategy,
            "seed": str(seed),
            "budget": str(self._study.budget),
        }
        self._record.nest(self._folder.run(strategy, seed), f"{strategy} seed {seed}", values)


def _crash(status: int, log: Path) -> str:
    """Return what is known of a process that ended without a word."""
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    how = f"was killed by signal {-status}" if status < 0 else f"ended with status {status}"
    return f"its process {how}; last said: {lines[-1] if lines else 'nothing'}"
