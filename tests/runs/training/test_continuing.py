"""`train --resume auto`: one command begins a run, continues it, and leaves it when it ended."""

import shutil
from pathlib import Path
from threading import Timer

import pytest
import yaml

from runs.common.lock import RunLock
from runs.store.folder import RunFolder
from runs.store.journal import Entry, read_journal
from runs.store.snapshots import snapshots
from tests.runs.copies import checksum, copy_of, interrupted

pytestmark = pytest.mark.usefixtures("without_pictures")


def generations(folder: Path) -> list[int]:
    lines = (item for item in read_journal(folder / "journal.jsonl") if isinstance(item, Entry))
    return [line.generation for line in lines]


def test_one_command_begins_continues_and_leaves_a_run(points_run, points_yaml, invoke, tmp_path):
    begin = ("train", points_yaml, "--resume", "auto", "--output")
    first = invoke(*begin, tmp_path / "new")
    assert first.exit_code == 0 and checksum(first.output) == points_run[1]
    folder = interrupted(points_run[0], tmp_path, 17)
    done = invoke(*begin, folder)
    assert done.exit_code == 0 and "resumed at generation 17" in done.output
    assert checksum(done.output) == points_run[1]
    assert generations(folder) == list(range(30))
    again = invoke(*begin, folder)
    assert again.exit_code == 0 and checksum(again.output) == points_run[1]
    assert generations(folder) == list(range(30))


@pytest.mark.parametrize("command", ["train", "resume"])
def test_a_run_that_has_ended_needs_no_worker_no_data_and_writes_nothing(
    command, points_run, points_yaml, invoke, monkeypatch, tmp_path
):
    folder = copy_of(points_run[0], tmp_path)
    for plot in (folder / "plots").iterdir():
        plot.touch()  # a copy's files come in any order

    def needed(*arguments):
        raise AssertionError("an ended run needs no such thing")

    for name in (
        "training.session.build_executor",
        "store.data.open_source",
        "display.plots.draw_plots",
    ):
        monkeypatch.setattr(f"runs.{name}", needed)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    how = (points_yaml, "--resume", "auto", "--output") if command == "train" else ()
    done = invoke(command, *how, folder)
    assert done.exit_code == 0 and "has ended, at generation 30" in done.output
    assert "drawing" not in done.output
    assert checksum(done.output) == points_run[1]
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("lost", ["snapshots/generation-00000030", "plots"])
def test_what_an_ended_run_lacks_is_made(
    lost, points_run, points_yaml, invoke, monkeypatch, tmp_path
):
    folder = copy_of(points_run[0], tmp_path)
    shutil.rmtree(folder / lost)
    drawn = []
    monkeypatch.setattr("runs.display.plots.draw_plots", drawn.append)
    done = invoke("resume", folder)
    assert done.exit_code == 0 and checksum(done.output) == points_run[1]
    assert (folder / "snapshots" / "generation-00000030").is_dir() and drawn
    assert "drawing the " in done.output


def test_the_second_of_two_waits_for_the_first(
    points_run, points_yaml, invoke, monkeypatch, tmp_path
):
    monkeypatch.setattr("runs.training.continuing.PAUSE", 0.05)
    folder = interrupted(points_run[0], tmp_path, 17)
    first = RunLock(folder / "journal.lock")
    end = Timer(0.5, first.close)
    end.start()
    done = invoke("train", points_yaml, "--resume", "auto", "--output", folder)
    end.join()
    assert done.exit_code == 0 and checksum(done.output) == points_run[1]
    assert done.output.count("waits for it") == 1 and "resumed at generation 17" in done.output


def test_a_run_that_another_process_makes_just_now_is_continued(
    points_run, points_yaml, invoke, monkeypatch, tmp_path
):
    monkeypatch.setattr("runs.training.continuing.PAUSE", 0.05)
    create = RunFolder.create

    def late(config, card, output, *rest):
        interrupted(points_run[0], tmp_path, 17)
        return create(config, card, output, *rest)

    monkeypatch.setattr(RunFolder, "create", late)
    done = invoke("train", points_yaml, "--resume", "auto", "--output", tmp_path / "copy")
    assert done.exit_code == 0 and checksum(done.output) == points_run[1]
    assert "resumed at generation 17" in done.output


def test_what_is_left_of_a_run_without_its_config_is_not_waited_for(
    points_run, points_yaml, mistake, tmp_path
):
    folder = copy_of(points_run[0], tmp_path)
    (folder / "config.yaml").unlink()
    again = ("train", points_yaml, "--resume", "auto", "--output", folder)
    assert "holds a run already" in mistake(*again)


def test_what_does_not_make_the_run_another_one_is_taken_from_the_command(
    points_run, points_yaml, invoke, tmp_path
):
    folder = interrupted(points_run[0], tmp_path, 30)
    done = invoke(
        *("train", points_yaml, "--resume", "auto", "--output", folder),
        *("--set", "generations=34", "--set", "checkpoint.every=2", "--set", "checkpoint.keep=1"),
    )
    assert done.exit_code == 0
    assert generations(folder) == list(range(34))
    assert [s.generation for s in snapshots(folder / "snapshots")] == [34]
    values = yaml.safe_load((folder / "config.yaml").read_text())
    assert (values["generations"], values["checkpoint"]["every"]) == (34, 2)


def test_a_run_of_another_config_is_refused_with_what_differs(
    points_run, points_yaml, mistake, tmp_path
):
    folder = interrupted(points_run[0], tmp_path, 12)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    message = mistake(
        *("train", points_yaml, "--resume", "auto", "--output", folder),
        *("--seed", "4", "--set", "fitness.gamma=0.5", "--set", "generations=40"),
    )
    assert "seed: 3 there, 4 here" in message and "fitness.gamma: " in message
    assert "generations" not in message
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_where_to_look_must_be_said(points_yaml, mistake):
    assert "--output" in mistake("train", points_yaml, "--resume", "auto")
    assert "never" in mistake("train", points_yaml, "--resume", "maybe")


def test_by_default_a_run_that_is_there_is_not_continued(points_run, points_yaml, mistake):
    assert "holds a run already" in mistake("train", points_yaml, "--output", points_run[0])


def test_a_start_that_evolved_nothing_leaves_nothing(points_yaml, invoke, monkeypatch, tmp_path):
    folder = tmp_path / "run"

    def lost(*arguments):
        raise OSError("the disk is gone")

    with monkeypatch.context() as patch:
        patch.setattr("runs.training.session.build_executor", lost)
        assert invoke("train", points_yaml, "--output", folder).exit_code == 1
    assert not folder.exists()
    assert invoke("train", points_yaml, "--output", folder).exit_code == 0
    with monkeypatch.context() as patch:
        patch.setattr("runs.training.session.build_executor", lost)
        assert invoke("train", points_yaml, "--output", folder).exit_code == 2
    assert (folder / "config.yaml").is_file()
