"""Scorings while a run goes on: metrics of its generator, the best snapshot, what an alarm does."""

import time
from functools import partial

from egan.data import open_source
from egan.determinism import prepare_device
from egan.replica import ExportedState
from populations.population import Population
from runs.common.signals import Stop
from runs.display.progress import Progress
from runs.evaluation.evaluator import Evaluator
from runs.sampling.device import chosen_device
from runs.sampling.sampler import Sampler
from runs.sampling.states import sampler_of, survivors_of
from runs.store.class_values import ClassValues
from runs.store.journal import Scoring
from runs.store.snapshots import write_snapshot
from runs.training.info import RunInfo
from runs.training.record import Record, advance
from runs.training.watch import Watch

EVALUATION_SEED = 1  # of the samples that are scored: the same noise at every scoring
Values = dict[str, float]  # by full metric name


class Scorer:
    """Scores the generations that are due, and keeps the best snapshot.

    Attributes:
        watch: what follows from the scorings so far.
    """

    def __init__(
        self,
        info: RunInfo,
        record: Record,
        watch: Watch,
        evaluator: Evaluator | None,
        stop: Stop,
    ) -> None:
        """Without an `evaluator`, score nothing; `stop` may give a scoring up."""
        self.watch = watch
        self._info = info
        self._record = record
        self._evaluator = evaluator
        self._stop = stop

    def score(self, population: Population) -> None:
        """Score the state if its generation is due; keep the best, and do what the watch says.

        The journal says first what follows: if the process ends before it is done, resume does it.
        """
        generation, evaluator, record = population.generation, self._evaluator, self._record
        if evaluator is None or not self.watch.due(generation):
            return
        checksum = advance(population, record)
        exported = population.export()
        values, classes, survivors = self._values(evaluator, exported)
        verdict = self.watch.judge(generation, values)
        record.scoring(
            Scoring(
                generation,
                time.time(),
                values,
                survivors,
                verdict.best,
                verdict.action,
                evaluator.device,
                classes,
            )
        )
        shown = "  ".join(f"{name} {value:.4g}" for name, value in values.items())
        mark = "  (best so far)" if verdict.best else ""
        record.say(f"scored generation {generation}: {shown}{mark}")
        if verdict.action == "warn":
            record.say(f"alarm at generation {generation}: {verdict.reason}")
        if verdict.best:
            self._keep_best(exported, checksum)

    def _values(
        self, evaluator: Evaluator, exported: ExportedState
    ) -> tuple[Values, dict[str, ClassValues], tuple[Values, ...]]:
        """Return the metrics of the averaged generator, by class too, and of each survivor."""
        config, card = self._info.config, self._info.card
        averaged = sampler_of(config, card, exported)
        raw = survivors_of(config, card, exported) if config.evaluation.survivors else []
        with self._stop.abandonable():
            values, classes = self._scored(evaluator, averaged)
            survivors = tuple(self._scored(evaluator, survivor)[0] for survivor in raw)
        return values, classes, survivors

    def _scored(
        self, evaluator: Evaluator, sampler: Sampler
    ) -> tuple[Values, dict[str, ClassValues]]:
        sampler = sampler.to(evaluator.device)
        samples = sampler.batches(self._info.config.evaluation.count, EVALUATION_SEED)
        values = evaluator.score(samples, EVALUATION_SEED)
        of_classes, classes = evaluator.score_classes(
            partial(sampler.of_classes, seed=EVALUATION_SEED)
        )
        return values | of_classes, classes

    def _keep_best(self, exported: ExportedState, checksum: str) -> None:
        folder, run = self._info.folder.best, self._info.identity.run
        try:
            write_snapshot(folder, exported, checksum, 1, run)
        except OSError as error:
            self._record.snapshot_failed(error)


def make_evaluator(info: RunInfo, progress: Progress) -> Evaluator | None:
    """Return an evaluator whose metrics are ready; None: the config asks for no scorings.

    Raises:
        ConfigError: metrics, space and data do not fit each other.
    """
    config, execution = info.config.evaluation, info.config.execution
    if config.every is None:
        return None
    device = chosen_device("auto", execution)
    # What is best, and when a run stops, follows from the scores: so their bits count.
    prepare_device(device, execution.threads, execution.precision)
    progress.message(
        f"scoring every {config.every} generations, on {device}: preparing the metrics"
    )
    return Evaluator(
        open_source(info.config.data),
        info.card.shape,
        config.metrics,
        config.space,
        config.count,
        device=device,
        classes=None if info.card.condition is None else info.card.condition.classes,
        progress=progress.stage,
    )
