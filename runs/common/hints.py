"""The commands that messages tell a user to type, quoted so that a shell runs them as they are."""

import shlex
import shutil
import sys
from pathlib import Path
from shlex import join

PROGRAM = "run-evolution"
SCRIPT = "run_evolution.py"


def hint(command: str, *arguments: object, **options: object) -> str:
    """Return a command of this program with its arguments and options.

    `hint("train", "digits", set=["seed=1"], at_once=2)` is
    `run-evolution train digits --set seed=1 --at-once 2`; an option that is None is left out, and
    one that is a list is repeated.
    """
    words = [command, *map(_argument, arguments)]
    for name, value in options.items():
        for each in value if isinstance(value, list | tuple) else (value,):
            if each is not None:
                words += [f"--{name.replace('_', '-')}", str(each)]
    return f"{program(PROGRAM)} {join(words)}"


def _argument(value: object) -> str:
    text = str(value)
    return f"./{text}" if text.startswith("-") else text  # a path that would be an option


def program(name: str) -> str:
    """Return how to call a program of this environment from the shell that called us."""
    if shutil.which(name):
        return name
    beside = Path(sys.executable).parent / name
    if not beside.exists() and name == PROGRAM and Path(sys.argv[0]).name == SCRIPT:
        return f"{shlex.quote(sys.executable)} {shlex.quote(sys.argv[0])}"
    here = beside.relative_to(Path.cwd()) if beside.is_relative_to(Path.cwd()) else beside
    return shlex.quote(str(here))
