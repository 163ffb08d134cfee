import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from runs.common.errors import ConfigError
from runs.config.loading import load_config
from runs.tournament.config import TournamentConfig
from runs.tournament.schedule import plan_of, steps_of_generation

BASE = load_config("gaussians25-bad")


def plan(**values):
    return plan_of(TournamentConfig(base={}, **values), BASE)


@given(
    st.sampled_from(["tournament", "halving", "constant", "best-of"]),
    st.sampled_from([2, 4, 8, 16]),
    st.integers(20_000, 300_000),
    st.sampled_from(["once", 400, 1500]),
)
@example("tournament", 2, 249_952, 400)
def test_stages_cost_the_same_and_all_of_the_budget_is_used_and_no_more(name, count, steps, every):
    schedule = {"name": name, "interval": every}
    found = plan(count=count, steps=steps, schedule=schedule)
    spent = found.spent(len(found.rounds))
    assert steps - 0.03 * steps <= spent <= steps
    shares, rounded = [0] * len(found.stages), [count] * len(found.stages)
    for this in found.rounds:
        shares[this.stage] += this.islands * (this.steps + found.judgement)
        rounded[this.stage] += this.islands  # a round has whole steps
    assert max(shares) - min(shares) <= 2 * found.judgement + max(rounded)


def test_islands_are_halved_down_to_one_with_a_copy_in_the_middle_of_each_stage():
    rounds = plan(count=8, steps=64_000, insurance={"checks": 3}).rounds
    assert [(r.islands, r.ending, r.left) for r in rounds] == [
        (8, "event", 8), (8, "halve", 4), (4, "event", 4), (4, "halve", 2),
        (2, "event", 2), (2, "halve", 1), (1, "check", 1), (1, "check", 1), (1, "end", 1),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("halving", [(4, "halve"), (2, "halve"), (1, "end")]),
        ("constant", [(4, "event"), (4, "end")]),
        ("best-of", [(4, "end")]),
    ],
)
def test_the_controls_are_settings_of_the_same_plan(name, expected):
    schedule = {"name": name}
    rounds = plan(count=4, steps=64_000, schedule=schedule, insurance={"enabled": False}).rounds
    assert [(r.islands, r.ending) for r in rounds] == expected


def test_events_come_every_so_many_steps_of_an_island():
    rounds = plan(count=4, steps=60_000, schedule={"interval": 1000}).rounds
    assert [sum(r.stage == stage for r in rounds) for stage in (0, 1)] == [5, 10]


def test_without_a_number_it_costs_what_one_run_does():
    found = plan()
    assert found.spent(len(found.rounds)) == pytest.approx(64_000, rel=0.01)
    assert steps_of_generation(BASE) == 2


@pytest.mark.parametrize("schedule", [{}, {"name": "constant"}, {"interval": 100}])
def test_a_budget_that_is_too_small_is_refused_with_one_that_is_not(schedule):
    with pytest.raises(ConfigError, match="too few for 16 islands") as caught:
        plan(steps=1000, schedule=schedule)
    enough = int(str(caught.value).partition("at least about ")[2].split()[0].replace(",", ""))
    plan(steps=enough, schedule=schedule)


def test_a_count_that_cannot_be_halved_is_refused():
    with pytest.raises(ValueError, match="power of two"):
        plan(count=12)
    plan(count=12, schedule={"name": "constant"})
