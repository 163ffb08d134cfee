"""Checks of a run's health: D has won, or a mutation fails in several generations in a row.

Each is reported once: on the screen, as an event of the journal, and so in MLflow (`faults/...`).
"""

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from egan.discriminator import UNANCHORED
from runs.config.schema import RunConfig
from runs.store.journal import Entry, Event

FAILS, WINS = "mutation-fails", "discriminator-won"  # events
WINNER = "the discriminator"
FAILING = 3  # generations in a row in which all children of a mutation fail
WON = 100  # generations in a row in which D gives no child a chance
NO_CHANCE = 1e-3  # Fq = E[D(G(z))] of the best child; the log-losses' gradients are about as small
SURE = 0.9  # share of samples that D is right about, at least, where its loss says so
FD_ALONE = 10  # from this ratio of gamma Fd to Fq on, selection follows Fd


@dataclass(frozen=True)
class Notice:
    """A report: an event's kind and details, and the line to show."""

    event: str
    text: str
    details: dict[str, Any] = field(default_factory=dict)


class Health:
    """Checks generations in their order; a resumed run does not repeat earlier reports."""

    def __init__(self, config: RunConfig) -> None:
        self._config = config
        self._failing: Counter[str] = Counter()  # generations in a row, by mutation
        self._hopeless_since: int | None = None
        self._told: set[str] = set()  # names of mutations that fail, and WINNER

    def recall(self, event: Event) -> None:
        """Take note of an event of the run's past."""
        if event.kind == FAILS:
            self._told.add(str(event.details.get("operator")))
        elif event.kind == WINS:
            self._told.add(WINNER)

    def judge(self, entry: Entry) -> list[Notice]:
        """Return the reports that are due after a generation."""
        won = self._judge_discriminator(entry)
        return [*self._judge_mutations(entry), *([won] if won else [])]

    def _judge_mutations(self, entry: Entry) -> list[Notice]:
        found = []
        for mutation in dict.fromkeys(job.operator for job in entry.jobs):
            scores = [
                score
                for job, score in zip(entry.jobs, entry.scores, strict=True)
                if job.operator == mutation
            ]
            if any(score.finite for score in scores):
                self._failing[mutation] = 0
                self._told.discard(mutation)
                continue
            self._failing[mutation] += 1
            if self._failing[mutation] >= FAILING and mutation not in self._told:
                self._told.add(mutation)
                reason = scores[0].failure or "its score is not finite"
                text = (
                    f"warning: all children of mutation {mutation} have failed in {FAILING} "
                    f"generations in a row, so none can survive: {reason}"
                )
                found.append(Notice(FAILS, text, {"operator": mutation, "why": reason}))
        return found

    def _judge_discriminator(self, entry: Entry) -> Notice | None:
        """Return a report if D has given no child a chance for `WON` generations."""
        scored = [score.values for score in entry.scores if score.finite and score.values]
        if not scored:
            return None  # there was nothing to choose
        best = max(quality for quality, *_ in scored)
        if self._config.fitness.name == "iegan":  # a mean logit
            best = 1 / (1 + math.exp(-best))
        right = self._right(entry)
        if best >= NO_CHANCE or (right is not None and right < SURE):
            self._hopeless_since = None
            self._told.discard(WINNER)
            return None
        if self._hopeless_since is None:
            self._hopeless_since = entry.generation
        since = entry.generation - self._hopeless_since
        if WINNER in self._told or since < WON:
            return None
        self._told.add(WINNER)
        quality, diversity, *_ = max(scored, key=lambda values: values[0])
        ratio = abs(self._config.fitness.gamma * diversity) / max(quality, 1e-300)
        return self._victory(since, quality, right, ratio)

    def _right(self, entry: Entry) -> float | None:
        """Return a lower bound of the share of reals and fakes that D is right about.

        Each sample on the wrong side costs log 2 or more of -E[log D(x)] - E[log(1 - D(G(z)))];
        penalties only add to it. None: D's loss does not tell.
        """
        loss = entry.training.get("loss", math.nan)
        if self._config.discriminator.loss != "bce" or not math.isfinite(loss):
            return None
        return max(0.0, 1 - loss / (2 * math.log(2)))

    def _victory(
        self, generations: int, quality: float, right: float | None, ratio: float
    ) -> Notice:
        sure = "" if right is None else f", and D is right about {right:.1%} of samples or more"
        parts = [
            f"warning: the discriminator has won: for {generations} generations the mean of "
            f"D(G(z)) was below {NO_CHANCE:g} for every child (now {quality:.1e}){sure}. "
            "Generators hardly learn from it"
        ]
        if self._config.selection.name == "egan" and self._config.choosing and ratio > FD_ALONE:
            parts.append(f"gamma Fd is {ratio:.0f} times Fq, so that selection looks at Fd alone")
        parts.append(f"Try {' or '.join(remedies(self._config))}")
        details = {"quality": quality, "right": right, "gamma_fd_to_fq": round(ratio, 3)}
        return Notice(WINS, ". ".join(parts), details)


def remedies(config: RunConfig) -> list[str]:
    """Return what a config may change so that D does not win, as overrides."""
    discriminator, optimizer = config.discriminator, config.optimizer
    rate = optimizer.discriminator_learning_rate or optimizer.learning_rate
    found = []
    if discriminator.r1 == 0:
        found.append("discriminator.r1=1")
    found.append(f"optimizer.discriminator_learning_rate={rate / 4:g}")
    if discriminator.updates > 1:
        found.append("discriminator.updates=1")
    if discriminator.loss not in UNANCHORED and "heuristic" not in config.population.mutations:
        found.append("population.mutations=[heuristic]")
    return found
