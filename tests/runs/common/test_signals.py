"""The end of a process: its status is the command's, whatever signal comes then."""

import signal
import subprocess
import sys

import pytest

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
