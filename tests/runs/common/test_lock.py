"""One driver at a time, and a lock that says who and dies with its holder."""

import errno
import fcntl
import json
import os
import socket
import subprocess
import sys

import pytest

from egan.files import lock
from populations.individual import Job, Score
from runs.common.lock import RunBusy, RunLock, is_held
from runs.store.folder import RunFolder
from runs.store.identity import Identity
from runs.store.journal import Entry, Journal
from runs.store.replay import past_lines, read_past

HOLD = """
import sys, time
from pathlib import Path
from runs.common.lock import RunLock
lock = RunLock(Path(sys.argv[1]))
print("held", flush=True)
time.sleep(120)
"""


@pytest.mark.process
def test_the_second_is_told_who_holds_the_run_and_gets_it_when_that_one_is_dead(tmp_path):
    path = tmp_path / "journal.lock"
    command = [sys.executable, "-c", HOLD, str(path)]
    holder = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(RunBusy) as refused:
            RunLock(path)
        message = str(refused.value)
        assert f"process {holder.pid} on {socket.gethostname()}, since 2" in message
        assert str(tmp_path) in message
        with pytest.raises(RunBusy):
            RunLock(path)  # being refused does not wipe the name out
        assert is_held(path)
    finally:
        holder.kill()
        holder.communicate()
    assert is_held(path) is False
    assert json.loads(path.read_text())["pid"] == holder.pid  # dead, and holds nothing
    with RunLock(path):
        assert json.loads(path.read_text())["pid"] == os.getpid()
    assert path.read_text() == ""


@pytest.mark.parametrize("content", ["", "{", "[]", '{"pid": 1}', "\x00\xff"])
def test_a_damaged_lock_file_hinders_nothing(content, tmp_path):
    path = tmp_path / "journal.lock"
    path.write_bytes(content.encode("latin-1"))
    assert is_held(path) is False
    with RunLock(path):
        assert is_held(path)
        path.write_bytes(content.encode("latin-1"))
        with pytest.raises(RunBusy, match="another process is writing"):
            RunLock(path)


def entry(generation: int) -> Entry:
    job = Job(0, (0,), "minimax")
    return Entry(generation, 0.0, f"c{generation}", (job,), (Score((0.5, 1.0)),), (job,))


def test_without_locks_two_drivers_do_double_work_and_no_harm(tmp_path, monkeypatch):
    def none(*arguments):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", none)
    folder = RunFolder(tmp_path)
    identity = Identity()
    one, two = Journal(folder.journal, identity), Journal(folder.journal, identity)
    for journal, generation in ((one, 0), (two, 0), (two, 1), (one, 1), (one, 2), (two, 2)):
        journal.append(entry(generation))
    one.close()
    two.close()
    assert read_past(folder).end == 3
    assert [line.generation for line in past_lines(folder, 3)] == [0, 1, 2]


def test_a_glance_at_a_lock_keeps_nobody_from_taking_it(tmp_path, monkeypatch):
    path = tmp_path / "journal.lock"
    with path.open("w") as glance:
        assert lock(glance.fileno(), shared=True)
        monkeypatch.setattr("runs.common.lock.time.sleep", lambda seconds: glance.close())
        RunLock(path).close()


def test_of_another_machines_process_nothing_is_known(tmp_path):
    path = tmp_path / "journal.lock"
    path.write_text(json.dumps({"host": "another", "pid": 2**22 + 1, "since": ""}))
    assert is_held(path) is None
    assert is_held(tmp_path / "missing") is False
