"""Scorings while a run goes on: metrics of its generator, the best snapshot, what an alarm does."""

import time
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from egan.data import open_source
from egan.data.pairs import PairSource
from egan.determinism import prepare_device
from egan.replica import ExportedState
from fitness.metrics.names import expand_metrics
from populations.population import Population
from runs.common.signals import Stop
from runs.display.progress import Progress
from runs.evaluation.evaluator import Evaluator
from runs.sampling.device import chosen_device
from runs.sampling.sampler import Sampler
from runs.sampling.states import sampler_of, survivors_of
from runs.sampling.translator import translator_of
from runs.store.class_values import ClassValues
from runs.store.journal import Scoring
from runs.store.snapshots import write_snapshot
from runs.training.adaptation import Adaptation
from runs.training.info import RunInfo
from runs.training.record import Record, advance
from runs.training.watch import Watch
from runs.translation.held_out import HeldOut
from runs.translation.part_scores import PARTS, PartScores

EVALUATION_SEED = 1  # of the samples that are scored: the same noise at every scoring
Values = dict[str, float]  # by full metric name


@dataclass(frozen=True)
class Scores:
    """The metrics of a state: its averaged generator's, by class too, and each survivor's."""

    values: Values
    classes: dict[str, ClassValues]
    survivors: tuple[Values, ...]


class StateScores(Protocol):
    """Computes the metrics of states.

    Attributes:
        device: where it does.
    """

    @property
    def device(self) -> str:
        """See above."""

    def __call__(self, exported: ExportedState) -> Scores:
        """Return the metrics of an exported state."""


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
        scores: StateScores | None,
        stop: Stop,
        adaptation: Adaptation,
    ) -> None:
        """Without `scores`, score nothing; `stop` may give a scoring up."""
        self.watch = watch
        self._info = info
        self._record = record
        self._scores = scores
        self._stop = stop
        self._adaptation = adaptation

    @property
    def mutation(self) -> str | None:
        """The only mutation to be used until the next scoring; None: all are used."""
        return self._adaptation.mutation

    def score(self, population: Population) -> None:
        """Score the state if its generation is due; keep the best, and do what the watch says.

        The journal says first what follows: if the process ends before it is done, resume does it.
        """
        generation, scores, record = population.generation, self._scores, self._record
        if scores is None or not self.watch.due(generation):
            return
        checksum = advance(population, record)
        exported = population.export()
        with self._stop.abandonable():
            found, fitness = scores(exported), self._adaptation.fitness(exported)
        verdict = self.watch.judge(generation, found.values)
        record.scoring(
            Scoring(
                generation,
                time.time(),
                found.values,
                found.survivors,
                verdict.best,
                verdict.action,
                scores.device,
                found.classes,
                fitness,
            )
        )
        self._adaptation.learn(fitness)
        shown = "  ".join(f"{name} {value:.4g}" for name, value in found.values.items())
        mark = "  (best so far)" if verdict.best else ""
        record.say(f"scored generation {generation}: {shown}{mark}")
        if verdict.action == "warn":
            record.say(f"alarm at generation {generation}: {verdict.reason}")
        if verdict.best:
            self._keep_best(exported, checksum)

    def _keep_best(self, exported: ExportedState, checksum: str) -> None:
        folder, run = self._info.folder.best, self._info.identity.run
        try:
            write_snapshot(folder, exported, checksum, 1, run)
        except OSError as error:
            self._record.snapshot_failed(error)


class SampleScores:
    """The metrics of generators that make samples from noise."""

    def __init__(self, info: RunInfo, evaluator: Evaluator) -> None:
        self.device = evaluator.device
        self._info = info
        self._evaluator = evaluator

    def __call__(self, exported: ExportedState) -> Scores:
        """Return the metrics of an exported state."""
        config, card = self._info.config, self._info.card
        averaged = sampler_of(config, card, exported)
        raw = survivors_of(config, card, exported) if config.evaluation.survivors else []
        values, classes = self._of(averaged)
        return Scores(values, classes, tuple(self._of(survivor)[0] for survivor in raw))

    def _of(self, sampler: Sampler) -> tuple[Values, dict[str, ClassValues]]:
        sampler = sampler.to(self.device)
        samples = sampler.batches(self._info.config.evaluation.count, EVALUATION_SEED)
        values = self._evaluator.score(samples, EVALUATION_SEED)
        of_classes, classes = self._evaluator.score_classes(
            partial(sampler.of_classes, seed=EVALUATION_SEED)
        )
        return values | of_classes, classes


class TranslationScores:
    """The metrics of translators, on the images that are held out."""

    def __init__(self, info: RunInfo, held_out: HeldOut) -> None:
        self.device = held_out.device
        self._info = info
        self._held_out = held_out

    def __call__(self, exported: ExportedState) -> Scores:
        """Return the metrics of an exported state."""
        config, card = self._info.config, self._info.card
        count = config.population.survivors if config.evaluation.survivors else 0
        return Scores(
            self._held_out(translator_of(config, card, exported)),
            {},
            tuple(
                self._held_out(translator_of(config, card, exported, place, raw=True))
                for place in range(count)
            ),
        )


def open_scores(info: RunInfo, progress: Progress) -> StateScores | None:
    """Return what computes a run's metrics, ready; None: the config asks for no scorings.

    Raises:
        ConfigError: metrics, space and data do not fit each other.
    """
    config = info.config.evaluation
    if config.every is None:
        return None
    if info.card.partner is None:
        evaluator = make_evaluator(info, progress)
        return None if evaluator is None else SampleScores(info, evaluator)
    source, device = open_source(info.config.data), _device(info, progress)
    assert isinstance(source, PairSource)
    backwards = source.aligned and info.config.game.direction == "BtoA"
    shapes = {source.shape, source.target}
    if source.aligned:
        shapes = {source.shape if backwards else source.target}
    parts = None
    if set(expand_metrics(config.metrics)) & set(PARTS):
        parts = PartScores(info.config.data, backwards, device, progress.stage)
    held_out = HeldOut(
        source, shapes, config.metrics, config.space, config.count, EVALUATION_SEED, device, parts
    )
    return TranslationScores(info, held_out)


def make_evaluator(info: RunInfo, progress: Progress) -> Evaluator | None:
    """Return an evaluator whose metrics are ready; None: the config asks for no scorings.

    Raises:
        ConfigError: metrics, space and data do not fit each other.
    """
    config = info.config.evaluation
    if config.every is None:
        return None
    device = _device(info, progress)
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


def _device(info: RunInfo, progress: Progress) -> str:
    """Return the device that scores, prepared: what is best follows from the scores' bits."""
    execution = info.config.execution
    device = chosen_device("auto", execution)
    prepare_device(device, execution.threads, execution.precision)
    progress.message(
        f"scoring every {info.config.evaluation.every} generations, on {device}: preparing the "
        "metrics"
    )
    return device
