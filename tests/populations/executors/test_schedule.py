"""Decisions of the Ray executor: sizes of calls, their order, deadlines, who is believed."""

from collections import deque
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from populations.executors.schedule import FIRST_DEADLINE, FLOOR, Costs, Deadline, agreed, take
from populations.individual import Job

MUTATIONS = ("minimax", "heuristic", "least_squares")


def grid(parents: int) -> list[Job]:
    return [Job(p * 3 + m, (p,), name) for p in range(parents) for m, name in enumerate(MUTATIONS)]


# ------------------------------------------------------------------------------------- sizes


@given(st.integers(0, 200), st.integers(1, 20))
def test_calls_take_every_job_once_and_get_no_larger(jobs, workers):
    queue = deque(Job(index, (0,), "a") for index in range(jobs))
    calls = []
    while queue:
        calls.append(take(queue, workers, jobs))
    assert [job.index for call in calls for job in call] == list(range(jobs))
    sizes = list(map(len, calls))
    assert all(sizes) and sizes == sorted(sizes, reverse=True)
    if workers > 1 and jobs:
        least = ceil(jobs / (4 * workers))
        assert sizes[0] == max(jobs // (2 * workers), least) and sizes[-1] <= least
        assert len(calls) <= 4 * workers
    elif jobs:
        assert sizes == [jobs]
    assert take(queue, workers, jobs) == ()


def test_few_children_come_singly_many_in_falling_pieces():
    def sizes(jobs, workers):
        queue, found = deque(Job(index, (0,), "a") for index in range(jobs)), []
        while queue:
            found.append(len(take(queue, workers, jobs)))
        return found

    assert sizes(3, 2) == [1, 1, 1]
    assert sizes(12, 2) == [3, 2, 2, 2, 2, 1]
    assert sizes(48, 2) == [12, 9, 6, 6, 6, 6, 3]
    assert sizes(12, 3) == [2, *[1] * 10]


@given(
    st.lists(st.floats(0.1, 10), min_size=2, max_size=6),
    st.integers(1, 40),
)
def test_nobody_waits_for_a_slow_worker_longer_than_its_fair_end(speeds, jobs):
    """Pulled by demand, all end within the largest piece; fixed shares know no such bound."""
    queue = deque(Job(index, (0,), "a") for index in range(jobs))
    free = dict.fromkeys(range(len(speeds)), 0.0)
    largest = 0.0
    while queue:
        worker = min(free, key=free.__getitem__)
        piece = len(take(queue, len(speeds), jobs)) * speeds[worker]
        largest = max(largest, piece)
        free[worker] += piece
    ideal = jobs / sum(1 / speed for speed in speeds)
    assert max(free.values()) <= ideal + largest + 1e-9


# ------------------------------------------------------------------------------------- order


def test_without_measurements_the_grids_order_stays():
    assert Costs().longest_first(grid(3)) == grid(3)


def test_the_costliest_comes_first_and_siblings_stay_together():
    costs = Costs()
    costs.measured((Job(0, (0,), "heuristic"),), 3.0)
    costs.measured((Job(0, (0,), "minimax"), Job(1, (0,), "minimax")), 2.0)
    ordered = costs.longest_first(grid(2))
    assert [job.operator for job in ordered] == ["heuristic", "minimax", "least_squares"] * 2
    assert [job.parents[0] for job in ordered] == [0, 0, 0, 1, 1, 1]
    fewer = [job for job in grid(2) if job.index != 1]  # parent 0 without its costliest child
    assert [job.parents[0] for job in costs.longest_first(fewer)] == [1, 1, 1, 0, 0]


def test_a_cost_follows_what_is_measured_now():
    costs = Costs()
    for _ in range(20):
        costs.measured((Job(0, (0,), "minimax"),), 9.0)
    costs.measured((Job(1, (0,), "heuristic"),), 1.0)
    assert costs.longest_first(grid(1))[0].operator == "minimax"
    for _ in range(6):
        costs.measured((Job(0, (0,), "minimax"),), 0.1)
    assert costs.longest_first(grid(1))[0].operator == "heuristic"


# ------------------------------------------------------------------------------------- deadlines


def test_a_deadline_that_is_set_stays():
    deadline = Deadline(7.0)
    deadline.answered(100.0)
    deadline.missed()
    assert deadline.seconds == 7.0


def test_an_automatic_deadline_follows_the_longest_call_but_has_a_floor():
    deadline = Deadline("auto")
    assert deadline.seconds == FIRST_DEADLINE
    deadline.answered(0.01)
    assert deadline.seconds == FLOOR
    deadline.answered(20.0)
    deadline.answered(1.0)
    assert deadline.seconds == 200.0
    for _ in range(100):
        deadline.answered(8.0)
    assert deadline.seconds == 80.0


def test_a_call_that_was_only_long_gets_twice_the_time():
    deadline = Deadline("auto")
    deadline.answered(8.0)
    deadline.missed()
    assert deadline.seconds == pytest.approx(160.0)
    deadline.answered(0.1)  # another worker's short call
    deadline.missed()
    assert deadline.seconds == pytest.approx(320.0)


# ------------------------------------------------------------------------------------- agreement


@pytest.mark.parametrize(
    ("answers", "right"),
    [
        ([("a", False)], "a"),
        ([("a", False), ("b", False), ("b", False)], "b"),
        ([("a", False), ("b", False)], "a"),
        ([("b", False), ("b", False), ("a", True)], "a"),
        ([("a", True), ("b", True), ("b", True), ("a", False), ("a", False)], "b"),
    ],
)
def test_the_majority_of_those_that_proved_themselves_is_right(answers, right):
    assert agreed(answers) == right
