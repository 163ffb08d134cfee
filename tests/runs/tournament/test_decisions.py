import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runs.config.loading import load_config
from runs.tournament.config import Tournament, TournamentConfig
from runs.tournament.decisions import Judged, decide, first_standing, seed_of
from runs.tournament.priors import wide
from runs.tournament.schedule import plan_of

BASE = load_config("gaussians25-bad")


def make(count=8, **values):
    config = TournamentConfig(base={}, count=count, genes=wide(BASE), **values)
    tournament = Tournament(config, BASE)
    return tournament, plan_of(config, BASE)


def table_of(standing, fitness, generation=100):
    return {
        life.name: Judged(generation + life.island, "c", value, "x" if math.isinf(value) else None)
        for life, value in zip(standing.living, fitness, strict=True)
    }


FITNESS = st.lists(st.one_of(st.floats(-1, 100), st.just(math.inf)), min_size=8, max_size=8).filter(
    lambda values: any(map(math.isfinite, values))
)


@settings(max_examples=50)
@given(FITNESS)
def test_at_an_event_the_worst_quarter_copies_one_of_the_best_that_is_fitter(fitness):
    tournament, plan = make()
    standing = first_standing(tournament, plan)
    table = table_of(standing, fitness)
    decision = decide(tournament, plan, 0, standing, table)
    order = sorted(range(8), key=lambda i: (fitness[i], i))
    best, worst = order[:2], order[-2:]
    copied = {life.island: life for life in decision.born}
    assert set(copied) <= set(worst)
    for loser in worst:
        fitter = [fitness[model] < fitness[loser] for model in best]
        if all(fitter):
            assert loser in copied
        if not any(fitter):
            assert loser not in copied
    for life in decision.born:
        model, _ = life.parent
        assert model in best and fitness[model] < fitness[life.island]
        assert life.generation == 100 + model and life.life == 1 and life.round == 1
        assert life.genes.keys() == standing.living[model].genes.keys()
        assert life.genes != standing.living[model].genes
    assert [life.island for life in decision.standing.living] == list(range(8))
    assert decision.dropped == ()
    assert decide(tournament, plan, 0, standing, table) == decision


@settings(max_examples=50)
@given(FITNESS)
def test_at_the_end_of_a_stage_the_better_half_stays(fitness):
    tournament, plan = make()
    standing = first_standing(tournament, plan)
    decision = decide(tournament, plan, 1, standing, table_of(standing, fitness))
    order = sorted(range(8), key=lambda i: (fitness[i], i))
    assert {life.island for life in decision.standing.living} == set(order[:4])
    assert decision.dropped == tuple(standing.living[i].name for i in order[4:])
    finite = [i for i in order if math.isfinite(fitness[i])]
    kept = decision.standing.kept
    assert (kept.life.island, kept.fitness) == (finite[0], fitness[finite[0]])


def test_a_blind_tournament_decides_the_same_whatever_the_fitness():
    tournament, plan = make(schedule={"blind": True})
    standing = first_standing(tournament, plan)
    decisions = [
        decide(tournament, plan, number, standing, table_of(standing, fitness)).to_json()
        for number in (0, 1)
        for fitness in (range(8), range(8, 0, -1))
    ]
    drop_kept = [{**each, "kept": None} for each in decisions]
    assert drop_kept[0] == drop_kept[1] and drop_kept[2] == drop_kept[3]
    assert decisions[0]["ranking"] != sorted(decisions[0]["ranking"])


def last_stage(tournament, plan):
    """Play to the last stage: an island is the fitter the higher its number."""
    standing = first_standing(tournament, plan)
    for number, this in enumerate(plan.rounds):
        if this.stage == plan.last_stage:
            return number, standing
        fitness = [10 - life.island for life in standing.living]
        standing = decide(tournament, plan, number, standing, table_of(standing, fitness)).standing
    raise AssertionError


def test_the_last_one_begins_a_life_in_which_its_rates_fall():
    for rate, decays in ((0.02, True), (None, False)):
        tournament, plan = make(count=4, schedule={"final_rate": rate})
        _, standing = last_stage(tournament, plan)
        (life,) = standing.living
        assert (life.island, life.decays) == (3, decays)
        assert (life.life, life.parent) == ((1, (3, 0)) if decays else (0, None))


@pytest.mark.parametrize("fitness", [5.0, math.inf])
def test_a_collapse_in_the_last_stage_goes_on_from_the_state_that_was_kept(fitness):
    tournament, plan = make(count=4, insurance={"checks": 4, "factor": 2.0})
    number, standing = last_stage(tournament, plan)
    standing = replace(standing, kept=replace(standing.kept, fitness=1.0, generation=77))
    for good in (0.5, 1.5, 2.0):  # twice the best, and what the noise of 1,024 samples allows
        calm = decide(tournament, plan, number, standing, table_of(standing, [good]))
        assert calm.alarm is None and calm.born == ()
    decision = decide(tournament, plan, number, standing, table_of(standing, [fitness]))
    (life,) = decision.standing.living
    assert decision.alarm and decision.born == (life,)
    assert (life.generation, life.kept, life.decays) == (77, True, True)
    assert life.parent == standing.kept.life.key
    assert seed_of(tournament, life) != seed_of(tournament, standing.living[0])
    off, _ = make(count=4, insurance={"checks": 4, "enabled": False})
    assert decide(off, plan, number, standing, table_of(standing, [fitness])).alarm is None


def test_every_life_has_streams_of_its_own():
    tournament, plan = make()
    lives = first_standing(tournament, plan).living
    seeds = {seed_of(tournament, replace(life, life=n)) for life in lives for n in range(4)}
    assert len(seeds) == 32
    other = Tournament(tournament.config, BASE.model_copy(update={"seed": 1}))
    assert seed_of(other, lives[0]) not in seeds
    assert first_standing(other, plan).living[1].genes != lives[1].genes
