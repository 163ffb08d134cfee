"""Comparing records that were made by hand."""

import csv
import io
import json
from math import nan

import numpy as np
import pytest

from runs.common.errors import ConfigError
from runs.study import report
from runs.study.comparison import compare
from runs.study.mutation_plots import ancestry
from runs.study.records import Record, from_store, pareto_front, thin_children
from runs.study.report_plots import draw_all
from runs.study.results import results_csv, results_json
from runs.study.sentences import answer, sentence
from runs.tracking.query import StoredRun

METRIC = "high-quality-pixels-100"


def test_the_last_scoring_counts(record):
    (metric,) = compare([record("a", 0, 0.1, 0.9), record("a", 1, 0.2, 0.5)]).metrics
    assert metric.results == {"a": {0: 0.9, 1: 0.5}}
    assert metric.summaries["a"].median == pytest.approx(0.7)


def test_lower_is_better_where_the_metric_says_so(record):
    name = "kl-pixels-100"
    runs = [
        record(s, i, v + i / 10, metric=name) for s, v in (("a", 1), ("b", 2)) for i in range(3)
    ]
    (metric,) = compare(runs).metrics
    assert metric.ranking == ["a", "b"]
    assert metric.summaries["a"].best == pytest.approx(1.0)
    assert metric.summaries["a"].low <= metric.summaries["a"].median <= metric.summaries["a"].high
    assert metric.pairs[0].effect == 1.0  # the chance that a is better


def test_at_equal_generator_steps_evolution_is_met_earlier_in_its_course(record):
    dear, cheap = record("evolution", 0, 1.0, 2.0, 3.0, steps=3), record("random", 0, 4.0, 5.0, 6.0)
    (metric,) = compare([dear, cheap]).metrics
    budgets = {budget.axis: budget for budget in metric.budgets}
    assert budgets["generations"].medians == {"evolution": 3.0, "random": 6.0}
    assert budgets["generator_steps"].amount == 30
    assert budgets["generator_steps"].medians == {"evolution": 1.0, "random": 6.0}


def test_a_run_that_diverged_is_the_worst_and_a_crash_is_left_out(record):
    runs = [
        record("a", 0, 0.5),
        record("a", 1, status="failed", error="loss is nan", fault="Diverged"),
        record("b", 0, 0.1),
        record("b", 1, 0.2),
        record("c", 0, 0.3),
        record("c", 1, status="failed", error="disk full", fault="OSError"),
    ]
    compared = compare(runs)
    (metric,) = compared.metrics
    assert results_json(compared, {})["control"] is None
    assert metric.summaries["a"].broken == 1 and metric.summaries["a"].median == 0.5
    assert metric.results["c"] == {0: 0.3}
    said = " ".join(compared.warnings)
    assert "a, seed 1: failed (loss is nan); counted as worse" in said
    assert "c, seed 1: failed (disk full); left out" in said


def test_a_result_that_is_no_number_is_told(record):
    compared = compare([record("a", 0, nan), record("a", 1, 0.5), record("b", 0, 0.1)])
    assert any("1 of 2 results of a are not numbers" in said for said in compared.warnings)
    json.dumps(results_json(compared, {}), allow_nan=False)


def test_an_unfinished_run_is_left_out_and_told(record):
    compared = compare([record("a", 0, 0.5, status="unfinished"), record("b", 0, 0.1)])
    assert compared.metrics[0].results["a"] == {}
    assert any("a, seed 0: not finished" in said for said in compared.warnings)


def test_too_few_seeds_are_told_with_how_many_are_needed(record):
    runs = [
        record(s, seed, value + seed) for s, value in (("a", 0), ("b", 90)) for seed in range(5)
    ]
    compared = compare(runs)
    assert any("At least 6 seeds are needed" in said for said in compared.warnings)
    said = sentence(compared.metrics[0].pairs[0], compared.metrics[0])
    assert "no difference found with 5 seeds (A = 0.00" in said
    assert "no difference, however large, could have been found" in said


def test_a_difference_is_said_with_who_is_better(record):
    runs = [
        record(s, seed, value + seed) for s, value in (("a", 0), ("b", 90)) for seed in range(8)
    ]
    compared = compare(runs)
    (metric,) = compared.metrics
    assert "b is better than a with 8 seeds" in sentence(metric.pairs[0], metric)
    assert "b is better than every other strategy, beyond chance." in answer(compared)
    assert not any("Too few" in said for said in compared.warnings)


def test_no_difference_is_said_with_what_would_have_been_seen(record):
    rng = np.random.default_rng(0)
    runs = [record(s, seed, rng.normal()) for s in ("a", "b") for seed in range(10)]
    compared = compare(runs)
    said = sentence(compared.metrics[0].pairs[0], compared.metrics[0])
    assert "no difference found with 10 seeds" in said
    assert "a difference of A >= 0.85 would have been seen (80% of the time)" in said


def test_the_answer_says_whether_evolution_helps_and_its_price(record):
    runs = [record("evolution", s, s, steps=3) for s in range(8)]
    runs += [record("random", s, s + 0.5) for s in range(8)]
    runs += [record("minimax", s, s - 100.0) for s in range(8)]
    said = " ".join(answer(compare(runs)))
    assert "better than minimax; not found to differ from" not in said  # random is always ahead
    assert "better than minimax; worse than random" in said
    assert "3 times the generator steps" in said


def test_with_a_control_each_other_strategy_is_compared_with_it_alone(record):
    values = {"tuned": 100, "mine": 50, "blind": 0, "same": 50}
    runs = [record(name, s, value + s) for s in range(8) for name, value in values.items()]
    compared = compare(runs, control="mine")
    assert results_json(compared, {})["control"] == "mine"
    (metric,) = compared.metrics
    assert [(p.one, p.other) for p in metric.pairs] == [
        ("mine", "tuned"), ("mine", "blind"), ("mine", "same"),
    ]  # fmt: skip
    p = 2 / 2**8
    assert [pair.holm for pair in metric.pairs] == [pytest.approx(n) for n in (3 * p, 3 * p, 1)]
    every = {frozenset((q.one, q.other)): q.holm for q in compare(runs).metrics[0].pairs}
    assert every[frozenset(("mine", "blind"))] == pytest.approx(6 * p)
    said = " ".join(answer(compared))
    assert "mine is better than blind; worse than tuned; not found to differ from same." in said
    assert "tuned is" not in said
    with pytest.raises(ConfigError, match="did you mean 'blind'"):
        compare(runs, control="blnd")


def test_one_strategy_has_nothing_to_be_compared_with(record):
    said = " ".join(answer(compare([record("a", 0, 1.0)])))
    assert "No other strategy has results" in said


def test_a_metric_is_found_by_its_short_name_and_a_misspelt_one_is_named(record):
    runs = [record("a", 0, 1.0)]
    assert compare(runs, ["high-quality"]).metrics[0].metric == METRIC
    assert compare(runs, [METRIC]).metrics[0].metric == METRIC
    with pytest.raises(ConfigError, match="did you mean 'high-quality'"):
        compare(runs, ["high-qality"])


def test_nothing_to_compare_is_an_error():
    with pytest.raises(ConfigError, match="no runs"):
        compare([])
    with pytest.raises(ConfigError, match="has been scored yet"):
        compare([Record("a", 0)])


def test_the_table_holds_every_run_and_no_time(record):
    compared = compare([record("a", 0, 0.25), record("b", 3, status="failed", error="x, y")])
    rows = list(csv.DictReader(io.StringIO(results_csv(compared))))
    assert rows[0]["strategy"] == "a" and float(rows[0][METRIC]) == 0.25
    assert rows[1]["status"] == "failed" and rows[1]["error"] == "x, y"
    assert "seconds" not in results_csv(compared)
    assert "seconds" not in json.dumps(results_json(compared, {}))


def test_the_pareto_front_is_what_no_other_point_beats():
    rng = np.random.default_rng(0)
    points = rng.integers(0, 12, (300, 2)).astype(float)
    beaten = [
        any((other >= point).all() and (other > point).any() for other in points)
        for point in points
    ]
    front = {tuple(point) for point in points[pareto_front(points)]}
    assert front == {tuple(p) for p, lost in zip(points, beaten, strict=True) if not lost}


def test_thinning_keeps_the_front_and_forgives_emptiness():
    rng = np.random.default_rng(0)
    children = np.column_stack([np.zeros(5000), rng.normal(size=(5000, 2))])
    thinned = thin_children(children)
    assert len(thinned) < 1100
    front = children[pareto_front(children[:, 1:])]
    assert {tuple(row) for row in front} <= {tuple(row) for row in thinned}
    assert thin_children(np.empty((0, 3))).shape == (0, 3)


@pytest.mark.parametrize("strategies", [1, 2, 9])
def test_pictures_of_any_number_of_strategies_fit(record, tmp_path, strategies):
    runs = [record(f"strategy-{i}", s, i + s, i - s) for i in range(strategies) for s in range(2)]
    drawn = draw_all(compare(runs), {}, tmp_path)  # a warning of matplotlib's would be an error
    assert set(drawn) == {"final", "curves-high-quality"}


def test_pictures_forgive_broken_and_missing_results(record, tmp_path):
    runs = [record("a", 0, nan, 0.5), record("b", 0, nan), record("c", 0, status="failed")]
    assert "final" in draw_all(compare(runs), {}, tmp_path)


def test_the_line_of_the_last_best_parent_is_traced_back():
    survivors = [((0, 2), (0, 1)), ((1, 0), (0, 0)), ((1, 1), (0, 2))]
    assert ancestry(survivors) == [(0, 2), (1, 0), (0, 1)]


def test_of_several_runs_of_a_seed_the_one_that_counts_is_named():
    def stored(run_id: str, status: str, started: int) -> StoredRun:
        return StoredRun(run_id, status, started, {"strategy": "random", "seed": "0"}, {}, {})

    runs = [stored("old", "FINISHED", 1000), stored("new", "FAILED", 2000)]
    [(_, chosen)], [note] = from_store(runs)
    assert chosen.run_id == "old"
    assert "random seed 0 was run 2 times; run old (finished" in note and "run new (failed" in note
    assert from_store(runs[:1])[1] == []


def test_several_runs_of_a_seed_are_named_although_none_was_scored(monkeypatch):
    runs = [
        StoredRun(run_id, "FINISHED", started, {"strategy": "random", "seed": "0"}, {}, {})
        for started, run_id in enumerate(("old", "new"))
    ]
    monkeypatch.setattr(report, "stored_runs", lambda *_: runs)
    monkeypatch.setattr(report, "fetch_picture", lambda *_: None)
    with pytest.raises(ConfigError, match="none of the 1 runs has been scored") as raised:
        report.report_on_store("experiment")
    assert "warning: random seed 0 was run 2 times; run new" in str(raised.value)
