"""The plots of a run: averages over equal spans, of which one is held at a time."""

import math
from collections import Counter

import numpy as np
import pytest

from populations.individual import Job, Score
from runs.display import plots
from runs.display.plots import Span, draw_plots, spans_of
from runs.store.folder import RunFolder
from runs.store.journal import Entry
from tests.runs.copies import copy_of

JOBS = (Job(0, (0,), "minimax"), Job(1, (0,), "heuristic"))


def entry(generation: int) -> Entry:
    failed = generation % 3 == 0
    scores = (
        Score((math.nan,) * 2, "loss is nan") if failed else Score((generation / 7, 1.0)),
        Score((0.5, generation / 3)),
    )
    winner = JOBS[generation % 4 == 0]
    seconds = {"advance": (generation * 37 % 11) / 10}
    training = {"loss": generation / 2} if generation else {}
    return Entry(generation, 0.0, "c", JOBS, scores, (winner,), training, seconds)


def test_a_span_has_the_means_medians_and_sums_of_its_generations(monkeypatch):
    monkeypatch.setattr(plots, "POINTS", 7)
    held: list[int] = []
    of = Span.of
    monkeypatch.setattr(Span, "of", lambda entries: held.append(len(entries)) or of(entries))
    spans = spans_of((entry(generation) for generation in range(20, 120)), 20, 120)
    assert len(spans) == 7 and sum(held) == 100 and max(held) <= 15
    for span, ahead in zip(spans, [*(s.start for s in spans[1:]), 120], strict=True):
        own = range(span.start, ahead)
        sound = [g / 7 for g in own if g % 3]
        assert span.scores["minimax", 0] == pytest.approx(np.mean(sound))
        assert span.scores["heuristic", 1] == pytest.approx(np.mean([g / 3 for g in own]))
        assert span.training == pytest.approx({"loss": np.mean([g / 2 for g in own])})
        assert span.seconds["advance"] == np.median([(g * 37 % 11) / 10 for g in own])
        assert span.wins == Counter("heuristic" if g % 4 == 0 else "minimax" for g in own)


def test_of_a_long_run_some_generations_stand_for_all(points_run, monkeypatch, tmp_path):
    folder = copy_of(points_run[0], tmp_path)
    for name, value in (("POINTS", 5), ("ENOUGH", 2)):
        monkeypatch.setattr(plots, name, value)
    drawn: list[int] = []
    real = plots.spans_of

    def spans(entries, first, end):
        found = real(entries, first, end)
        drawn.extend(sum(span.wins.values()) for span in found)
        return found

    monkeypatch.setattr(plots, "spans_of", spans)
    draw_plots(RunFolder(folder))
    assert drawn == [2] * 5  # of 30 generations every third one
