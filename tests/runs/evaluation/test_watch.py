"""What follows from a row of scorings."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runs.config.evaluation import EvaluationConfig
from runs.store.journal import Scoring
from runs.training.watch import Verdict, Watch


def configured(**values: object) -> EvaluationConfig:
    return EvaluationConfig(every=10, metrics=("fid", "coverage"), count=100, **values)


def scored(fid: float, coverage: float = 0.5) -> dict[str, float]:
    return {"fid-pixels-100": fid, "coverage-pixels-100": coverage}


def verdicts(watch: Watch, rows: list[dict[str, float]], first: int = 1) -> list[Verdict]:
    return [watch.judge(10 * n, values) for n, values in enumerate(rows, first)]


def test_the_best_is_better_than_all_before():
    watch = Watch(configured())
    found = verdicts(watch, [scored(v) for v in (5, 4, 4, 6, 3)])
    assert [verdict.best for verdict in found] == [True, True, False, False, True]
    assert watch.best == 50 and watch.stopped is None


def test_a_named_metric_decides():
    watch = Watch(configured(best="coverage"))
    found = verdicts(watch, [scored(5, 0.1), scored(1, 0.1), scored(9, 0.2)])
    assert [verdict.best for verdict in found] == [True, False, True]


def test_patience_stops_after_so_many_scorings_without_a_better_one():
    watch = Watch(configured(patience=2))
    found = verdicts(watch, [scored(v) for v in (5, 6, 4, 4, 5)])
    assert [verdict.action for verdict in found] == [None, None, None, None, "stop"]
    assert watch.stopped == "fid has not improved in 2 scorings" == found[-1].reason


def test_without_patience_nothing_stops():
    watch = Watch(configured())
    assert not any(v.action for v in verdicts(watch, [scored(5)] * 50))
    assert watch.stopped is None


def test_values_of_another_feature_space_are_not_compared():
    """As after a change of the space's recipe while a run was stopped."""
    watch = Watch(configured(collapse={"action": "stop"}))
    other = {"fid-classifier-short-100": 9.0, "coverage-classifier-short-100": 0.1}
    found = verdicts(watch, [scored(5, 0.8), other, other])
    assert [verdict.best for verdict in found] == [True, True, False]
    assert watch.best == 20 and watch.stopped is None


@pytest.mark.parametrize("action", ["warn", "stop", "fork"])
def test_a_collapse_raises_the_alarm(action):
    watch = Watch(configured(collapse={"action": action}))
    found = verdicts(watch, [scored(5, 0.8), scored(5, 0.5), scored(5, 0.39)])
    assert [verdict.action for verdict in found] == [None, None, action]
    assert found[-1].reason == "coverage is 0.39, its best was 0.8"
    assert watch.stopped == (None if action == "warn" else found[-1].reason)
    assert watch.forked is (action == "fork")


def test_what_was_forked_often_enough_stops():
    for alarms, action in ((0, "fork"), (1, "fork"), (2, "stop"), (3, "stop")):
        watch = Watch(configured(collapse={"action": "fork", "forks": 2}), (), alarms)
        assert verdicts(watch, [scored(5, 0.8), scored(5, 0.1)])[-1].action == action
    assert "forks allows 2 in a row" in watch.stopped


def test_a_collapse_before_there_is_a_best_snapshot_stops():
    watch = Watch(configured(collapse={"action": "fork"}))
    found = verdicts(watch, [scored(math.nan, 0.8), scored(math.nan, 0.1)])
    assert found[-1].action == "stop" and "no best snapshot" in found[-1].reason


def test_the_first_scoring_is_no_collapse():
    watch = Watch(configured(collapse={"action": "stop"}))
    assert verdicts(watch, [scored(5, 0.0)]) == [Verdict(True)]


@pytest.mark.parametrize(("action", "best"), [("warn", True), ("stop", False), ("fork", False)])
def test_what_is_acted_upon_as_collapsed_is_never_the_best(action, best):
    """A few images repeated can have the best FID of all."""
    watch = Watch(configured(collapse={"action": action}))
    found = verdicts(watch, [scored(5, 0.8), scored(1, 0.1)])
    assert found[-1].best is best
    assert watch.best == (20 if best else 10)


def test_a_fooled_value_does_not_stand_in_the_way_of_later_ones():
    watch = Watch(configured(collapse={"action": "fork"}))
    found = verdicts(watch, [scored(5, 0.8), scored(1, 0.1), scored(4, 0.8)])
    assert [verdict.best for verdict in found] == [True, False, True]


def test_alarms_count_as_scorings_without_a_better_one():
    watch = Watch(configured(patience=2, collapse={"action": "fork"}))
    found = verdicts(watch, [scored(5, 0.8), scored(5, 0.1), scored(5, 0.1)])
    assert [verdict.action for verdict in found] == [None, "fork", "stop"]


def test_values_that_are_not_finite_are_worse_than_any():
    watch = Watch(configured(collapse={"metric": "fid", "action": "warn"}))
    found = verdicts(watch, [scored(math.nan), scored(7), scored(math.nan), scored(math.inf)])
    assert [verdict.best for verdict in found] == [False, True, False, False]
    assert [verdict.action for verdict in found] == [None, None, "warn", "warn"]


def test_a_generation_is_due_once():
    watch = Watch(configured())
    assert [g for g in range(35) if watch.due(g)] == [10, 20, 30]
    watch.judge(20, scored(5))
    assert [g for g in range(35) if watch.due(g)] == [10, 30]
    assert not Watch(EvaluationConfig()).due(10)


numbers = st.one_of(st.floats(0, 10), st.just(math.nan), st.just(math.inf))
rows = st.lists(st.builds(scored, numbers, numbers), max_size=12)


@given(
    rows,
    st.integers(0, 12),
    st.none() | st.integers(1, 4),
    st.none()
    | st.fixed_dictionaries(
        {
            "metric": st.sampled_from(["fid", "coverage"]),
            "action": st.sampled_from(["warn", "stop", "fork"]),
            "factor": st.floats(1.01, 3),
        }
    ),
)
def test_judging_on_from_the_journal_is_judging_all_at_once(rows, cut, patience, collapse):
    config = configured(patience=patience, collapse=collapse)
    whole = Watch(config)
    expected = verdicts(whole, rows)
    past = [
        # What a journal gives back: no line of it holds NaN or infinity.
        Scoring.from_json(Scoring(10 * n, 0.0, values, (), v.best, v.action).to_json())
        for n, (values, v) in enumerate(zip(rows, expected, strict=True), 1)
    ][:cut]
    resumed = Watch(config, past)
    found = verdicts(resumed, rows[cut:], first=cut + 1)
    assert found == expected[cut:]
    assert (resumed.best, resumed.stopped) == (whole.best, whole.stopped)
    assert [g for g in range(130) if resumed.due(g)] == [g for g in range(130) if whole.due(g)]
