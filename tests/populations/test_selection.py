"""Selection: the right survivors, ties by index, and nothing that failed."""

import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from populations.individual import Job, Operator, Score
from populations.selection import (
    NoFiniteChild,
    SelectionConfig,
    all_jobs,
    build_selection,
    parent_of,
)

MUTATIONS = ("minimax", "heuristic", "least_squares")
OPERATORS = tuple(map(Operator, MUTATIONS))
NAN, INF = float("nan"), float("inf")
numbers = st.integers(-3, 3).map(lambda n: n / 2)  # few values, so that ties are common
scores_lists = st.lists(st.tuples(numbers, numbers), min_size=1, max_size=9)
with_failures = st.lists(
    st.one_of(
        st.tuples(numbers, numbers).map(Score),
        st.sampled_from(
            [
                Score((NAN, NAN), "loss is nan"),
                Score((NAN, 1.0)),
                Score((1.0, INF)),
                Score((-INF, 9.0)),
            ]
        ),
    ),
    min_size=1,
    max_size=9,
)


def jobs_for(count: int) -> list[Job]:
    return [Job(i, (i // 3,), MUTATIONS[i % 3]) for i in range(count)]


def survivors_of(name: str, mu: int, scores: list[Score], gamma: float = 0.5) -> list[int]:
    policy = build_selection(SelectionConfig(name=name), mu, (1.0, gamma))
    children = policy.individuals(4, jobs_for(len(scores)), scores)
    return [survivor.job.index for survivor in policy.select(children)]


# -------------------------------------------------------------------------------------------- jobs


@pytest.mark.parametrize("name", ["egan", "nsga2"])
@pytest.mark.parametrize("mu", [1, 3])
def test_every_parent_is_varied_by_every_mutation(name, mu):
    jobs = build_selection(SelectionConfig(name=name), mu, (1.0, 0.0)).propose(OPERATORS, 0, 5)
    assert [job.index for job in jobs] == list(range(3 * mu))
    assert [(*job.parents, job.operator) for job in jobs] == [
        (parent, mutation) for parent in range(mu) for mutation in MUTATIONS
    ]


@given(st.integers(1, 5), st.integers(0, 2**40), st.integers(0, 1000))
def test_the_control_makes_no_more_children_than_survive_and_by_its_seed(mu, seed, generation):
    policy = build_selection(SelectionConfig(name="random"), mu, (1.0, 0.0))
    grid = build_selection(SelectionConfig(name="egan"), mu, (1.0, 0.0)).propose(OPERATORS, 0, 0)
    jobs = policy.propose(OPERATORS, seed, generation)
    assert len(jobs) == mu and len(set(jobs)) == mu
    assert set(jobs) <= set(grid)  # the index is the place in the full grid
    assert [job.index for job in jobs] == sorted(job.index for job in jobs)
    assert jobs == policy.propose(OPERATORS, seed, generation)


def test_the_control_picks_every_mutation_and_parent_equally_often():
    policy = build_selection(SelectionConfig(name="random"), 2, (1.0, 0.0))
    picked = Counter(
        job.index for generation in range(3000) for job in policy.propose(OPERATORS, 1, generation)
    )
    assert set(picked) == set(range(6))
    assert all(abs(count - 1000) < 120 for count in picked.values())
    assert policy.propose(OPERATORS, 1, 0) != policy.propose(OPERATORS, 2, 0) or (
        policy.propose(OPERATORS, 1, 1) != policy.propose(OPERATORS, 2, 1)
    )


@given(st.integers(1, 4), st.data())
def test_all_children_of_the_control_survive_whatever_their_scores(mu, data):
    scores = data.draw(st.lists(st.tuples(numbers, numbers), min_size=mu, max_size=mu))
    assert sorted(survivors_of("random", mu, [Score(s) for s in scores])) == list(range(mu))


# --------------------------------------------------------------------------------------- survivors


@given(scores_lists, st.integers(1, 9), st.sampled_from([0.0, 0.01, 1.0, -1.0]))
def test_the_best_by_fq_plus_gamma_fd_survive_best_first_ties_to_the_lower_index(values, mu, gamma):
    fitness = [fq + gamma * fd for fq, fd in values]
    best = sorted(range(len(values)), key=lambda i: (-fitness[i], i))[:mu]
    expected = [best[place % len(best)] for place in range(mu)]
    assert survivors_of("egan", mu, [Score(v) for v in values], gamma) == expected


def dominates(one, other) -> bool:
    return one != other and all(a >= b for a, b in zip(one, other, strict=True))


def pareto_ranks(values) -> list[int]:
    """The rank of each by peeling off, one after the other, what nothing left dominates."""
    ranks: dict[int, int] = {}
    while len(ranks) < len(values):
        left = [i for i in range(len(values)) if i not in ranks]
        front = [i for i in left if not any(dominates(values[j], values[i]) for j in left)]
        ranks |= dict.fromkeys(front, max(ranks.values(), default=-1) + 1)
    return [ranks[i] for i in range(len(values))]


@given(scores_lists, st.integers(1, 9))
def test_nsga2_takes_the_lower_pareto_ranks_first(values, mu):
    mu = min(mu, len(values))
    chosen = survivors_of("nsga2", mu, [Score(v) for v in values])
    ranks = pareto_ranks(values)
    assert len(set(chosen)) == mu
    assert sorted(ranks[i] for i in chosen) == sorted(ranks)[:mu]
    assert [ranks[i] for i in chosen] == sorted(ranks[i] for i in chosen)  # best first
    for i in range(len(values)):  # of equals, those of lower index survive
        equals = [j for j in range(len(values)) if values[j] == values[i]]
        alive = [j for j in equals if j in chosen]
        assert alive == equals[: len(alive)]


def test_nsga2_keeps_the_ends_of_a_front_before_its_crowded_middle():
    scores = [(0.0, 4.0), (0.9, 2.1), (1.0, 2.0), (1.1, 1.9), (4.0, 0.0)]
    assert sorted(survivors_of("nsga2", 2, [Score(s) for s in scores])) == [0, 4]


@pytest.mark.parametrize("name", ["egan", "nsga2", "random"])
@given(scores=with_failures, mu=st.integers(1, 6))
def test_a_failed_child_never_survives(name, scores, mu):
    finite = [i for i, score in enumerate(scores) if score.finite]
    if not finite:
        with pytest.raises(NoFiniteChild):
            survivors_of(name, mu, scores)
        return
    chosen = survivors_of(name, mu, scores)
    assert len(chosen) == mu
    assert set(chosen) <= set(finite)
    assert len(set(chosen)) == min(mu, len(finite))
    assert chosen == [chosen[place % len(set(chosen))] for place in range(mu)]  # repeated in turn


@pytest.mark.parametrize("name", ["egan", "nsga2"])
@given(scores=with_failures)
def test_no_operator_sees_what_is_not_finite_and_a_failure_is_the_worst(name, scores):
    if not any(score.finite for score in scores):
        return
    policy = build_selection(SelectionConfig(name=name), 1, (1.0, 0.5))
    children = policy.individuals(0, jobs_for(len(scores)), scores)
    values = [child.fitness.values for child in children]
    assert all(math.isfinite(x) for v in values for x in v)
    good = [v for v, child in zip(values, children, strict=True) if child.score.finite]
    for value, child in zip(values, children, strict=True):
        if not child.score.finite:
            assert all(all(w <= g for w, g in zip(value, other, strict=True)) for other in good)


def test_the_first_slot_failing_does_not_block_its_rivals():
    scores = [Score((NAN, NAN), "loss is nan at step 0"), Score((0.1, 0.1)), Score((0.2, 0.1))]
    assert survivors_of("egan", 1, scores) == [2]
    assert survivors_of("egan", 3, scores) == [2, 1, 2]


def test_when_all_fail_the_error_names_generation_mutation_and_reason():
    policy = build_selection(SelectionConfig(), 1, (1.0, 0.0))
    scores = [Score((NAN, NAN), "loss is nan at step 0"), Score((0.5, INF)), Score((NAN, 0.0))]
    with pytest.raises(NoFiniteChild) as caught:
        policy.individuals(12, jobs_for(3), scores)
    message = str(caught.value)
    assert "no child of generation 12 is finite" in message
    assert "child 0 (minimax of parent 0): loss is nan at step 0" in message
    assert "child 1 (heuristic of parent 0): scores (0.5, inf)" in message
    assert "child 2 (least_squares of parent 0): scores (nan, 0.0)" in message


def test_selection_changes_no_score():
    scores = [Score((0.1, NAN)), Score((0.3, 0.2))]
    policy = build_selection(SelectionConfig(), 1, (1.0, 0.0))
    children = policy.individuals(0, jobs_for(2), scores)
    assert [child.score for child in children] == scores


def test_an_unknown_policy_is_refused():
    with pytest.raises(ValidationError):
        SelectionConfig(name="tournament")


# --------------------------------------------------------------------------------------- crossover


def crossings(name: str, mu: int, scores: list[Score]) -> list[Job]:
    policy = build_selection(SelectionConfig(name=name), mu, (1.0, 0.5))
    operators = (Operator("crossing", arity=2), *OPERATORS)
    jobs = policy.propose(operators, 0, 5)
    assert jobs == policy.propose(OPERATORS, 0, 5)  # a crossover proposes nothing before scores
    return policy.crossings(operators, 5, jobs, scores)


@given(st.lists(st.tuples(numbers, numbers), min_size=6, max_size=6))
def test_the_two_best_children_are_crossed_the_better_one_first(values):
    weighted = [(-(quality + 0.5 * diversity), i) for i, (quality, diversity) in enumerate(values)]
    (_, best), (_, second), *_ = sorted(weighted)
    (job,) = crossings("egan", 2, [Score(pair) for pair in values])
    assert job == Job(6, (best, second), "crossing")


def test_children_that_failed_are_not_crossed():
    good, bad = Score((0.1, 0.1)), Score((NAN, NAN), "loss is nan")
    (job,) = crossings("egan", 1, [good, bad, good])
    assert job == Job(3, (0, 2), "crossing")
    assert crossings("egan", 1, [bad, bad, good]) == []


def test_a_child_goes_on_in_the_line_of_its_parent_or_of_its_first_mutants():
    grid = all_jobs(OPERATORS, 3)
    for place, job in enumerate(grid):
        assert parent_of(job, grid) == place // 3
        assert parent_of(Job(9, (job.index, 0), "crossing"), grid) == place // 3
