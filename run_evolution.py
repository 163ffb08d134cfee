"""The command line of the evolutionary GAN engine: see `run-evolution --help`."""

import atexit
import os
from pathlib import Path

from populations.garbage import collect_seldom
from runs.cli.main import main as command
from runs.common.signals import ignore_signals, keep_status

NO_HOME = "/nonexistent"  # as in Debian's /etc/passwd


def name_home() -> None:
    """Name a home folder where the system knows none for this user, for libraries ask for it."""
    try:
        Path.home()
    except RuntimeError:
        os.environ["HOME"] = NO_HOME


def main(name: str | None = None) -> None:
    """Run the command, with a status that no signal changes once it is known."""
    atexit.register(ignore_signals)  # registered first, it is called last
    collect_seldom()
    name_home()
    try:
        command(prog_name=name)
    except SystemExit as end:
        keep_status(end.code if isinstance(end.code, int) else 1 if end.code else 0)
        raise


if __name__ == "__main__":
    main("run_evolution.py")
