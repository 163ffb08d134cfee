"""Soups and mixtures of a run's generators, beside slow references."""

import itertools
import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from fitness.metrics.mmd import unbiased_mmd
from populations.selection import all_jobs
from runs import evolve, load_config, sample
from runs.common.errors import ConfigError
from runs.evaluation.held_out import RANKING, VERDICT, HeldOutJudge, Protocol, protocol_of
from runs.evaluation.mixing import Mixed, best_weights, mix_survivors
from runs.evaluation.soup import Soup, ancestors, greedy, make_soup
from runs.sampling.mixture import Mixture
from runs.sampling.opening import Choice, open_sampler
from runs.store.folder import RunFolder
from runs.store.journal import Entry, read_journal
from runs.store.snapshots import snapshots

OVERRIDES = (
    "population.survivors=3",
    "population.crossover=distillation",
    "selection.name=nsga2",
    "population.average=0.5",
    "optimizer.learning_rate=0.01",
    "checkpoint.every=3",
    "checkpoint.keep=9",
)


@pytest.fixture(scope="module")
def several(points_yaml, tmp_path_factory) -> RunFolder:
    """A run with three survivors and ten snapshots, nine of them kept."""
    config = load_config(points_yaml, OVERRIDES)
    return RunFolder(evolve(config, tmp_path_factory.mktemp("several") / "run").path)


@pytest.fixture(scope="module")
def soup(several) -> Soup:
    return make_soup(several.path)


@pytest.fixture(scope="module")
def mixed(several) -> Mixed:
    return mix_survivors(several, Choice("newest"))


def test_the_ancestors_are_those_that_the_journal_tells_of_from_the_beginning(several):
    config = several.load_config()
    grid = all_jobs(config.population.operators, 3)
    lines = [[place] for place in range(3)]  # of each parent: the places of its ancestors
    for entry in (line for line in read_journal(several.journal) if isinstance(line, Entry)):
        parents = []
        for job in entry.survivors:
            first = job if len(job.parents) == 1 else grid[job.parents[0]]
            parents.append(first.parents[0])
        lines = [[*lines[parent], place] for place, parent in enumerate(parents)]
    generations = [snapshot.generation for snapshot in reversed(snapshots(several.snapshots))]
    assert generations == list(range(6, 31, 3))
    expected = {generation: lines[0][generation] for generation in generations}
    assert ancestors(several, config, generations) == expected
    assert set(expected.values()) != {0}, "the line was not always the best one"


def test_a_soup_takes_what_makes_it_better_and_is_the_mean_of_its_members(several, soup):
    config = several.load_config()
    places = ancestors(several, config, soup.tried)
    samplers = {g: open_sampler(several.path, Choice(g, places[g]))[0] for g in soup.tried}
    judge = HeldOutJudge(protocol_of(config)[0], config, RANKING)

    def mean(members):
        params = torch.stack([samplers[g].weights["generator"].params for g in members])
        return params.double().mean(0)

    def fitness(members):
        sampler = samplers[members[0]]
        weights = sampler.weights["generator"]
        sampler.weights["generator"] = type(weights)(mean(members).float(), weights.buffers)
        found = judge.fitness(sampler)
        sampler.weights["generator"] = weights
        return found

    alone = {g: judge.fitness(sampler) for g, sampler in samplers.items()}
    order = sorted(alone, key=alone.get)
    members, best = [order[0]], alone[order[0]]
    for generation in order[1:]:
        if (value := fitness([*members, generation])) <= best:
            members, best = [*members, generation], value
    assert soup.members == tuple(members)
    assert soup.fitness[0] == pytest.approx(best, rel=1e-4)
    assert soup.alone[0] == alone[order[0]] >= soup.fitness[0]
    assert torch.allclose(
        soup.sampler.weights["generator"].params.double(), mean(members), atol=1e-6
    )


def test_of_networks_around_the_best_those_on_both_sides_are_averaged(several):
    sampler, _ = open_sampler(several.path)
    best = sampler.weights["generator"]

    def moved(distance):
        return replace(sampler, weights={"generator": replace(best, params=best.params + distance)})

    class Judge:
        def fitness(self, candidate):
            return float((candidate.weights["generator"].params - best.params).abs().max())

    # 1, then (1 - 2) / 2; with 3 the mean would be 2/3, with 3.5 it would be 5/6.
    members, soup, fitness, alone = greedy(Judge(), list(map(moved, (3, -2, 1, 3.5))))
    assert members == [2, 1]
    assert alone == pytest.approx(1, abs=1e-5) and fitness == pytest.approx(0.5, abs=1e-5)
    expected = best.params - 0.5
    assert torch.allclose(soup.weights["generator"].params, expected, atol=1e-5)


def test_the_command_writes_a_generator_that_can_be_sampled(several, soup, invoke, tmp_path):
    out = tmp_path / "soup"
    done = invoke("soup", several.path, "--out", out)
    assert done.exit_code == 0, done.output
    told = json.loads((out / "soup.json").read_text())
    assert f"the average of {len(told['members'])} of 9 snapshots" in done.output
    assert np.array_equal(sample(out, 20, 5), soup.sampler(20, 5))
    again = invoke("soup", several.path, "--out", out)
    assert again.exit_code == 2 and "it exists already" in again.output


def test_a_single_snapshot_and_a_single_survivor_are_not_enough(points_run, invoke, tmp_path):
    folder = points_run
    done = invoke("sample", folder, "--mixture", "--out", tmp_path / "a.png")
    assert done.exit_code == 2 and "of 2 to 10 survivors, and the run keeps 1" in done.output
    copy = tmp_path / "copy"
    copy.mkdir()
    for name in ("config.yaml", "data.json", "journal.jsonl"):
        (copy / name).write_bytes((folder / name).read_bytes())
    done = invoke("soup", copy, "--out", tmp_path / "b")
    assert done.exit_code == 2 and "has 0 snapshot(s)" in done.output
    assert not (tmp_path / "b").exists()


# ---------------------------------------------------------------------------------------- mixtures


@pytest.mark.parametrize("seed", range(6))
def test_the_weights_are_no_worse_than_any_on_a_fine_grid(seed):
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(3, 4))
    similar, with_reals = root @ root.T, rng.normal(size=3)

    def value(w):
        return w @ similar @ w - 2 * w @ with_reals

    found = best_weights(similar, with_reals)
    assert found.min() >= 0 and found.sum() == pytest.approx(1)
    steps = np.linspace(0, 1, 41)
    grid = [np.array([a, b, 1 - a - b]) for a, b in itertools.product(steps, steps) if a + b <= 1]
    assert value(found) <= min(map(value, grid)) + 1e-12


def test_equal_generators_are_one_generator():
    assert best_weights(np.ones((2, 2)), np.ones(2)).tolist() == [1.0, 0.0]


def test_a_mixtures_fitness_is_quadratic_in_its_weights(several, mixed):
    config = several.load_config()
    judge = HeldOutJudge(protocol_of(config)[0], config, RANKING)
    samplers = [open_sampler(several.path, Choice("newest", place))[0] for place in range(3)]
    similar, with_reals = judge.similarities(samplers)
    for place, sampler in enumerate(samplers):
        own = judge._within + similar[place, place] - 2 * with_reals[place]
        assert judge.fitness(sampler) == pytest.approx(float(own), abs=1e-9)
    drawn = [next(iter(s.batches(256, 1))) for s in samplers[:2]]
    assert not torch.equal(*drawn)
    assert sum(mixed.sampler.shares) == pytest.approx(1)
    assert mixed.fitness == HeldOutJudge(protocol_of(config)[0], config, VERDICT).fitness(
        mixed.sampler
    )


def test_each_sample_is_one_members_and_depends_on_its_number_alone(several):
    members = tuple(open_sampler(several.path, Choice("newest", place))[0] for place in range(3))
    mixture = Mixture.of(members, (0.5, 0.0, 0.5))
    made, alone = mixture(600, 7), [member(600, 7) for member in members]
    whose = [[place for place in range(3) if np.array_equal(row, alone[place][i])]
             for i, row in enumerate(made)]  # fmt: skip
    first, last = ([places == [place] for places in whose] for place in (0, 2))
    assert sum(first) + sum(last) == 600 and 240 < sum(first) < 360
    assert np.array_equal(mixture(300, 7), made[:300])
    assert not np.array_equal(mixture(300, 8), made[:300])


def test_the_command_draws_from_the_mixture(several, mixed, invoke, tmp_path):
    out = tmp_path / "points.npz"
    done = invoke("sample", several.path, "--mixture", "--count", 50, "--out", out)
    assert done.exit_code == 0, done.output
    assert "mixture of survivors 0: " in done.output
    assert np.array_equal(np.load(out)["points"], mixed.sampler(50, 0))
    done = invoke("sample", several.path, "--mixture", "--survivor", 1, "--out", out)
    assert done.exit_code == 2 and "leave --survivor out" in done.output


# --------------------------------------------------------------------------------------- the judge


def test_kid_needs_features(several):
    with pytest.raises(ConfigError, match="kid compares features of images, and the data are poi"):
        HeldOutJudge(Protocol(0, 64, 64, metric="kid"), several.load_config(), RANKING)


def test_kid_is_the_cubic_mmd_of_the_features(images_yaml):
    config = load_config(images_yaml, ["data.held_out=200"])
    judge = HeldOutJudge(Protocol(0, 64, 90, "pixels", "kid"), config, VERDICT)
    assert len(judge._reals) == 30  # a third as many

    class Zeros:
        def batches(self, count, seed):
            yield torch.zeros(count, 1, 8, 8, dtype=torch.uint8)

    def cubic(product, x, y):
        return (product / 64 + 1) ** 3

    made = judge._features(torch.zeros(64, 1, 8, 8, dtype=torch.uint8))
    expected = unbiased_mmd(judge._reals, made, cubic)
    assert math.isclose(judge.fitness(Zeros()), expected, rel_tol=1e-9)
