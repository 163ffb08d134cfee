"""The end of a process: its status is the command's, whatever signal comes then."""

import signal
import subprocess
import sys

import pytest

from egan.files import atomic_file
from runs.common.signals import tidy_end

AT_THE_END = """
import os, signal, sys
import run_evolution

class Late:
    def __del__(self, kill=os.kill, process=os.getpid(), number=signal.{name}):
        kill(process, number)

def command(prog_name):
    import atexit
    if {late}:
        sys.late = Late()  # deleted when Python has no handlers any more
    else:
        atexit.register(os.kill, os.getpid(), signal.{name})
    print("done")
    sys.exit({status})

run_evolution.command = command
run_evolution.main()
"""


@pytest.mark.process
@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize(("name", "status"), [("SIGTERM", 3), ("SIGINT", 0), ("SIGHUP", 2)])
def test_a_signal_at_the_very_end_changes_no_status(name, status, late):
    done = subprocess.run(
        [sys.executable, "-c", AT_THE_END.format(name=name, status=status, late=late)],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),
    )
    assert (done.returncode, done.stdout) == (status, "done\n"), done.stderr


@pytest.fixture
def _no_handler():
    """Another test of this process may have left one of Ray's."""
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.mark.usefixtures("_no_handler")
def test_a_command_that_a_signal_ends_removes_its_temporary_file(tmp_path):
    before = signal.getsignal(signal.SIGTERM)
    with (
        pytest.raises(SystemExit) as end,
        tidy_end(),
        atomic_file(tmp_path / "a.npz") as temporary,
    ):
        temporary.write_bytes(b"half")
        signal.raise_signal(signal.SIGTERM)
    assert end.value.code == 128 + signal.SIGTERM
    assert not list(tmp_path.iterdir()) and signal.getsignal(signal.SIGTERM) == before


@pytest.mark.usefixtures("_no_handler")
def test_a_second_signal_ends_a_command_at_once():
    with pytest.raises(SystemExit), tidy_end():
        try:
            signal.raise_signal(signal.SIGTERM)
        finally:
            second = signal.getsignal(signal.SIGTERM)
    assert second == signal.SIG_DFL
