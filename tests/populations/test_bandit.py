"""The bandit: the bounds of a slow reference, and what it comes to where one arm is better."""

import math
import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from populations.bandit import MEMORY, choose, improvement

uses = st.lists(st.tuples(st.integers(0, 2), st.integers(-3, 3).map(float)), max_size=50)


@given(uses)
def test_the_highest_bound_of_the_remembered_uses_is_chosen(past):
    recent = past[max(0, len(past) - 3 * MEMORY) :]
    bounds = {}
    for arm in range(3):
        own = [value for used, value in recent if used == arm]
        if not own:
            bounds[arm] = math.inf
            continue
        ranks = []
        for value in own:
            smaller = sum(1 for _, other in recent if other < value)
            equal = sum(1 for _, other in recent if other == value)
            ranks.append((smaller + equal / 2) / len(recent))
        bounds[arm] = sum(ranks) / len(own) + math.sqrt(0.5 * math.log(len(recent)) / len(own))
    best = max(bounds.values())
    assert bounds[choose(3, past)] == pytest.approx(best)


def played(rewards, count: int, seed: int) -> list[int]:
    """The arms that are chosen where `rewards(arm, turn)` are improvements, with noise."""
    rng, past = random.Random(seed), []
    for turn in range(count):
        arm = choose(3, past)
        past.append((arm, rewards(arm, turn) + rng.gauss(0, 1)))
    return [arm for arm, _ in past]


def test_a_better_arm_is_used_more_and_all_are_tried_again():
    counts = sum((Counter(played(lambda arm, _: 2.0 * (arm == 1), 100, s)) for s in range(5)),
                 Counter())  # fmt: skip
    assert counts[1] > 250 and min(counts.values()) > 25


def test_when_another_arm_becomes_better_it_is_found():
    arms = played(lambda arm, turn: 3.0 * (arm == (0 if turn < 60 else 2)), 160, 0)
    assert Counter(arms[20:60]).most_common(1)[0][0] == 0
    assert Counter(arms[100:]).most_common(1)[0][0] == 2


def test_an_improvement_has_no_scale_and_the_worst_is_what_is_no_number():
    assert improvement(4.0, 1.0) == improvement(0.04, 0.01) == pytest.approx(0.6)
    assert improvement(0.01, -0.01) == 1.0 and improvement(-0.01, 0.01) == -1.0
    assert improvement(0.0, 0.0) == 0.0
    assert improvement(1.0, math.inf) == improvement(1.0, math.nan) == -1.0
    assert improvement(math.inf, 1.0) == 1.0 and improvement(math.inf, math.inf) == 0.0
