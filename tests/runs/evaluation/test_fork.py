"""Forks, by a person and by the alarm; wherever a run is killed, resume ends in the same bits."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from runs import fork, sample
from runs.common.errors import ConfigError
from runs.display.inspection import inspect_run
from runs.store.folder import RunFolder
from runs.store.journal import Entry, Journal, Scoring, read_head, read_journal
from runs.store.snapshots import STATE, newest, snapshots
from runs.tracking.params import tags_of
from runs.training import scoring
from runs.training.continuing import evolve_or_resume
from runs.training.driver import evolve, resume
from runs.training.scoring import Scorer
from tests.runs.copies import copy_of, record

from .conftest import FORK

OLD = Path(__file__).parents[2] / "data" / "format1"
FORKS = ("run", "run-fork1", "run-fork2")


@pytest.fixture
def wanted(config):
    return config("points", evaluation__collapse=FORK)


@pytest.fixture
def same(forked, end_of):
    """Check that a run and its forks came to the undisturbed run's end, and have its record."""

    def check(place: Path) -> None:
        assert sorted(path.name for path in place.iterdir() if path.is_dir()) == list(FORKS)
        for name in FORKS:
            assert record(place / name) == record(forked.parent / name)
            assert end_of(place / name) == end_of(forked.parent / name)

    return check


def parent_of(folder: Path):
    return RunFolder(folder).load_identity().parent


# ------------------------------------------------------------------------------------- by the alarm


def test_a_collapsed_run_goes_on_from_its_best_snapshot_beside_it(forked, scorings):
    first, second = forked, forked.with_name("run-fork1")
    found = scorings(first)
    assert [(g, s.action) for g, s in found.items() if s.action] == [(25, "fork")]
    best = max(g for g, s in found.items() if s.best)
    parent = parent_of(second)
    assert (parent.run, parent.generation, parent.alarms) == (
        RunFolder(first).load_identity().run, best, 1,
    )  # fmt: skip
    state, checksum, _ = newest(second / "origin")
    assert (state.generation, checksum) == (best, newest(first / "best")[1])
    lines = [x for x in read_journal(second / "journal.jsonl") if isinstance(x, Entry)]
    assert (lines[0].generation, lines[0].checksum) == (best, checksum)


def test_a_forks_streams_are_others(forked):
    seeds = [RunFolder(forked.with_name(name)).load_config().seed for name in FORKS]
    assert len(set(seeds)) == 3
    same = [RunFolder(forked.with_name(n)).load_config().model_copy(update={"seed": 0}) for n in FORKS]  # fmt: skip  # noqa: E501
    assert same[0] == same[1] == same[2]


def test_after_so_many_forks_the_run_stops(forked, scorings):
    actions = [list(scorings(forked.with_name(name)).values())[-1].action for name in FORKS]
    assert actions == ["fork", "fork", "stop"]
    assert not forked.with_name("run-fork3").exists()


def test_parentage_is_in_config_journal_mlflow_and_inspect(forked, invoke, monkeypatch):
    monkeypatch.setattr("runs.tracking.params.git_commit", lambda: None)
    second = forked.with_name("run-fork1")
    parent = parent_of(second).model_dump(mode="json")
    assert read_head(second / "journal.jsonl")["parent"] == parent
    assert yaml.safe_load((second / "config.yaml").read_text())["parent"] == parent
    identity = RunFolder(second).load_identity()
    tags = tags_of(RunFolder(second).load_config(), identity)
    assert tags["evolution.parent"] == parent["run"]
    assert tags["evolution.parent_generation"] == str(parent["generation"])
    found = inspect_run(second)
    assert found["parent"] == parent and found["fork"].endswith("run-fork2")
    shown = invoke("inspect", second).output
    assert f"forked from generation {parent['generation']} of" in shown and "run-fork2" in shown


def test_an_alarm_that_forks_is_said(wanted, told, tmp_path):
    evolve(wanted, tmp_path / "run", told)
    assert "ends as collapsed at generation 25: kl is 1.2" in told
    assert f"going on from generation 20 in {tmp_path}/run-fork1, with other streams" in told
    assert "evaluation.collapse.forks allows 2 in a row" in told


def test_a_best_snapshot_that_cannot_be_read_ends_the_run_with_the_reason(
    wanted, tmp_path, monkeypatch
):
    keep = Scorer._keep_best

    def spoilt(scorer, exported, checksum):
        keep(scorer, exported, checksum)
        (scorer._info.folder.best / f"generation-{exported.generation:08d}" / STATE).write_bytes(
            b""
        )

    monkeypatch.setattr(Scorer, "_keep_best", spoilt)
    with pytest.raises(OSError, match=r"best snapshot, of generation 20.*is not forked"):
        evolve(wanted, tmp_path / "run")


def test_resuming_what_has_ended_changes_nothing(forked, same, tmp_path):
    shutil.copytree(forked.parent, tmp_path / "all", ignore=shutil.ignore_patterns("cache"))
    result = resume(tmp_path / "all" / "run")
    assert result.finished and result.path.name == "run-fork2"
    same(tmp_path / "all")


def test_a_folder_in_the_place_of_the_fork_is_left_alone(wanted, config, tmp_path):
    evolve(config("points", generations=2), tmp_path / "run-fork1")
    with pytest.raises(ConfigError, match="holds a run that is no fork of"):
        evolve(wanted, tmp_path / "run")


def test_a_fork_has_a_mirror_of_its_own_and_both_go_on_from_there(wanted, end_of, tmp_path):
    uri = f"file://{tmp_path}/store/run"
    checkpoint = wanted.checkpoint.model_copy(update={"mirror": uri})
    wanted = wanted.model_copy(update={"checkpoint": checkpoint})
    result = evolve(wanted, tmp_path / "here" / "run")
    assert sorted(p.name for p in (tmp_path / "store").iterdir()) == list(FORKS)
    shutil.rmtree(tmp_path / "here")
    again = resume(uri, output=tmp_path / "there" / "run")
    assert (again.path, again.checksum) == (tmp_path / "there" / "run-fork2", result.checksum)


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


def of_fork(number: int):
    return lambda folder, *rest: folder.path.name == f"run-fork{number}"


def first_line_of_fork(journal, line) -> bool:
    return journal._path.parent.name == "run-fork1" and isinstance(line, Entry)


MOMENTS = {
    "before the alarm's line": (Journal, "append", scoring_of(25), False),
    "after the alarm's line": (Journal, "append", scoring_of(25), True),
    "before the best's line": (Journal, "append", scoring_of(20), False),
    "after the best's line": (Journal, "append", scoring_of(20), True),
    "before the fork is a run": (RunFolder, "write_config", of_fork(1), False),
    "when the fork is a run": (RunFolder, "write_config", of_fork(1), True),
    "before the fork's first line": (Journal, "append", first_line_of_fork, False),
    "after the fork's first line": (Journal, "append", first_line_of_fork, True),
    "before the second fork is a run": (RunFolder, "write_config", of_fork(2), False),
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_at_any_moment_of_a_fork_a_run_is_resumed_to_the_bit(
    moment, wanted, same, tmp_path, monkeypatch
):
    owner, name, when, after = MOMENTS[moment]
    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, "discard", lambda folder: None)  # SIGKILL leaves what is there
        patch.setattr(owner, name, dying(getattr(owner, name), when, after))
        with pytest.raises(Killed):
            evolve(wanted, tmp_path / "run")
    assert resume(tmp_path / "run").finished
    same(tmp_path)


PROGRAM = """\
import os, signal, sys
import runs.training.saving
import runs.display.plots
from runs import evolve, load_config
from runs.store.folder import RunFolder

moment, config, folder = sys.argv[1:]
runs.display.plots.draw_plots = runs.training.saving.write_picture = lambda *_: None
write = RunFolder.write_config
def mortal(folder, *rest):
    due = folder.path.name == "run-fork1"
    if due and moment == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    write(folder, *rest)
    if due:
        os.kill(os.getpid(), signal.SIGKILL)
RunFolder.write_config = mortal
evolve(load_config(config), folder)
"""


@pytest.mark.long
@pytest.mark.process
@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_process_killed_around_a_fork_is_continued_by_the_same_command(
    moment, wanted, same, tmp_path
):
    (tmp_path / "config.yaml").write_text(wanted.to_yaml())
    command = [sys.executable, "-c", PROGRAM, moment, tmp_path / "config.yaml", tmp_path / "run"]
    path = os.pathsep.join([str(Path(__file__).parents[3]), os.environ.get("PYTHONPATH", "")])
    environment = os.environ | {"PYTHONPATH": path}
    done = subprocess.run(
        [*map(str, command)], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert evolve_or_resume(wanted, tmp_path / "run").finished
    shutil.rmtree(tmp_path / "cache", ignore_errors=True)
    same(tmp_path)


def test_without_its_snapshots_a_fork_goes_on_from_what_it_began_with(forked, end_of, tmp_path):
    folder = copy_of(forked.with_name("run-fork2"), tmp_path)
    shutil.rmtree(folder / "snapshots")
    expected = end_of(forked.with_name("run-fork2"))
    assert resume(folder).checksum == expected
    shutil.rmtree(folder / "snapshots")
    shutil.rmtree(folder / "origin")
    with pytest.raises(ConfigError, match="the snapshot that it began with cannot be read"):
        resume(folder)


def test_without_forks_a_lost_best_snapshot_costs_nothing(config, tmp_path, told, end_of):
    result = evolve(config("points", generations=18), tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "best")
    journal = (tmp_path / "run" / "journal.jsonl").read_text()
    assert resume(tmp_path / "run", progress=told).checksum == result.checksum
    assert (tmp_path / "run" / "journal.jsonl").read_text() == journal


def test_killed_before_the_best_was_kept_it_is_kept_on_resume(config, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(Scorer, "_keep_best", lambda *_: (_ for _ in ()).throw(Killed))
        with pytest.raises(Killed):
            evolve(config("points", generations=12), tmp_path / "run")
    resume(tmp_path / "run")
    evolve(config("points", generations=12), tmp_path / "undisturbed")
    assert newest(tmp_path / "run" / "best")[1] == newest(tmp_path / "undisturbed" / "best")[1]


def test_a_best_snapshot_that_cannot_be_written_is_a_warning(config, told, tmp_path, monkeypatch):
    def full(folder, *rest, **keywords):
        if folder.name == "best":
            raise OSError("no space left")
        return written(folder, *rest, **keywords)

    written = scoring.write_snapshot
    monkeypatch.setattr(scoring, "write_snapshot", full)
    assert evolve(config("points", generations=10), tmp_path / "run", told).finished
    assert "could not be written (no space left)" in told


# -------------------------------------------------------------------------------------- by a person


def test_a_fork_without_a_change_goes_on_as_the_run_did(long_run, tmp_path, end_of):
    result = fork(f"{long_run}@21", output=tmp_path / "fork")
    assert (result.generation, result.checksum) == (28, end_of(long_run))
    former = [line for line in record(long_run) if line.get("generation", 0) >= 21]
    assert [line for line in record(tmp_path / "fork") if "generation" in line] == [
        line for line in former if "generation" in line
    ]


def test_another_seed_or_config_makes_another_course(long_run, tmp_path, end_of):
    one = fork(f"{long_run}@21", output=tmp_path / "one", seed=9)
    two = fork(f"{long_run}@21", ["optimizer.learning_rate=0.001"], output=tmp_path / "two")
    assert len({one.checksum, two.checksum, end_of(long_run)}) == 3


def test_the_command_forks_the_best_or_the_newest_snapshot(long_run, invoke, tmp_path):
    for suffix, generation in (("@best", 20), ("", 28)):
        out = tmp_path / f"fork{generation}"
        done = invoke(
            "train", "--from", f"{long_run}{suffix}", "--seed", "5", "--output", out,
            "--set", "generations=32",
        )  # fmt: skip
        assert done.exit_code == 0, done.output
        assert parent_of(out).generation == generation and parent_of(out).alarms == 0
        assert "state at generation 32" in done.output
        again = invoke(
            "train", "--from", f"{long_run}{suffix}", "--seed", "5", "--output", out,
            "--set", "generations=32", "--resume", "auto",
        )  # fmt: skip
        assert (
            again.exit_code == 0
            and again.output.split("checksum ")[1] == (done.output.split("checksum ")[1])
        )


@pytest.mark.parametrize(
    ("place", "options", "message"),
    [
        ("@7", (), "has no snapshot of generation 7; it has: KEPT, best (20)"),
        ("@28", (), "generations: 28 leaves nothing to evolve after"),
        ("@21", ("--set", "backbone.width=9"), "does not fit this config and data"),
        ("@21", ("--set", "population.survivors=2"), "does not fit this config and data"),
        ("@21", ("--set", "data.source=digits"), "does not fit"),
        ("@21", ("--set", "colour=red"), "colour: unknown key"),
    ],
)
def test_what_cannot_be_forked_is_refused_before_anything_is_made(
    place, options, message, long_run, mistake, tmp_path
):
    said = mistake("train", "--from", f"{long_run}{place}", *options, "--output", tmp_path / "x")
    kept = ", ".join(str(s.generation) for s in snapshots(long_run / "snapshots"))
    assert message.replace("KEPT", kept) in said
    assert not (tmp_path / "x").exists()


def test_a_preset_and_a_parent_exclude_each_other(long_run, invoke):
    for arguments in (("digits", "--from", long_run), ()):
        done = invoke("train", *arguments)
        assert done.exit_code == 2 and "either a PRESET" in done.output


# -------------------------------------------------------------------------------- old rollbacks


def test_an_old_run_that_was_rolled_back_is_not_resumed_and_can_be_forked(tmp_path, mistake):
    folder = copy_of(OLD / "points", tmp_path)
    before = (folder / "journal.jsonl").read_bytes()
    message = mistake("resume", folder)
    assert "was rolled back at generation 25 by a version before 0.2" in message
    assert f"train --from {folder}@best" in message and len(message.strip().splitlines()) == 1
    assert (folder / "journal.jsonl").read_bytes() == before
    result = fork(f"{folder}@best", seed=4, output=tmp_path / "fork", generations=22)
    assert result.finished and result.generation == 22
    assert sample(folder, 4).shape == (4, 2)
    assert json.loads(RunFolder(tmp_path / "fork").config.with_name("data.json").read_text())
