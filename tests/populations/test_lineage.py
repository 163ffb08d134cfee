"""The account of an evolution: statistics, hall of fame, shares of wins."""

from hypothesis import given
from hypothesis import strategies as st

from populations.individual import Job, Score
from populations.lineage import HALL_SIZE, Lineage
from populations.selection import SelectionConfig, build_selection

NAMES = ("minimax", "heuristic", "least_squares")


def generation_of(lineage, number: int, values) -> None:
    policy = build_selection(SelectionConfig(), 1, (1.0, 0.0))
    jobs = [Job(i, (0,), name) for i, name in enumerate(NAMES)]
    scores = [Score((v, 0.0)) if v is not None else Score((float("nan"),) * 2, "x") for v in values]
    children = policy.individuals(number, jobs, scores)
    lineage.update(children, policy.select(children))


def test_the_hall_of_fame_leaves_failed_children_out():
    lineage = Lineage()
    generation_of(lineage, 5, (0.25, None, 0.75))
    assert [child.score.values[0] for child in lineage.hall_of_fame] == [0.75, 0.25]


@given(st.lists(st.tuples(*[st.integers(0, 100)] * 3), min_size=1, max_size=30))
def test_the_hall_of_fame_holds_the_best_children_of_all_generations(rows):
    lineage = Lineage()
    for number, row in enumerate(rows):
        generation_of(lineage, number, [v / 100 for v in row])
    every = sorted((v / 100 for row in rows for v in row), reverse=True)
    assert [item.fitness.values[0] for item in lineage.hall_of_fame] == every[:HALL_SIZE]
    assert lineage.generations == len(rows)
    wins = [NAMES[row.index(max(row))] for row in rows]
    assert lineage.shares() == {
        name: wins.count(name) / len(rows) for name in sorted(NAMES) if name in wins
    }


def test_nothing_won_yet_is_no_division_by_zero():
    assert Lineage().shares() == {}
