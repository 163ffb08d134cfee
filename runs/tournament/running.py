"""Running a tournament, from its beginning or from where it was stopped, to its end.

    round: train each living island -> judge it -> decide -> write the decision -> make the forks

The progress is a function of the record (`decisions.jsonl`) and of the islands' folders. So the
same command can continue after a kill at any moment.
"""

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from populations.selection import NoFiniteChild
from runs.batch.placement import place_runs
from runs.common.errors import ConfigError
from runs.common.files import read_json, write_json, write_text
from runs.common.formats import STAMP
from runs.common.signals import graceful_stop
from runs.sampling.opening import Choice, mixture_centres, open_run
from runs.sampling.writing import grid_count, write_picture
from runs.store.folder import RunFolder
from runs.tournament.config import Tournament
from runs.tournament.crew import Crew, OneProcess, Processes, Watcher
from runs.tournament.decisions import (
    Decision,
    Judged,
    Standing,
    Table,
    decide,
    finite_or_none,
    first_standing,
)
from runs.tournament.held_out import RANKING, VERDICT
from runs.tournament.history import read_history
from runs.tournament.islands import (
    TournamentFolder,
    begin,
    config_of,
    generations,
    keep_best,
    winner_config,
)
from runs.tournament.record import Line, append, check, read_lines
from runs.tournament.schedule import Plan, plan_of, steps_of_generation
from runs.tournament.tracking import island_rows, parent_curves
from runs.tournament.worker import Request, Stopped
from runs.tracking.tournament_logger import (
    NoTournamentRecord,
    TournamentRecord,
    open_tournament_record,
)
from runs.training.saving import GRID_SEED


class TournamentProgress(Watcher, Protocol):
    """Where a tournament reports to."""

    def start(self, tournament: Tournament, plan: Plan, done: int) -> None:
        """Begin; `done` rounds are on record."""

    def round(self, number: int, targets: Mapping[str, tuple[int, int]]) -> None:
        """Receive a round: the generations from which and to which islands train, by name."""

    def decided(self, line: Line) -> None:
        """Receive the decision of a round."""

    def message(self, text: str) -> None:
        """Show a line that stays."""

    def close(self) -> None:
        """End the display."""


@dataclass(frozen=True)
class TournamentResult:
    """How a tournament ended.

    Attributes:
        path: its folder.
        finished: whether it came to its end, or was stopped.
        winner: the folder of the winner's run.
        values: what result.json says.
    """

    path: Path
    finished: bool
    winner: Path | None = None
    values: Mapping[str, Any] | None = None


def run_tournament(
    tournament: Tournament,
    output: str | Path,
    progress: TournamentProgress,
    at_once: int | None = None,
    execution: Mapping[str, Any] | None = None,
) -> TournamentResult:
    """Run a tournament, or go on with the one in the folder `output`.

    Args:
        tournament: see `runs.tournament.config.load_tournament`.
        output: its folder.
        progress: where to show how far it is.
        at_once: how many islands at a time; by default as many as fit, see `runs.batch.placement`.
        execution: work in this process alone, with these values of `execution`.

    Raises:
        ConfigError: it is not valid, or another one lies in the folder.
        RunBusy: another process works on it.
        NoFiniteChild: no island can go on.
        CrewFailed: an island cannot be worked on.
    """
    folder = TournamentFolder(Path(output))
    plan = plan_of(tournament.config, tournament.base)
    with folder.lock(), ExitStack() as stack:
        folder.keep(tournament)
        if folder.result.is_file():
            return _result(folder)
        crew: Crew
        if execution is not None:
            crew = OneProcess(folder, execution)
        else:
            placement = place_runs(tournament.base.execution, at_once)
            progress.message(
                f"{tournament.name}: {tournament.config.count} islands, "
                f"{plan.spent(len(plan.rounds)):,} steps in all, {placement.description}; "
                f"folder {folder.path}"
            )
            first = plan.rounds[0].steps // steps_of_generation(tournament.base)
            progress.message(
                f"each island trains {first:,} generations before the first choice; where a single "
                "run of the whole budget would not converge, train one"
            )
            stop = stack.enter_context(graceful_stop())
            crew = stack.enter_context(Processes(folder, placement, stop))
        tags = {"seed": str(tournament.base.seed), "schedule": tournament.config.schedule.name}
        tracking = tournament.base.tracking
        record = open_tournament_record(
            folder.path, tournament.name, tracking, tags, progress.message
        )
        status = "FAILED"
        try:
            result = _Run(tournament, plan, folder, crew, progress, record).to_the_end()
            status = "FINISHED"
            return result
        except Stopped:
            status = "KILLED"
            return TournamentResult(folder.path, False)
        finally:
            progress.close()
            _close(record, folder, status)


class _Run:
    """One process's part in a tournament."""

    def __init__(
        self,
        tournament: Tournament,
        plan: Plan,
        folder: TournamentFolder,
        crew: Crew,
        progress: TournamentProgress,
        record: TournamentRecord,
    ) -> None:
        self._record = record
        self._tournament = tournament
        self._plan = plan
        self._folder = folder
        self._crew = crew
        self._progress = progress

    def to_the_end(self) -> TournamentResult:
        """Go through the rounds, those on record first."""
        folder, plan = self._folder, self._plan
        lines = read_lines(folder.decisions)
        standing = first_standing(self._tournament, plan)
        self._progress.start(self._tournament, plan, len(lines))
        known = len(lines)
        for number in range(len(plan.rounds)):
            if number < len(lines):
                line = lines[number]
                decision = decide(self._tournament, plan, number, standing, line.table)
                check(folder.decisions, line, decision)
            else:
                self._prepare(standing)
                table = self._train(number, standing)
                decision = decide(self._tournament, plan, number, standing, table)
                metrics = self._score(decision, table)
                line = Line.of(number, table, decision, metrics, plan.spent(number + 1))
                append(folder.decisions, lines, line)
                lines.append(line)
            self._progress.decided(line)
            if number >= known:
                _log(self._record, folder)
            standing = decision.standing
            self._refuse_the_dead(standing)
        self._prepare(standing)
        return self._verdict(standing, lines)

    def _draw(self, run: RunFolder, generation: int) -> None:
        """Draw samples of the winner."""
        sampler = open_run(run, Choice(generation)).sampler
        centres = mixture_centres(self._tournament.base.data)
        write_picture(sampler, grid_count(sampler), GRID_SEED, self._folder.samples, centres)

    def _prepare(self, standing: Standing) -> None:
        """Make the runs that a decision needs, before any island trains on."""
        if standing.kept is not None:
            keep_best(self._folder, self._tournament, self._plan, standing.kept)
        begin(self._folder, self._tournament, self._plan, standing)

    def _train(self, number: int, standing: Standing) -> dict[str, Judged]:
        """Train and judge the living islands; one that has failed stays as it is."""
        requests, targets, table = [], {}, {}
        for life in standing.living:
            name, reached = life.name, standing.generations[life.name]
            if reason := standing.failed.get(name):
                table[name] = Judged(reached, "", float("inf"), reason)
                continue
            config = config_of(self._tournament, self._plan, life)
            target = reached + generations(self._plan, config, number)[0]
            targets[name] = (reached, target)
            folder = self._folder.life(name).path.relative_to(self._folder.path)
            requests.append(Request(name, str(folder), target, RANKING))
        self._progress.round(number, targets)
        answers = self._crew.work(requests, self._progress)
        table |= {name: answer.judged for name, answer in answers.items()}
        return {life.name: table[life.name] for life in standing.living}

    def _score(self, decision: Decision, table: Table) -> Mapping[str, float]:
        """Return the metrics of the first in the ranking, if the base is scored at all."""
        first = decision.ranking[0]
        if self._tournament.base.evaluation.every is None or table[first].failure:
            return {}
        folder = self._folder.life(first).path.relative_to(self._folder.path)
        request = Request(first, str(folder), table[first].generation, scored=True)
        return self._crew.work([request], self._progress)[first].metrics

    def _refuse_the_dead(self, standing: Standing) -> None:
        failed = [standing.failed.get(life.name) for life in standing.living]
        insured = standing.kept is not None and self._insured
        if all(failed) and not insured:
            raise NoFiniteChild(f"no island of {self._folder.path} can go on: {failed[0]}")

    @property
    def _insured(self) -> bool:
        config = self._tournament.config
        return config.insurance.enabled and not config.schedule.blind

    def _verdict(self, standing: Standing, lines: list[Line]) -> TournamentResult:
        """Choose between the last state and the kept one, and write the result."""
        folder, (life,) = self._folder, standing.living
        candidates = {}
        if life.name not in standing.failed:
            candidates["final"] = (life, standing.generations[life.name], folder.life(life.name))
        kept = standing.kept
        if kept is not None and self._insured:
            same = (kept.life.key, kept.generation) == (life.key, standing.generations[life.name])
            if not same or not candidates:
                place = folder.kept_after(kept.round)
                candidates["kept"] = (kept.life, kept.generation, place)
        scored = self._tournament.base.evaluation.every is not None
        requests = [
            Request(name, str(run.path.relative_to(folder.path)), generation, VERDICT, scored)
            for name, (_, generation, run) in candidates.items()
        ]
        answers = self._crew.work(requests, self._progress)
        best = min(candidates, key=lambda name: (answers[name].judged.fitness, name))
        winner, generation, run = candidates[best]
        write_text(folder.winner, winner_config(self._tournament, winner).to_yaml())
        self._draw(run, generation)
        values = {
            "winner": str(run.path.relative_to(folder.path)),
            "island": winner.name,
            "generation": generation,
            "checksum": answers[best].judged.checksum,
            "chosen": best,
            "verdict": {n: finite_or_none(answers[n].judged.fitness) for n in candidates},
            "metrics": {n: finite_or_none(v) for n, v in answers[best].metrics.items()},
            "genes": winner.genes,
            "spent": {"steps": lines[-1].spent, "rounds": len(lines)},
        }
        write_json(folder.result, STAMP | values)
        return _result(folder)


def _log(record: TournamentRecord, folder: TournamentFolder) -> None:
    """Log the islands, as far as they are on record."""
    if not isinstance(record, NoTournamentRecord):
        history = read_history(folder)
        record.update(island_rows(history), parent_curves(history), len(history.lines))


def _close(record: TournamentRecord, folder: TournamentFolder, status: str) -> None:
    """Log the rest, and end the record."""
    if isinstance(record, NoTournamentRecord):
        return
    _log(record, folder)
    files = (folder.config, folder.decisions, folder.result, folder.winner, folder.samples)
    kept = [(file, None) for file in files if file.is_file()] if status == "FINISHED" else []
    record.close(status, kept)


def _result(folder: TournamentFolder) -> TournamentResult:
    """Return the result that is on record.

    Raises:
        ConfigError: it cannot be read.
    """
    try:
        values = read_json(folder.result)
        return TournamentResult(folder.path, True, folder.path / values["winner"], values)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"{folder.result} cannot be read ({error}); delete it, and give the command again"
        ) from None
