"""Tournaments as strategies of a study, each played in this process."""

import json

import pytest

from runs.batch.child import DONE
from runs.common.errors import ConfigError
from runs.store.budgets import AXES
from runs.study.folder import StudyFolder
from runs.study.loading import parse_study
from runs.study.records import read_record
from runs.study.report import report_on_folder
from runs.study.tournament_records import with_course
from runs.study.trial import run_trial
from runs.tournament.history import read_history
from runs.tournament.islands import TournamentFolder

TEXT = """
name: small
base: gaussians25-bad
set:
  backbone: {width: 8, depth: 1}
  evaluation: {metrics: [modes, kl], count: 100, best: kl}
  tracking.enabled: false
strategies:
  tournament: {tournament: {count: 2, genes: wide, judge: {samples: 32, reals: 64}}}
  best-of: {tournament: {count: 2, judge: {samples: 32, reals: 64}}}
  decay:
seeds: 1
budget: {steps: 200}
scorings: 4
metrics: [kl, modes]
"""
HERE = {"executor": "local", "device": "cpu"}


def study(tmp_path, **changes):
    text = TEXT
    for before, after in changes.values():
        assert before in text
        text = text.replace(before, after)
    return parse_study(text, "small.yaml", tmp_path)


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    """The folder of the study after all of its trials."""
    path = tmp_path_factory.mktemp("study")
    folder = StudyFolder(path / "study")
    with folder.lock():
        folder.keep(parse_study(TEXT, "small.yaml", path))
    for strategy in ("tournament", "best-of", "decay"):
        assert run_trial(folder, strategy, 0, HERE) == DONE
    return folder


def record(folder, strategy):
    path = folder.run(strategy, 0)
    return with_course(read_record(strategy, 0, path), TournamentFolder(path))


def test_built_in_strategies_are_settings_of_one_tournament(tmp_path):
    found = study(tmp_path).tournaments
    assert set(found) == {"tournament", "best-of"}
    assert found["best-of"].config.schedule.name == "best-of"
    assert found["best-of"].config.count == 2 and found["best-of"].config.steps == 200
    names = "strategies: {blind: {tournament: {count: 4}}, decay: }\nseeds:"
    head, _, tail = TEXT.replace("steps: 200", "steps: 2000").partition("strategies:")
    other = parse_study(head + names + tail.partition("seeds:")[2], "b", tmp_path)
    assert other.tournaments["blind"].config.schedule.blind
    assert other.tournaments["blind"].config.count == 4


def test_one_run_decays_over_the_whole_budget(tmp_path):
    config = study(tmp_path).configs["decay"]
    assert config.generations == 100
    assert config.optimizer.at(100 * 32).learning_rate == pytest.approx(0.02 * 0.003)
    assert config.optimizer.at(50 * 32).learning_rate == pytest.approx(0.51 * 0.003)


def test_every_axis_counts_all_islands_and_all_judgements(played):
    history = read_history(TournamentFolder(played.run("tournament", 0)))
    last = record(played, "tournament").points[-1]
    assert set(last.spent) == set(AXES)
    generations = sum(
        c.points[-1].generation - c.life.generation for c in history.courses if c.points
    )
    judged = sum(len(line.table) for line in history.lines) + 2
    assert last.spent["generations"] == last.spent["discriminator_updates"] == generations
    assert last.spent["images"] == 32 * generations
    assert last.spent["generator_steps"] == generations + judged
    assert 2 * generations + judged <= last.spent["steps"] <= 200
    assert last.spent["seconds"] > 0


def test_what_is_spent_grows_and_the_winner_is_the_last_point(played):
    found = record(played, "tournament")
    assert found.status == "finished" and found.picture.is_file()
    for axis in AXES:
        amounts = [point.spent[axis] for point in found.points]
        assert amounts == sorted(amounts)
    result = json.loads((played.run("tournament", 0) / "result.json").read_text())
    assert found.points[-1].values == pytest.approx(result["metrics"])
    assert found.result("kl-pixels-100") == result["metrics"]["kl-pixels-100"]


@pytest.mark.process  # the report asks git for the commit
def test_runs_and_tournaments_are_compared(played, tmp_path):
    report = report_on_folder(played.path, output=tmp_path)
    rows = {name: s.n for name, s in report.comparison.metrics[0].summaries.items()}
    assert rows == {"tournament": 1, "best-of": 1, "decay": 1}
    assert "schedule:" in report.page.read_text()


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("{steps: 200}", "{generations: 200}", "limited by optimiser steps"),
        ("{steps: 200}", "{steps: 20}", "too few for 2 islands"),
        ("count: 2, genes: wide", "steps: 7", "without base and steps"),
        ("count: 2, genes: wide", "genes: far", "no prior 'far'"),
        ("decay:\n", "decay: {decay: [1]}\n", "strategies.decay.decay"),
    ],
)
def test_what_cannot_be_played_is_refused(tmp_path, before, after, said):
    with pytest.raises(ConfigError, match=said):
        study(tmp_path, change=(before, after))


def test_another_tournament_does_not_go_on_in_the_folder(played, tmp_path):
    other = study(tmp_path, change=("count: 2, genes: wide", "count: 2, genes: near"))
    with pytest.raises(ConfigError, match="strategy tournament: tournament"), played.lock():
        played.keep(other)
