"""Metrics by class in a comparison: tables of medians, and a picture."""

import math
from dataclasses import replace

import pytest

from runs.store.budgets import AXES
from runs.store.class_values import ClassValues
from runs.store.journal import Scoring
from runs.study.class_tables import class_tables, draw_tables
from runs.study.comparison import compare
from runs.study.records import Point, Record, from_store
from runs.tracking.metrics import metrics_of_scoring
from runs.tracking.query import StoredRun

NAME = "ifid-pixels-100"


def record(strategy: str, seed: int, cat: float, dog: float) -> Record:
    by_class = {NAME: ClassValues(0.5, {"cat": (cat, 0.4), "dog": (dog, 0.6)})}
    points = (
        Point(
            1, dict.fromkeys(AXES, 1.0), {NAME: (cat + dog) / 2, "fid-pixels-100": 1.0}, by_class
        ),
    )
    return Record(strategy, seed, "finished", points)


@pytest.fixture
def records() -> list[Record]:
    return [
        record("one", 0, 1, 2),
        record("one", 1, 3, 2),
        record("one", 2, 8, 2),
        record("other", 0, 5, 7),
        replace(record("other", 1, 100, 100), status="failed"),
    ]


def test_a_class_has_the_median_of_each_strategys_finished_runs(records):
    (table,) = class_tables(compare(records))
    assert table.metric == NAME
    assert table.medians == {"cat": {"one": 3, "other": 5}, "dog": {"one": 2, "other": 7}}
    assert table.reals == {"cat": 0.4, "dog": 0.6}


def test_a_comparison_without_classes_has_no_tables_and_no_picture(records):
    plain = [
        replace(one, points=tuple(replace(point, classes={}) for point in one.points))
        for one in records
    ]
    assert class_tables(compare(plain)) == []
    assert draw_tables([], ["one"]) is None


def stored(old: bool = False) -> StoredRun:
    """A run as MLflow's store has it; an old one lacks the reals' values by class."""
    values = ClassValues(0.5, {"a cat": (3.0, 0.4), "dog/2": (2.0, 0.6)})
    scoring = Scoring(10, 0.0, {NAME: 2.5}, classes={NAME: values})
    metrics = metrics_of_scoring(scoring) | {f"spent/{axis}": 10.0 for axis in AXES}
    if old:
        metrics = {key: v for key, v in metrics.items() if not key.startswith(f"reals/{NAME}/")}
    histories = {key: [(10, value)] for key, value in metrics.items()}
    return StoredRun("r", "FINISHED", 0, {"strategy": "one", "seed": "0"}, {}, histories)


@pytest.mark.parametrize("old", [False, True])
def test_a_comparison_from_mlflows_store_has_the_classes_too(old):
    [(record, _)], _ = from_store([stored(old)])
    (table,) = class_tables(compare([record]))
    assert table.medians == {"a cat": {"one": 3.0}, "dog_2": {"one": 2.0}}
    reals = [math.nan] * 2 if old else [0.4, 0.6]
    assert list(table.reals.values()) == pytest.approx(reals, nan_ok=True)


def test_the_picture_has_a_dot_for_each_class_of_each_strategy_and_of_the_reals(records):
    figure = draw_tables(class_tables(compare(records)), ["one", "other"])
    (axis,) = figure.axes
    shown = {line.get_label(): list(line.get_xdata()) for line in axis.lines}
    assert shown == {"reals": [0.4, 0.6], "one": [3, 2], "other": [5, 7]}
    assert [text.get_text() for text in axis.get_yticklabels()] == ["cat", "dog"]
