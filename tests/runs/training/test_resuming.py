"""Runs that are killed or stopped, and resumed to the same bits."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
import yaml

from runs.store.snapshots import snapshots, verify
from tests.runs.copies import checksum, copy_of, kinds, no_pictures, record

pytestmark = pytest.mark.usefixtures("without_pictures")


def kill(process: subprocess.Popen) -> None:
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL


@pytest.fixture(scope="module")
def hundred(points_yaml, invoke, tmp_path_factory) -> tuple[Path, str]:
    """An undisturbed run of 100 generations."""
    folder = tmp_path_factory.mktemp("hundred") / "run"
    with no_pictures():
        done = invoke("train", points_yaml, "--set", "generations=100", "--output", folder)
    assert done.exit_code == 0, done.output
    return folder, checksum(done.output)


def resumed_after_kills(moments, start, invoke, until_lines, folder, begin) -> str:
    """Kill a run once at each number of journal lines; let it end, and return its checksum."""
    for place, moment in enumerate(moments):
        arguments = ("resume", folder) if place else begin
        process = start(*arguments, PAUSE="0.02")
        until_lines(process, folder, moment)
        kill(process)
    done = invoke("resume", folder)
    assert done.exit_code == 0, done.output
    assert "Traceback" not in done.output
    return checksum(done.output)


def test_killed_again_and_again_a_run_ends_in_the_same_bits(
    hundred, points_yaml, start, invoke, until_lines, tmp_path
):
    folder = tmp_path / "run"
    begin = ("train", points_yaml, "--set", "generations=100", "--output", folder)
    moments = (4, 20 + time.time_ns() % 40)  # before the first snapshot, and at no chosen place
    end = resumed_after_kills(moments, start, invoke, until_lines, folder, begin)
    assert end == hundred[1]
    assert record(folder) == record(hundred[0])
    assert kinds(folder).count("resumed") == 2


@pytest.mark.long
@pytest.mark.timeout(900)
def test_killed_at_many_moments_while_snapshots_are_written_a_run_ends_in_the_same_bits(
    hundred, points_yaml, start, invoke, until_lines, tmp_path
):
    folder = tmp_path / "run"
    begin = (
        *("train", points_yaml, "--set", "generations=100", "--set", "checkpoint.every=1"),
        *("--output", folder),
    )
    moments = (1, 2, 9, 10, 11, 30, 31, 55, 80, 97)
    end = resumed_after_kills(moments, start, invoke, until_lines, folder, begin)
    assert end == hundred[1]
    assert record(folder) == record(hundred[0])
    assert all(verify(snapshot) for snapshot in snapshots(folder / "snapshots"))
    assert len(list((folder / "snapshots").iterdir())) == 3


@pytest.mark.long
@pytest.mark.timeout(900)
def test_killed_by_the_clock_a_run_of_images_ends_in_the_same_bits(
    images_yaml, start, run, until_lines, tmp_path
):
    options = ("--set", "generations=400", "--set", "checkpoint.every=20")
    done = run("train", images_yaml, *options, "--output", tmp_path / "whole")
    folder = tmp_path / "run"
    for attempt in range(5):
        train = ("train", images_yaml, *options, "--output", folder)
        lines = (folder / "journal.jsonl").read_bytes().count(b"\n") if attempt else 0
        process = start(*(("resume", folder) if attempt else train))
        until_lines(process, folder, lines + 1)
        time.sleep(attempt * 0.07)
        if process.poll() is None:
            kill(process)
    again = run("resume", folder)
    assert again.returncode == 0, again.stderr
    assert checksum(again.stdout) == checksum(done.stdout)
    assert record(folder) == record(tmp_path / "whole")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_finishes_the_generation_and_resuming_ends_in_the_same_bits(
    number, hundred, points_yaml, start, invoke, until_lines, tmp_path
):
    folder = tmp_path / "a run"
    process = start(
        "train", points_yaml, "--set", "generations=100", "--output", folder, PAUSE="0.02"
    )
    until_lines(process, folder, 5)
    os.killpg(process.pid, number)  # as a terminal does
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 3, stderr
    assert "Traceback" not in stderr
    generation = len(record(folder))
    assert 5 <= generation < 100
    newest = snapshots(folder / "snapshots")[0]
    assert newest.generation == generation
    assert verify(newest)["checksum"] == checksum(stdout)
    assert signal.Signals(number).name in stdout
    assert f"resume '{folder}'" in stdout
    done = invoke("resume", folder)
    assert done.exit_code == 0
    assert checksum(done.output) == hundred[1]
    assert record(folder) == record(hundred[0])


def test_more_generations_end_where_a_longer_run_would_have(points_run, hundred, invoke, tmp_path):
    folder = copy_of(points_run[0], tmp_path)
    done = invoke("resume", folder, "--generations", "100")
    assert done.exit_code == 0
    assert checksum(done.output) == hundred[1]
    assert record(folder) == record(hundred[0])
    assert yaml.safe_load((folder / "config.yaml").read_text())["generations"] == 100


def test_resuming_a_finished_run_changes_nothing(points_run, invoke, tmp_path):
    folder = copy_of(points_run[0], tmp_path)
    before = record(folder), snapshots(folder / "snapshots")
    done = invoke("resume", folder)
    assert done.exit_code == 0 and checksum(done.output) == points_run[1]
    assert (record(folder), snapshots(folder / "snapshots")) == before


def test_fewer_generations_than_are_done_are_refused(points_run, mistake, tmp_path):
    folder = copy_of(points_run[0], tmp_path)
    assert "30" in mistake("resume", folder, "--generations", "5")
    assert yaml.safe_load((folder / "config.yaml").read_text())["generations"] == 30


def test_two_processes_do_not_write_to_one_run(
    points_yaml, start, invoke, mistake, until_lines, tmp_path
):
    folder = tmp_path / "run"
    process = start(
        "train", points_yaml, "--set", "generations=100000", "--output", folder, PAUSE="0.02"
    )
    until_lines(process, folder, 1)
    assert "another process" in mistake("resume", folder)
    assert "it is running; last written" in invoke("inspect", folder).output
    kill(process)
    assert "its process has died; last written" in invoke("inspect", folder).output


# ------------------------------------------------------------------------------------------ on Ray


@pytest.mark.long
@pytest.mark.timeout(600)
def test_ctrl_c_in_a_terminal_stops_a_run_on_ray_after_a_generation(
    start, invoke, until_lines, tmp_path
):
    folder = tmp_path / "run"
    options = ("--set", "backbone.width=8", "--set", "tracking.enabled=false", "--workers", "2")
    process = start("train", "digits", *options, "--executor", "ray", "--output", folder)
    until_lines(process, folder, 5)
    os.killpg(process.pid, signal.SIGINT)
    stdout, stderr = process.communicate(timeout=120)
    assert process.returncode == 3, stderr
    generation = snapshots(folder / "snapshots")[0].generation
    done = invoke(
        "train", folder / "config.yaml", "--executor", "local", "--output", tmp_path / "local",
        "--set", f"generations={generation}",
    )  # fmt: skip
    assert checksum(done.output) == checksum(stdout)


@pytest.mark.long
@pytest.mark.timeout(600)
def test_killed_on_ray_a_run_resumes_in_this_process_to_the_same_bits(
    start, invoke, until_lines, tmp_path
):
    folder = tmp_path / "run"
    options = (
        *("--set", "backbone.width=8", "--set", "tracking.enabled=false"),
        *("--set", "generations=60", "--set", "checkpoint.every=10"),
    )
    process = start("train", "digits", *options, "--workers", "2", "--output", folder)
    until_lines(process, folder, 15)
    kill(process)
    done = invoke("resume", folder, "--executor", "local")
    assert done.exit_code == 0
    whole = invoke("train", "digits", *options, "--executor", "local", "--output", tmp_path / "w")
    assert checksum(done.output) == checksum(whole.output)
    assert record(folder) == record(tmp_path / "w")
