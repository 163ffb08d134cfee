"""One run of a study, its record, selection's signal in it, and the report, in this process."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from populations.individual import Score
from runs.batch.child import DONE, FAILED
from runs.store.folder import RunFolder
from runs.store.journal import Entry, read_journal, seal
from runs.study.folder import StudyFolder
from runs.study.loading import parse_study
from runs.study.records import read_outcome, read_record
from runs.study.report import report_on_folder
from runs.study.selection_signal import other_seeds, selection_signal
from runs.study.trial import run_trial
from tests.runs.copies import no_plots

pytestmark = pytest.mark.usefixtures("without_pictures")
HERE = {"executor": "local", "device": "cpu"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory, study_text):
    path = tmp_path_factory.mktemp("study")
    folder = StudyFolder(path / "small")
    with folder.lock():
        folder.keep(parse_study(study_text, "small.yaml", path))
    with no_plots():
        for strategy, seed in folder.load().trials:
            assert run_trial(folder, strategy, seed, HERE) == DONE
    return folder


def test_a_finished_run_is_not_run_again(folder):
    journal = folder.run("evolution", 0) / "journal.jsonl"
    before = journal.stat().st_mtime_ns
    assert run_trial(folder, "evolution", 0, HERE) == DONE
    assert journal.stat().st_mtime_ns == before


def test_a_record_holds_what_the_journal_says(folder):
    record = read_record("evolution", 0, folder.run("evolution", 0))
    assert (record.status, len(record.points), len(record.survivors)) == ("finished", 4, 20)
    last = record.points[-1]
    assert last.generation == 20
    assert last.spent["generator_steps"] == 60
    assert last.spent["images"] == 160
    assert last.spent["seconds"] > 0
    generations, wins = record.wins
    assert generations[-1] == 19 and wins[-1].sum() == 20
    assert len(record.children) == 60


def test_a_third_objective_is_not_in_the_picture_of_quality_and_diversity(folder, tmp_path):
    copy = tmp_path / "with-reconstruction"
    shutil.copytree(folder.run("evolution", 0), copy)
    journal = RunFolder(copy).journal
    lines = list(read_journal(journal))
    for place, line in enumerate(lines):
        if isinstance(line, Entry):
            scores = tuple(Score((*score.values, -0.5)) for score in line.scores)
            lines[place] = replace(line, scores=scores)
    with journal.open("a") as file:
        file.seek(file.truncate(journal.read_text().index("\n") + 1))
        file.writelines(seal(line.to_json()) for line in lines)
    record = read_record("evolution", 0, copy)
    usual = read_record("evolution", 0, folder.run("evolution", 0))
    assert np.array_equal(record.children, usual.children)


def test_random_choice_pays_for_one_child(folder):
    record = read_record("random", 0, folder.run("random", 0))
    assert record.points[-1].spent["generator_steps"] == 20


def test_a_run_that_never_began_is_unfinished(tmp_path):
    record = read_record("a", 0, tmp_path / "nowhere")
    assert (record.status, record.points) == ("unfinished", ())
    assert record.result("modes-pixels-100") is None


def test_a_run_that_breaks_says_how(folder, monkeypatch, capsys):
    path = folder.run("random", 1)
    outcome = read_outcome(path)
    (path / "outcome.json").unlink()

    def burst(*args, **kwargs):
        raise RuntimeError("pipe\nburst")

    monkeypatch.setattr("runs.study.trial.resume", burst)
    assert run_trial(folder, "random", 1, HERE) == FAILED
    found = read_record("random", 1, path)
    assert (found.status, found.error, found.fault) == ("failed", "pipe burst", "RuntimeError")
    assert not found.broke
    assert replace(found, fault="Diverged").broke
    monkeypatch.undo()
    assert run_trial(folder, "random", 1, HERE) == DONE  # tried again, it is as it was
    assert read_outcome(path) == outcome


def test_a_run_whose_last_snapshot_is_lost_is_tried_again(folder, tmp_path, monkeypatch):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    study = StudyFolder(tmp_path / "study")
    with study.lock():
        study.keep(folder.load())
    path = study.run("random", 0)
    with monkeypatch.context() as patched:
        patched.setattr("runs.training.saving.write_snapshot", full)
        assert run_trial(study, "random", 0, HERE) == FAILED
    assert "the last snapshot could not be written" in read_outcome(path)["error"]
    assert run_trial(study, "random", 0, HERE) == DONE
    assert read_outcome(path) == read_outcome(folder.run("random", 0))


def test_a_run_stops_when_its_seconds_are_spent(folder, tmp_path):
    text = folder.config.read_text(encoding="utf-8")
    text = text.replace("generations: 20\nscorings", "seconds: 0.05\nscorings")
    study = StudyFolder(tmp_path / "timed")
    with study.lock():
        study.keep(parse_study(text, "timed.yaml", tmp_path))
    assert study.load().budget.axis == "seconds"
    assert run_trial(study, "random", 0, HERE) == DONE
    record = read_record("random", 0, study.run("random", 0))
    assert record.status == "finished"
    assert 0 < len(record.survivors) < 2000


@pytest.mark.process
def test_a_run_does_not_outlive_its_study(own_modules, tmp_path):
    text = """
name: orphan
base: gaussians8
set: {population.mutations: ["paced:paced"], fitness.batch: 8, tracking.enabled: false}
strategies: {slow: {selection.name: egan}}
seeds: 1
budget: {generations: 20}
"""
    folder = StudyFolder(tmp_path / "study")
    with folder.lock():
        folder.keep(parse_study(text, "orphan.yaml", tmp_path))
    process = subprocess.Popen(
        [sys.executable, "-m", "runs.study.trial", str(folder.path), "slow", "0", "{}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | {"PAUSE": "60", "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert json.loads(process.stdout.readline()) == {"generation": 0}  # it evolves
    process.stdin.close()
    process.wait(10)  # far less than its generation, and than the grace that a signal gives it
    process.stdout.close()


# ----------------------------------------------------------------------------------------- signal


def test_the_signal_is_told_at_every_regular_snapshot_and_changes_nothing(folder):
    path = folder.run("evolution", 0)
    before = {f: f.stat().st_mtime_ns for f in path.rglob("*") if f.is_file()}
    found = selection_signal(path, draws=6)
    assert [one.generation for one in found] == [5, 10, 15, 20]
    assert all(0 <= one.signal.agreement <= 1 for one in found)
    assert all(one.signal.chance == pytest.approx(1 / 3) for one in found)
    assert [one.won is None for one in found] == [False, False, False, True]  # 20 chose nothing yet
    assert found == selection_signal(path, draws=6)
    assert before == {f: f.stat().st_mtime_ns for f in path.rglob("*") if f.is_file()}


def test_the_draws_are_not_the_runs_own():
    seeds = other_seeds(0, 50)
    assert len(set(seeds)) == 50 and 0 not in seeds
    assert seeds[:10] == other_seeds(0, 10)


# ----------------------------------------------------------------------------------------- report


@pytest.fixture(scope="module")
def report(folder):
    return report_on_folder(folder.path)


@pytest.mark.process
def test_the_report_stands_alone_and_begins_with_the_answer(report):
    page = report.page.read_text(encoding="utf-8")
    assert page.index("The answer") < page.index("Results") < page.index("Pictures")
    assert "At least 6 seeds are needed" in page
    assert "http://" not in page and "https://" not in page and "<script" not in page
    for name in ("final", "curves-modes", "samples", "wins", "pareto", "lineage", "signal"):
        assert f'alt="{name}"' in page
    for path, _ in report.artifacts:
        assert path.stat().st_size > 0
    text = (report.page.parent / "results.json").read_text(encoding="utf-8")
    results = json.loads(text)
    assert results["metrics"][0]["strategies"]["evolution"]["n"] == 2
    assert np.isfinite(results["runs"][0]["scorings"][-1]["values"]["modes-pixels-100"])


@pytest.mark.process
def test_the_same_runs_give_the_same_results_file(folder, report, tmp_path):
    report_on_folder(folder.path, output=tmp_path)
    for name in ("results.csv", "results.json", "selection.json"):
        assert (tmp_path / name).read_bytes() == (report.page.parent / name).read_bytes()


@pytest.mark.process
def test_another_control_leaves_the_studys_own_report_as_it_is(folder, report):
    before = report.page.read_bytes()
    other = report_on_folder(folder.path, control="random").page
    page = other.read_text("utf-8")
    assert "Every strategy with the control, random" in page and "Every pair" not in page
    assert other.parent == folder.path / "compare-with-random"
    assert report.page.read_bytes() == before
