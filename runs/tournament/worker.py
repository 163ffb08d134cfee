"""The worker of a tournament: it trains an island to a generation and judges it there.

    python -m runs.tournament.worker TOURNAMENT_DIR {...}

As a process of its own it takes requests as JSON lines on standard input, one at a time, and
answers on standard output; it lives as long as the tournament, so that an island's round costs no
start. It ends when its standard input closes: no worker outlives a tournament that was killed.
"""

import json
import queue
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from egan.engine import Diverged
from populations.garbage import collect_seldom
from populations.lineage import Lineage
from populations.messages import one_line
from populations.selection import NoFiniteChild
from runs.batch.child import STOPPED, stop_with_parent
from runs.common.errors import ConfigError
from runs.common.lock import RunBusy
from runs.config.schema import RunConfig
from runs.display.progress import Silent
from runs.evaluation.evaluator import Evaluator
from runs.sampling.opening import Choice, open_run
from runs.store.folder import RunFolder
from runs.store.identity import Identity
from runs.store.journal import Entry
from runs.tournament.decisions import Judged, finite_or_none
from runs.tournament.held_out import Judge
from runs.tournament.islands import TournamentFolder
from runs.training.driver import resume
from runs.training.info import RunInfo
from runs.training.scoring import EVALUATION_SEED, make_evaluator

BUSY = 60.0  # seconds to wait for an island whose former worker is still ending
INTERVAL = 0.5  # seconds between reports

Report = Callable[[int], None]  # called with the generation that an island has reached


class Stopped(Exception):
    """A signal asked to stop; everything done so far is kept."""


@dataclass(frozen=True)
class Request:
    """A request on an island: train it to a generation, then judge or score it there.

    Attributes:
        name: of the request.
        folder: of its run, inside the tournament's folder.
        generation: that the island is trained to.
        draw: which of the judge's draws; None: it is not judged.
        scored: whether the metrics of the base's evaluation are asked for.
        places: how many places the island may use: those of ended islands are free.
    """

    name: str
    folder: str
    generation: int
    draw: int | None = None
    scored: bool = False
    places: int = 1


@dataclass(frozen=True)
class Answer:
    """The answer to a request."""

    judged: Judged
    metrics: Mapping[str, float]


class Workbench:
    """Trains and judges the islands of one tournament, in this process."""

    def __init__(self, folder: TournamentFolder, execution: Mapping[str, Any]) -> None:
        """Work with these values of `execution`, on which the bits do not depend."""
        self._folder = folder
        self._tournament = folder.load()
        self._execution = execution
        self._judges: dict[int, Judge] = {}
        self._evaluator: Evaluator | None = None

    def answer(self, request: Request, report: Report) -> Answer:
        """Answer a request.

        Raises:
            Stopped: a signal came.
            ConfigError, OSError, WorkerLost: the island cannot be worked on here.
        """
        run = RunFolder(self._folder.path / request.folder)
        try:
            generation, checksum = self._train(run, request, report)
        except (Diverged, NoFiniteChild) as error:
            reason = f"{type(error).__name__}: {one_line(error)}"
            return Answer(Judged(request.generation, "", float("inf"), reason), {})
        config = run.load_config()
        fitness = float("nan")
        if request.draw is not None:
            judge = self._judges.get(request.draw) or Judge(self._tournament, config, request.draw)
            self._judges[request.draw] = judge
            fitness = judge.of_island(run, generation)
        metrics = self._score(run, config, generation) if request.scored else {}
        return Answer(Judged(generation, checksum, fitness), metrics)

    def _train(self, run: RunFolder, request: Request, report: Report) -> tuple[int, str]:
        children = run.load_config().children
        execution = widened(self._execution, request.places, children)
        deadline = time.monotonic() + BUSY
        while True:
            try:
                result = resume(
                    run.path, request.generation, _Reporter(report), pictures=False, **execution
                )
                break
            except RunBusy:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)
        if not result.finished:
            raise Stopped(str(result.stopped_by))
        return result.generation, result.checksum

    def _score(self, run: RunFolder, config: RunConfig, generation: int) -> dict[str, float]:
        """Return the metrics of the base's evaluation."""
        evaluation = self._tournament.base.evaluation
        if self._evaluator is None:
            config = config.model_copy(update={"evaluation": evaluation})
            info = RunInfo(run, config, run.load_data(), Identity())
            self._evaluator = make_evaluator(info, Silent())
        assert self._evaluator is not None, "the base is not scored"
        sampler = open_run(run, Choice(generation)).sampler.to(self._evaluator.device)
        samples = sampler.batches(evaluation.count, EVALUATION_SEED)
        try:
            return self._evaluator.score(samples, EVALUATION_SEED)
        except ConfigError:  # such as samples that are no numbers
            return {}


def widened(execution: Mapping[str, Any], places: int, children: int) -> dict[str, Any]:
    """Return values of `execution` with the replicas of several places, on a Ray cluster.

    More replicas than children would help nothing; the bits do not depend on their number.
    """
    if execution.get("executor") != "ray":
        return dict(execution)
    workers = int(execution["workers"])
    return {**execution, "workers": max(workers, min(children, workers * places))}


class _Reporter(Silent):
    """Reports an island's generations, now and then."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._reported = time.monotonic()

    def generation(self, entry: Entry, lineage: Lineage) -> None:
        if time.monotonic() - self._reported >= INTERVAL:
            self._reported = time.monotonic()
            self._report(entry.generation + 1)


# ------------------------------------------------------------------------------------ as a process


def to_line(request: Request) -> str:
    """Return a request as a worker reads it."""
    return json.dumps(asdict(request)) + "\n"


def from_line(values: Mapping[str, Any]) -> Answer:
    """Return an answer as a worker wrote it."""
    metrics = {k: float("nan") if v is None else v for k, v in values["metrics"].items()}
    return Answer(Judged.from_json(values["judged"]), metrics)


def _say(**values: Any) -> None:
    print(json.dumps(values), flush=True)


def serve(bench: Workbench, lines: "queue.SimpleQueue[bytes]") -> None:
    """Answer requests until a signal or an error, which is reported."""
    while True:
        request = Request(**json.loads(lines.get()))

        def report(generation: int, name: str = request.name) -> None:
            _say(name=name, generation=generation)

        try:
            answer = bench.answer(request, report)
        except Stopped:
            sys.exit(STOPPED)
        except Exception as error:
            traceback.print_exc()
            mistake = isinstance(error, ConfigError)
            _say(name=request.name, error=one_line(error), mistake=mistake)
            continue
        metrics = {name: finite_or_none(value) for name, value in answer.metrics.items()}
        _say(name=request.name, judged=answer.judged.to_json(), metrics=metrics)


def main() -> None:
    """Serve the tournament that the arguments name."""
    folder, execution = sys.argv[1:]
    lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    rest = b""

    def take(part: bytes) -> None:
        nonlocal rest
        *whole, rest = (rest + part).split(b"\n")
        for line in whole:
            lines.put(line)

    collect_seldom()
    stop_with_parent(take)
    serve(Workbench(TournamentFolder(Path(folder)), json.loads(execution)), lines)


if __name__ == "__main__":
    main()
