"""Faults of the driver's machine, the real ones: full, read-only, vanished folders; clocks."""

import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from populations.executors.local import LocalExecutor
from runs import evolve, load_config, resume
from runs.display.progress import Silent
from runs.store.journal import Damage, Entry, read_journal
from runs.store.snapshots import snapshots, verify
from tests.runs.copies import events

pytestmark = pytest.mark.usefixtures("without_pictures")


class At(Silent):
    """A progress that does something after a generation, and remembers what was said."""

    def __init__(self, generation: int, action) -> None:
        self._at = generation
        self._action = action
        self.said: list[str] = []

    def generation(self, entry, lineage):
        if entry.generation == self._at:
            self._action()

    def message(self, text):
        self.said.append(text)


def selected(folder: Path) -> list[tuple]:
    """Return what a journal says of the run's course."""
    lines = (item for item in read_journal(folder / "journal.jsonl") if isinstance(item, Entry))
    return [(e.generation, e.checksum, e.jobs, e.scores, e.survivors, e.training) for e in lines]


class Disk:
    """A real small file system."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.ballast = path / "ballast"

    def fill(self, free: int) -> None:
        """Leave so many bytes free."""
        with self.ballast.open("ab") as file:
            file.write(b"\0" * max(0, shutil.disk_usage(self.path).free - free))

    def remount(self, option: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{option}", str(self.path)], check=True)


@pytest.fixture
def disk(tmp_path) -> Iterator[Disk]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = shutil.which("mount")
    command = [mount or "", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)]
    if not mount or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small file system is not permitted here")
    yield Disk(folder)
    subprocess.run(["umount", str(folder)], check=True)


def test_a_disk_that_fills_up_stops_the_run_and_costs_a_generation(
    disk, points_run, points_yaml, invoke
):
    folder = disk.path / "run"
    listener = At(13, lambda: disk.fill(free=4096))
    with pytest.raises(OSError, match="No space left") as stopped:
        evolve(load_config(points_yaml), folder, listener)
    assert "run-evolution resume" in str(stopped.value)
    items = list(read_journal(folder / "journal.jsonl"))
    assert not [item for item in items if isinstance(item, Damage)]  # no half line
    assert 14 <= len(items) < 30
    kept = snapshots(folder / "snapshots")
    assert kept and all(verify(snapshot) for snapshot in kept)
    config = (folder / "config.yaml").read_bytes()
    disk.fill(free=0)  # the half line that was taken back has freed some
    failed = invoke("resume", folder, "--generations", "31")
    assert failed.exit_code == 1 and "No space left" in failed.output
    assert "Traceback" not in failed.output
    assert (folder / "config.yaml").read_bytes() == config
    disk.ballast.unlink()
    done = resume(folder)
    assert done.checksum == points_run[1]
    assert selected(folder) == selected(points_run[0])
    assert not list(folder.glob(".*"))  # nor half a file


def test_on_a_full_disk_no_run_begins(disk, points_yaml, mistake):
    disk.fill(free=0)
    assert "No space left" in mistake("train", points_yaml, "--output", disk.path / "run")


def test_a_read_only_folder_can_be_looked_at_and_not_continued(
    disk, points_run, points_yaml, invoke, mistake
):
    folder = Path(shutil.copytree(points_run[0], disk.path / "run"))
    disk.remount("ro")
    try:
        failed = invoke("resume", folder, "--generations", "31")
        assert failed.exit_code == 1 and "Read-only file system" in failed.output
        assert "Traceback" not in failed.output
        assert "Read-only" in mistake("train", points_yaml, "--output", disk.path / "new")
        assert invoke("inspect", folder).exit_code == 0
    finally:
        disk.remount("rw")


def test_a_folder_that_is_removed_under_a_run_stops_it(points_yaml, tmp_path):
    folder = tmp_path / "run"
    with pytest.raises(OSError, match="removed or replaced"):
        evolve(load_config(points_yaml), folder, At(18, lambda: shutil.rmtree(folder)))
    assert not (folder / "config.yaml").exists() and not (folder / "journal.jsonl").exists()


def test_a_folder_that_is_moved_away_under_a_run_stops_it_and_is_whole(
    points_run, points_yaml, tmp_path
):
    folder, there = tmp_path / "run", tmp_path / "there"
    with pytest.raises(OSError, match="removed or replaced"):
        evolve(load_config(points_yaml), folder, At(12, lambda: folder.rename(there)))
    assert resume(there).checksum == points_run[1]
    assert selected(there) == selected(points_run[0])


def test_a_clock_that_jumps_back_changes_no_bit(points_run, points_yaml, invoke, tmp_path):
    folder = tmp_path / "run"
    with pytest.MonkeyPatch.context() as patch:
        now = time.time

        def jump():
            patch.setattr(time, "time", lambda: now() - 86_400)

        evolve(load_config(points_yaml), folder, At(11, jump))
    times = [item.time for item in read_journal(folder / "journal.jsonl")]
    assert times[12] < times[11] - 80_000
    assert selected(folder) == selected(points_run[0])
    found = json.loads(invoke("inspect", folder, "--json").output)
    assert found["generation"] == 30 and 0 <= found["seconds"] < 600
    assert resume(folder, generations=32).finished


def test_what_a_killed_driver_left_half_written_goes_with_the_next_one(points_run, tmp_path):
    folder = Path(shutil.copytree(points_run[0], tmp_path / "run"))
    left = [folder / ".config-4242.yaml", folder / ".journal-77.jsonl"]
    left.append(folder / "plots" / ".scores-4242.png")
    for path in left:
        path.write_bytes(b"half")
    (folder / "snapshots" / ".generation-00000030-4242").mkdir()
    (folder / ".mine").write_text("a user's")
    resume(folder, generations=31)
    assert {path.name for path in folder.rglob(".*")} == {".mine"}


def test_what_befell_the_workers_in_the_last_export_is_written_down(
    points_yaml, monkeypatch, tmp_path
):
    lost = {"event": "worker-lost", "worker": 1}
    monkeypatch.setattr(LocalExecutor, "close", lambda self: (lost,))
    progress = At(-1, lambda: None)
    assert evolve(load_config(points_yaml), tmp_path / "run", progress).finished
    (event,) = events(tmp_path / "run")
    assert (event.kind, event.details, event.generation) == ("worker-lost", {"worker": 1}, 30)
    assert any("worker lost" in text for text in progress.said)
