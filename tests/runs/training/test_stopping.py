"""SIGTERM and Ctrl-C at every stage of a real run: before it, in a generation, twice."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from runs.store.journal import Entry, read_journal
from runs.store.snapshots import snapshots, verify
from tests.runs.copies import checksum, no_pictures

pytestmark = pytest.mark.usefixtures("without_pictures")
STUCK = "population.mutations=[minimax, heuristic, 'stuck:stuck']"
SCORED = ("evaluation.every=7", "evaluation.metrics=[modes, high-quality]", "evaluation.count=64")


def settings(*keys: str) -> list[str]:
    return [part for key in (STUCK, *keys) for part in ("--set", key)]


def selected(folder: Path) -> list[tuple]:
    """Return what a journal says of the run's course."""
    lines = (item for item in read_journal(folder / "journal.jsonl") if isinstance(item, Entry))
    return [(e.generation, e.checksum, e.jobs, e.scores, e.survivors, e.training) for e in lines]


@pytest.fixture(scope="module")
def whole(points_yaml, invoke, tmp_path_factory) -> dict[tuple, tuple[Path, str]]:
    """Undisturbed runs with the mutation that can get stuck, unscored and scored."""
    runs = {}
    for keys in ((), SCORED):
        folder = tmp_path_factory.mktemp("whole") / "run"
        with no_pictures():
            done = invoke("train", points_yaml, *settings(*keys), "--output", folder)
        assert done.exit_code == 0
        runs[keys] = folder, checksum(done.output)
    return runs


def ended(process: subprocess.Popen, seconds: float = 90) -> tuple[str, str]:
    stdout, stderr = process.communicate(timeout=seconds)
    assert process.returncode == 3, (process.returncode, stdout, stderr)
    assert "Traceback" not in stdout + stderr
    return stdout, stderr


def stuck(own_modules: Path) -> set[Path]:
    """Return the marks of the processes that hang."""
    return set(own_modules.glob("stuck-*"))


def until_stuck(process: subprocess.Popen, own_modules: Path, before: set[Path]) -> None:
    """Wait until a run, or a worker of it, hangs where it was told to."""
    deadline = time.monotonic() + 120
    while stuck(own_modules) <= before:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)


def check_resumes(folder: Path, whole: tuple[Path, str], invoke) -> None:
    done = invoke("resume", folder, "--executor", "local")
    assert done.exit_code == 0
    assert checksum(done.output) == whole[1]
    assert selected(folder) == selected(whole[0])


@pytest.mark.parametrize(
    ("phase", "after", "lines", "saved", "keys"),
    [
        ("variation", 15, 15, 15, ()),
        # The survivors are journalled, and not adopted: the snapshot is one generation behind.
        pytest.param("advance", 14, 15, 14, (), marks=pytest.mark.long),
        pytest.param("scoring", 1, 15, 14, SCORED, marks=pytest.mark.long),
    ],
)
def test_a_generation_that_outlasts_the_grace_is_given_up_and_made_again_to_the_bit(
    phase,
    after,
    lines,
    saved,
    keys,
    whole,
    points_yaml,
    own_modules,
    start,
    invoke,
    until_lines,
    tmp_path,
):
    folder, before = tmp_path / "run", stuck(own_modules)
    process = start(
        *("train", points_yaml, *settings("checkpoint.grace=1", *keys), "--output", folder),
        STUCK_IN=phase,
        STUCK_AFTER=str(after),
    )
    until_lines(process, folder, lines)
    until_stuck(process, own_modules, before)
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    stdout, stderr = ended(process)
    assert 1 <= time.monotonic() - began < 60
    assert "the generation has 1 s to finish" in stderr
    assert "gave up the generation" in stdout and f"resume {folder}" in stdout
    assert "drawing the last picture" in stdout
    newest = snapshots(folder / "snapshots")[0]
    assert newest.generation == saved
    assert verify(newest)["checksum"] == checksum(stdout)
    check_resumes(folder, whole[keys], invoke)


@pytest.mark.long
@pytest.mark.timeout(600)
def test_a_generation_on_ray_workers_is_given_up_and_a_worker_gives_its_state_meanwhile(
    whole, points_yaml, own_modules, start, invoke, until_lines, tmp_path
):
    folder, before = tmp_path / "run", stuck(own_modules)
    process = start(
        *("train", points_yaml, *settings("checkpoint.grace=1", "checkpoint.every=100")),
        *("--output", folder, "--executor", "ray", "--workers", "2"),
        STUCK_IN="variation",
        STUCK_AFTER="12",  # one of two workers makes the thirteenth, however they share
    )
    until_lines(process, folder, 12)
    until_stuck(process, own_modules, before)
    hung = len(selected(folder))
    process.send_signal(signal.SIGTERM)
    stdout, _ = ended(process)
    assert "gave up the generation" in stdout
    newest = snapshots(folder / "snapshots")[0]
    assert newest.generation in (hung - 1, hung)
    check_resumes(folder, whole[()], invoke)


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_the_run_at_once(
    second, points_yaml, own_modules, start, until_lines, tmp_path
):
    folder, before = tmp_path / "run", stuck(own_modules)
    process = start(
        *("train", points_yaml, *settings("checkpoint.grace=1000"), "--output", folder),
        STUCK_IN="variation",
        STUCK_AFTER="5",
    )
    until_lines(process, folder, 5)
    until_stuck(process, own_modules, before)
    process.send_signal(signal.SIGTERM)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(2)  # the generation has its grace
    process.send_signal(second)
    _, stderr = ended(process, 20)
    assert f"stopped at once by {second.name}; go on with:" in stderr and str(folder) in stderr


def until_imported(process: subprocess.Popen) -> None:
    """Wait until a command has begun its slow imports, when its handlers are set."""
    maps = Path(f"/proc/{process.pid}/maps")
    deadline = time.monotonic() + 60
    while "pydantic_core" not in maps.read_text():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_before_anything_began_says_so(number, points_yaml, start, tmp_path):
    process = start("train", points_yaml, "--output", tmp_path / "run")
    until_imported(process)
    process.send_signal(number)
    _, stderr = ended(process)
    assert f"stopped at once by {number.name}; the run had not begun" in stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_while_ray_starts_leaves_nothing_and_the_same_command_begins_again(
    number, points_yaml, whole, start, invoke, tmp_path
):
    folder = tmp_path / "run"
    command = ("train", points_yaml, *settings(), "--output", folder)
    process = start(*command, "--executor", "ray", "--workers", "1")
    deadline = time.monotonic() + 120
    while not (folder / "config.yaml").exists():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    time.sleep(1.5)
    os.killpg(process.pid, number)
    _, stderr = ended(process)
    assert f"stopped at once by {number.name}; the run had not begun, so start it again" in stderr
    assert not folder.exists()
    done = invoke(*command, "--executor", "local")
    assert done.exit_code == 0 and checksum(done.output) == whole[()][1]


def test_the_driver_that_a_signal_ended_lets_go_of_the_run(points_run, tmp_path):
    lock = points_run[0] / "journal.lock"
    assert lock.read_text() == ""
    with pytest.raises(json.JSONDecodeError):
        json.loads(lock.read_text())
