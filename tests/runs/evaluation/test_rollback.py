"""Rolling back to the best snapshot; wherever a run is killed, resume ends in the same bits."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from populations.executors.base import WorkerLost
from populations.population import Population
from runs.store.folder import RunFolder
from runs.store.journal import Journal, Scoring
from runs.store.replay import read_origin, read_past
from runs.store.snapshots import STATE, newest, snapshots
from runs.training import driver
from runs.training.driver import Run, evolve, resume

from .conftest import ROLLBACK

# Scored 5 to 20 better and better; 25, 30, 35 are alarms; 45 to 55 are the best; 60 is an alarm.
ALARMS, BESTS = [25, 30, 35, 60], [5, 10, 15, 20, 45, 50, 55]


@pytest.fixture
def wanted(config):
    return config("points", evaluation__collapse=ROLLBACK)


@pytest.fixture
def same(rolled_back, record, end_of):
    """Check that a run came to the undisturbed run's end, and has its record."""

    def check(folder: Path) -> None:
        assert end_of(folder) == end_of(rolled_back)
        assert record(folder) == record(rolled_back)
        assert newest(folder / "best")[1] == newest(rolled_back / "best")[1]

    return check


def cut(folder: Path, lines: int) -> None:
    """Leave the first lines of a journal."""
    journal = folder / "journal.jsonl"
    journal.write_text("".join(journal.read_text().splitlines(keepends=True)[:lines]))


def lines_before(folder: Path, generation: int) -> int:
    """Return how many lines stand before a generation's scoring."""
    text = (folder / "journal.jsonl").read_text().splitlines()
    return next(n for n, line in enumerate(text) if line.startswith(f'{{"scoring":{generation},'))


def keep_snapshots(folder: Path, at_most: int) -> None:
    for snapshot in snapshots(folder / "snapshots"):
        if snapshot.generation > at_most:
            shutil.rmtree(snapshot.path)


# ------------------------------------------------------------------------------------- what it does


def test_the_run_rolls_back_at_every_alarm_and_goes_on(rolled_back, scorings):
    found = scorings(rolled_back)
    assert [g for g, s in found.items() if s.action == "rollback"] == ALARMS
    assert [g for g, s in found.items() if s.best] == BESTS


def test_after_a_rollback_the_state_is_the_bests_with_the_generation_going_on(wanted, tmp_path):
    result = evolve(wanted.model_copy(update={"generations": 25}), tmp_path / "run")
    state, _, _ = newest(result.path / "snapshots")
    best, _, _ = newest(result.path / "best")
    assert (state.generation, best.generation) == (25, 20)
    assert state.steps == best.steps and state.arrays.keys() == best.arrays.keys()
    assert all(np.array_equal(state.arrays[name], best.arrays[name]) for name in best.arrays)


def test_other_seeds_follow_than_those_that_led_to_the_collapse(rolled_back, record):
    lines = {line["generation"]: line for line in record(rolled_back) if "generation" in line}
    assert lines[20]["scores"] != lines[25]["scores"]  # both start from the state of 20


def test_a_rollback_is_said(wanted, told, tmp_path):
    evolve(wanted.model_copy(update={"generations": 25}), tmp_path / "run", told)
    assert "alarm at generation 25: kl is 1.2" in told
    assert "going on from the best snapshot" in told


def test_a_best_snapshot_that_cannot_be_read_ends_the_run_and_resume_makes_it_again(
    wanted, same, tmp_path, monkeypatch
):
    keep = Run._keep_best

    def spoilt(run, exported, checksum):
        keep(run, exported, checksum)
        if exported.generation == 20:
            (run._folder.best / "generation-00000020" / STATE).write_bytes(b"")

    with monkeypatch.context() as patch:
        patch.setattr(Run, "_keep_best", spoilt)
        with pytest.raises(OSError, match=r"best snapshot, of generation 20.*resume"):
            evolve(wanted, tmp_path / "run")
    resume(tmp_path / "run")
    same(tmp_path / "run")


def test_a_best_snapshot_that_cannot_be_written_is_a_warning(config, told, tmp_path, monkeypatch):
    def full(folder, *rest, **keywords):
        if folder.name == "best":
            raise OSError("no space left")
        return written(folder, *rest, **keywords)

    written = driver.write_snapshot
    monkeypatch.setattr(driver, "write_snapshot", full)
    assert evolve(config("points", generations=10), tmp_path / "run", told).finished
    assert "could not be written (no space left)" in told


# ------------------------------------------------------------------------------- killed and resumed


class Killed(BaseException):
    """Ends a run as SIGKILL does: nothing catches it, and nothing more is written."""


def dying(function, when, after: bool):
    """Return a function that ends the process when its arguments say so."""

    def wrapped(*arguments, **keywords):
        if when(*arguments) and not after:
            raise Killed
        value = function(*arguments, **keywords)
        if when(*arguments):
            raise Killed
        return value

    return wrapped


def scoring_of(generation: int):
    return lambda journal, line: isinstance(line, Scoring) and line.generation == generation


def snapshot_of(folder: str, generation: int):
    return lambda path, state, *rest: path.name == folder and state.generation == generation


MOMENTS = {
    "before the alarm's line": (Journal, "append", scoring_of(25), False),
    "after the alarm's line": (Journal, "append", scoring_of(25), True),
    "with the state replaced": (Population, "replace", lambda p, e: e.generation == 25, True),
    "before the snapshot": (
        driver,
        "write_snapshot",
        snapshot_of("snapshots", 25),
        False,
    ),
    "after the snapshot": (
        driver,
        "write_snapshot",
        snapshot_of("snapshots", 25),
        True,
    ),
    "after the second alarm's line": (Journal, "append", scoring_of(30), True),
    "after an alarm at a checkpoint": (Journal, "append", scoring_of(35), True),
    "before the best's line": (Journal, "append", scoring_of(45), False),
    "after the best's line": (Journal, "append", scoring_of(45), True),
    "after the best": (driver, "write_snapshot", snapshot_of("best", 45), True),
    "after the last alarm's line": (Journal, "append", scoring_of(60), True),
}


QUICK = ("before the alarm's line", "after the alarm's line", "before the snapshot",
         "after the snapshot", "after the best's line")  # fmt: skip


@pytest.mark.parametrize(
    "moment", [m if m in QUICK else pytest.param(m, marks=pytest.mark.long) for m in MOMENTS]
)
def test_a_run_killed_at_any_moment_of_a_scoring_is_resumed_to_the_bit(
    moment, wanted, same, tmp_path, monkeypatch
):
    owner, name, when, after = MOMENTS[moment]
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, dying(getattr(owner, name), when, after))
        with pytest.raises(Killed):
            evolve(wanted, tmp_path / "run")
    assert resume(tmp_path / "run").finished
    same(tmp_path / "run")


PROGRAM = """\
import os, signal, sys
import runs.training.driver
from populations.population import Population
from runs import evolve, load_config
from runs.store.journal import Journal, Scoring

def kill(*_): os.kill(os.getpid(), signal.SIGKILL)

moment, config, folder = sys.argv[1:]
runs.training.driver.draw_plots = runs.training.driver.save_samples = lambda *_: None
if moment == "during":
    Population.replace = kill
else:
    append = Journal.append
    def mortal(journal, line):
        due = isinstance(line, Scoring) and line.action == "rollback" and line.generation == 30
        if due and moment == "before":
            kill()
        append(journal, line)
    Journal.append = mortal
    if moment == "after":
        restart = Population.replace
        def replace(population, exported):
            restart(population, exported)
            population.settle = lambda: kill()
        Population.replace = replace
evolve(load_config(config), folder)
"""


@pytest.mark.long
@pytest.mark.parametrize("moment", ["before", "during", "after"])
def test_a_process_killed_around_a_rollback_is_resumed_to_the_bit(moment, wanted, same, tmp_path):
    (tmp_path / "config.yaml").write_text(wanted.to_yaml())
    command = [sys.executable, "-c", PROGRAM, moment, tmp_path / "config.yaml", tmp_path / "run"]
    path = os.pathsep.join([str(Path(__file__).parents[3]), os.environ.get("PYTHONPATH", "")])
    environment = os.environ | {"PYTHONPATH": path}
    done = subprocess.run(
        [*map(str, command)], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert resume(tmp_path / "run").finished
    same(tmp_path / "run")


# ------------------------------------------------------------------------------ damaged and resumed


def test_a_damaged_newest_snapshot_makes_resume_cross_the_rollbacks_again(
    wanted, same, tmp_path, told
):
    folder = tmp_path / "run"
    evolve(wanted.model_copy(update={"generations": 32}), folder)
    for snapshot in snapshots(folder / "snapshots"):
        if snapshot.generation >= 25:
            (snapshot.path / STATE).write_bytes(b"damaged")
    resume(folder, generations=60, progress=told)
    assert "the rollback at generation 25 is made again" in told
    same(folder)


def test_the_best_of_a_later_time_is_not_taken_for_the_one_of_then(
    rolled_back, same, tmp_path, told
):
    """Without snapshots the rollback at 25 is crossed again; the best of 20 is long replaced."""
    folder = shutil.copytree(rolled_back, tmp_path / "run")
    keep_snapshots(folder, 0)
    resume(folder, progress=told)
    assert "what was scored at generation 20 is lost" in told
    same(folder)


def test_a_lost_best_snapshot_is_made_again(rolled_back, same, tmp_path, told):
    folder = shutil.copytree(rolled_back, tmp_path / "run")
    shutil.rmtree(folder / "best")
    resume(folder, progress=told)
    assert "what was scored at generation 55 is lost; the run goes on from 55" in told
    same(folder)


def test_a_damaged_line_of_a_rollback_is_made_again(rolled_back, same, tmp_path):
    folder = shutil.copytree(rolled_back, tmp_path / "run")
    journal = folder / "journal.jsonl"
    lines = journal.read_text().splitlines(keepends=True)
    place = lines_before(folder, 30)
    lines[place] = lines[place].replace("rollback", "rollbock")
    journal.write_text("".join(lines))
    resume(folder)
    same(folder)


CUTS = [(2, 0), (28, 25), (36, 28), (71, 56)]


@pytest.mark.parametrize(("lines", "newest_kept"), CUTS)
def test_a_journal_cut_anywhere_is_continued_to_the_same_end(
    rolled_back, same, tmp_path, lines, newest_kept
):
    folder = shutil.copytree(rolled_back, tmp_path / "run")
    cut(folder, lines)
    keep_snapshots(folder, newest_kept)
    resume(folder)
    same(folder)


@pytest.mark.long
@pytest.mark.parametrize("lines", range(0, 73, 3))
def test_a_journal_cut_anywhere_without_a_snapshot_is_continued_to_the_same_end(
    rolled_back, same, tmp_path, lines
):
    folder = shutil.copytree(rolled_back, tmp_path / "run")
    cut(folder, lines)
    keep_snapshots(folder, 0)
    resume(folder)
    same(folder)


def test_without_rollbacks_a_lost_best_snapshot_costs_nothing(config, tmp_path, told, end_of):
    result = evolve(config("points", generations=18), tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "best")
    journal = (tmp_path / "run" / "journal.jsonl").read_text()
    assert resume(tmp_path / "run", progress=told).checksum == result.checksum
    assert (tmp_path / "run" / "journal.jsonl").read_text() == journal
    assert "is lost" not in told, told.lines


def test_killed_before_the_best_was_kept_it_is_kept_on_resume(config, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(Run, "_keep_best", lambda *_: (_ for _ in ()).throw(Killed))
        with pytest.raises(Killed):
            evolve(config("points", generations=12), tmp_path / "run")
    resume(tmp_path / "run")
    evolve(config("points", generations=12), tmp_path / "undisturbed")
    assert newest(tmp_path / "run" / "best")[1] == newest(tmp_path / "undisturbed" / "best")[1]


# ------------------------------------------------------------------------ what a past comes down to


def test_the_past_of_a_whole_run_has_all_its_scorings(rolled_back, wanted):
    past = read_past(RunFolder(rolled_back), wanted.evaluation)
    assert (past.end, past.scored, past.rollback, past.notes) == (60, 60, None, ())
    assert [scoring.generation for scoring in past.scorings] == list(range(5, 61, 5))


def test_lost_workers_cannot_be_made_again_across_a_rollback(rolled_back, tmp_path):
    folder = RunFolder(Path(shutil.copytree(rolled_back, tmp_path / "run")))
    keep_snapshots(folder.path, 0)
    with pytest.raises(WorkerLost, match="rollback at generation 25"):
        read_origin(folder)
