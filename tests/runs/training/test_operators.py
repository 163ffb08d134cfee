"""Runs with a crossover, and with an adaptive choice of mutations; they resume to the bit."""

import os
import signal

import pytest

from populations.bandit import choose, improvement
from runs import evolve, load_config, resume
from runs.display.inspection import inspect_run
from runs.evaluation.held_out import RANKING, HeldOutJudge, protocol_of
from runs.sampling.opening import Choice, open_sampler
from runs.store.folder import RunFolder
from runs.store.journal import Entry, Scoring, read_journal
from runs.study.records import read_record
from tests.runs.copies import checksum, kinds, no_pictures, record

pytestmark = pytest.mark.usefixtures("without_pictures")
CROSSING = ("population.crossover=distillation", "fitness.name=iegan", "fitness.gamma=0.05")


def entries(folder) -> list[Entry]:
    lines = read_journal(RunFolder(folder).journal)
    return [line for line in lines if isinstance(line, Entry)]


@pytest.fixture(scope="module")
def crossed(points_yaml, tmp_path_factory):
    config = load_config(points_yaml, [*CROSSING, "population.survivors=2"])
    with no_pictures():
        return evolve(config, tmp_path_factory.mktemp("crossed") / "run")


def test_the_two_best_mutants_are_crossed_in_every_generation(crossed):
    for entry in entries(crossed.path):
        *mutants, crossing = entry.jobs
        assert [job.index for job in mutants] == list(range(6))
        fitness = [quality + 0.05 * distance for quality, distance in
                   (score.values for score in entry.scores[:-1])]  # fmt: skip
        best = sorted(range(6), key=lambda place: (-fitness[place], place))[:2]
        assert (crossing.index, crossing.parents) == (6, tuple(best))
        assert crossing.operator == "distillation" and entry.scores[-1].finite


def test_a_crossover_wins_at_times_and_reports_name_it(crossed):
    wins = [job.operator for entry in entries(crossed.path) for job in entry.survivors]
    assert 0 < wins.count("distillation") < len(wins)
    found = inspect_run(crossed.path)
    assert found["last"]["scores"]["6"]["crossed"] == entries(crossed.path)[-1].jobs[-1].parents
    read = read_record("crossed", 3, crossed.path)
    assert read.mutations[-1] == "distillation"
    assert read.wins[1][-1][-1] == wins.count("distillation")


def test_a_run_that_was_stopped_before_crosses_to_the_same_bits(crossed, points_yaml, tmp_path):
    overrides = [*CROSSING, "population.survivors=2", "checkpoint.every=7"]
    first = evolve(load_config(points_yaml, overrides, generations=11), tmp_path / "run")
    for snapshot in RunFolder(first.path).snapshots.glob("*11"):
        snapshot.rename(tmp_path / "lost")  # generations 7 to 10 are replayed
    again = resume(first.path, 30)
    assert again.checksum == crossed.checksum
    assert record(first.path) == record(crossed.path)


def test_a_run_that_is_killed_crosses_to_the_same_bits(
    crossed, points_yaml, start, until_lines, invoke, tmp_path
):
    folder, given = tmp_path / "run", (*CROSSING, "population.survivors=2")
    options = [part for override in given for part in ("--set", override)]
    process = start("train", points_yaml, *options, "--output", folder, PAUSE="0.05")
    until_lines(process, folder, 17)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    done = invoke("resume", folder)
    assert kinds(folder) == ["resumed"], done.output
    assert checksum(done.output) == crossed.checksum
    assert record(folder) == record(crossed.path)


@pytest.mark.long
@pytest.mark.ray
@pytest.mark.timeout(600)
def test_children_are_crossed_to_the_same_bits_on_any_number_of_workers(run, tmp_path):
    given = (*CROSSING, "generations=6", "backbone.width=8", "tracking.enabled=false")
    options = ("train", "digits", *(part for override in given for part in ("--set", override)))
    placements = {
        "local": ("--executor", "local"),
        "one": ("--executor", "ray", "--workers", "1"),
        "two": ("--executor", "ray", "--workers", "2"),
    }
    ends = {
        name: run(*options, *placement, "--output", tmp_path / name)
        for name, placement in placements.items()
    }
    assert all(done.returncode == 0 for done in ends.values()), [d.stderr for d in ends.values()]
    assert "2 Ray worker(s)" in ends["two"].stdout
    assert len({checksum(done.stdout) for done in ends.values()}) == 1
    assert record(tmp_path / "one") == record(tmp_path / "two") == record(tmp_path / "local")
    crossings = [entry for entry in entries(tmp_path / "two") if entry.jobs[-1].parents]
    assert len(crossings) == 6


@pytest.mark.parametrize(
    ("override", "reason"),
    [
        ("population.mutations=[heuristic]", "crosses two children, but heuristic of one survivor"),
        ("selection.name=random", "random ranks no children"),
    ],
)
def test_a_crossover_of_nothing_is_a_mistake(points_yaml, override, reason):
    with pytest.raises(ValueError, match=reason):
        load_config(points_yaml, [*CROSSING, override])


# ------------------------------------------------------------------------------------------- bandit

BANDIT = (
    "selection.name=bandit",
    "evaluation={every: 2, metrics: [modes], count: 100}",
    "population.survivors=2",
)


@pytest.fixture(scope="module")
def adaptive(points_yaml, tmp_path_factory):
    config = load_config(points_yaml, BANDIT)
    with no_pictures():
        return evolve(config, tmp_path_factory.mktemp("adaptive") / "run")


def scorings(folder) -> list[Scoring]:
    return [line for line in read_journal(RunFolder(folder).journal) if isinstance(line, Scoring)]


def test_between_two_scorings_one_mutation_is_used_that_follows_from_their_fitness(adaptive):
    names = load_config(RunFolder(adaptive.path).config).population.mutations
    used = [{job.operator for job in entry.jobs} for entry in entries(adaptive.path)]
    assert all(len(entry.jobs) == 2 for entry in entries(adaptive.path))
    fitness = [scoring.fitness for scoring in scorings(adaptive.path)]
    assert len(fitness) == 15 and None not in fitness
    past, arm = [], choose(3, [])
    for window in range(15):
        assert used[2 * window] == used[2 * window + 1] == {names[arm]}
        if window:  # before the first scoring nothing is known
            past.append((arm, improvement(fitness[window - 1], fitness[window])))
        arm = choose(3, past)
    assert len(set.union(*used)) == 3


def test_the_fitness_is_that_of_the_held_out_judge(adaptive):
    config = load_config(RunFolder(adaptive.path).config)
    judge = HeldOutJudge(protocol_of(config)[0], config, RANKING)
    sampler, _ = open_sampler(adaptive.path, Choice(30))
    assert scorings(adaptive.path)[-1].fitness == judge.fitness(sampler)


def test_a_run_that_was_stopped_before_chooses_the_same_mutations(adaptive, points_yaml, tmp_path):
    config = load_config(points_yaml, [*BANDIT, "checkpoint.every=4"], generations=13)
    first = evolve(config, tmp_path / "run")
    (newest,) = RunFolder(first.path).snapshots.glob("*13")
    newest.rename(tmp_path / "lost")
    again = resume(first.path, 30)
    assert again.checksum == adaptive.checksum
    assert record(first.path) == record(adaptive.path)
    found, expected = ([s.fitness for s in scorings(run.path)] for run in (first, adaptive))
    assert found == expected


@pytest.mark.parametrize(
    ("override", "reason"),
    [
        ("population.mutations=[heuristic]", "bandit needs two mutations or more"),
        ("evaluation.every=null", "bandit chooses a mutation at every scoring; set evaluation"),
        ("population.crossover=distillation", "bandit ranks no children"),
    ],
)
def test_a_bandit_without_choice_or_reward_is_a_mistake(points_yaml, override, reason):
    with pytest.raises(ValueError, match=reason):
        load_config(points_yaml, [*BANDIT, override])
