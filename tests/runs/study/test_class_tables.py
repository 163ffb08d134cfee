"""Metrics by class in a comparison: tables of medians, and a picture."""

from dataclasses import replace

import pytest

from runs.store.budgets import AXES
from runs.store.class_values import ClassValues
from runs.study.class_tables import class_tables, draw_tables
from runs.study.comparison import compare
from runs.study.records import Point, Record

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


def test_the_picture_has_a_dot_for_each_class_of_each_strategy_and_of_the_reals(records):
    figure = draw_tables(class_tables(compare(records)), ["one", "other"])
    (axis,) = figure.axes
    shown = {line.get_label(): list(line.get_xdata()) for line in axis.lines}
    assert shown == {"reals": [0.4, 0.6], "one": [3, 2], "other": [5, 7]}
    assert [text.get_text() for text in axis.get_yticklabels()] == ["cat", "dog"]
