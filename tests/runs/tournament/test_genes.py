import math

import numpy as np
import pytest

from runs.common.errors import ConfigError
from runs.config.loading import load_config
from runs.tournament.genes import (
    GeneConfig,
    check_keys,
    first_genes,
    genes_of,
    next_genes,
)


def stream(seed=0):
    return np.random.default_rng(seed)


def drawn(gene: dict, given, count=16, seed=0):
    found = first_genes({"key": GeneConfig(**gene)}, {"key": given}, count, stream(seed))
    return [genes["key"] for genes in found]


def test_the_first_island_keeps_the_configs_own_settings():
    assert drawn({"log": 0.3}, 0.002)[0] == 0.002
    assert drawn({"log": 0.3}, 0.002) == drawn({"log": 0.3}, 0.002)
    assert drawn({"log": 0.3}, 0.002) != drawn({"log": 0.3}, 0.002, seed=1)


def test_a_start_is_spread_evenly_as_a_normal_distribution_of_the_logarithm():
    logs = np.log(drawn({"log": 0.3, "start": 0.5}, 0.002, count=257)[1:]) - np.log(0.002)
    expected = [0.5 * math.sqrt(2) * _erfinv(2 * (i + 0.5) / 256 - 1) for i in range(256)]
    assert np.sort(logs) == pytest.approx(expected, abs=0.15)


def _erfinv(y):
    """By bisection."""
    low, high = -6.0, 6.0
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if math.erf(middle) < y else (low, middle)
    return low


def test_every_value_to_begin_with_has_its_share_of_the_islands():
    values = drawn({"log": 0.1, "from": [0.0, 0.01, 1.0, 100.0], "start": 0.2}, 0.5, count=16)[1:]
    shares = [sum(at / 3 <= v <= 3 * at for v in values) for at in (0.0, 0.01, 1.0, 100.0)]
    assert sorted(shares) == [3, 4, 4, 4]  # the first island has the config's
    choices = drawn({"choices": ["a", "b"]}, "a", count=16)
    assert choices.count("a") in (8, 9)


def test_values_stay_within_their_bounds():
    values = drawn({"linear": 1.0, "low": 0.0, "high": 0.9}, 0.5, count=64)
    assert min(values) == 0.0 and max(values) == 0.9


def test_a_step_has_the_given_spread():
    gene = {"rate": GeneConfig(log=0.3), "beta": GeneConfig(linear=0.1)}
    given = {"rate": 0.01, "beta": 0.5}
    source = stream()
    steps = [next_genes(gene, given, given, source) for _ in range(4000)]
    assert np.std(np.log([s["rate"] for s in steps])) == pytest.approx(0.3, rel=0.05)
    assert np.std([s["beta"] for s in steps]) == pytest.approx(0.1, rel=0.05)


def test_a_choice_is_drawn_anew_now_and_then_and_zero_is_left_by_a_new_draw_alone():
    source = stream()
    weight = GeneConfig.model_validate({"log": 0.6, "from": [0, 1], "redraw": 0.2})
    gene = {"m": GeneConfig(choices=("a", "b")), "r": weight}
    given = {"m": "a", "r": 0.0}
    steps = [next_genes(gene, given, given, source) for _ in range(4000)]
    assert np.mean([s["m"] == "b" for s in steps]) == pytest.approx(0.15 / 2, abs=0.02)
    assert np.mean([s["r"] > 0 for s in steps]) == pytest.approx(0.2 / 2, abs=0.02)


@pytest.mark.parametrize(
    ("key", "said"),
    [("backbone.width", "must fit"), ("seed", "must fit"), ("population.survivors", "must fit")],
)
def test_what_a_copied_state_is_made_of_is_no_gene(key, said):
    with pytest.raises(ConfigError, match=said):
        check_keys({key: GeneConfig(log=1)})


@pytest.mark.parametrize("key", ["optimizer.rate", "optimizer.betas.7", "optimizer.betas.x"])
def test_unknown_keys_are_named(key):
    with pytest.raises(ConfigError, match=f"genes.{key}: the config has no such key"):
        genes_of(load_config("digits"), {key: GeneConfig(log=1)})


@pytest.mark.parametrize(
    ("genes", "said"),
    [
        ("far", "no prior 'far'"),
        ("{optimizer.learning_rate: {log: 1, linear: 1}}", "one of log, linear and choices"),
        ("{optimizer.learning_rate: {}}", "one of log, linear and choices"),
        ("{optimizer.learning_rate: [0.1]}", "at least two"),
        ("{population.mutations: {log: 1}}", "no number that could be changed"),
        ("{optimizer.eps: {linear: 1, low: 2, high: 1}}", "more than high"),
    ],
)
def test_genes_that_make_no_sense_are_refused(tiny, genes, said):
    with pytest.raises(ConfigError, match=said):
        tiny(genes=genes)


def test_a_list_is_short_for_choices_such_as_strategies(tiny):
    tournament = tiny(genes="{population.mutations: [[heuristic], [minimax, heuristic]]}")
    gene = tournament.prior["population.mutations"]
    assert gene.choices == (["heuristic"], ["minimax", "heuristic"])
