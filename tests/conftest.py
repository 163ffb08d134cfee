"""What holds for every test: the tiers, and the command called in this process.

A test that starts a process, uses Ray or opens MLflow's store is marked so: by hand, or because it
uses a fixture that does. A test without a mark is a unit test, which must do none of these; a guard
raises where it does. The guard watches tests of whole runs, too, which `make unit` leaves out.
"""

import gc
import os
import re
import shlex
from collections.abc import Callable, Iterator
from fnmatch import fnmatch
from functools import cache
from pathlib import Path

import click
import matplotlib
import matplotlib.font_manager  # starts a process where its list of fonts is not cached yet
import pytest
from click.testing import CliRunner, Result
from hypothesis import settings

from populations.garbage import collect_seldom
from runs.cli.main import main
from runs.common import hints
from tests.guard import GUARD

TIERS = ("process", "ray", "mlflow", "long")
OF_FIXTURES = {
    "start": "process",
    "disk": "process",  # mounts one
    "small_disk": "process",
    "new_store": "mlflow",
    "points_run": "whole",
    "images_run": "whole",
}
"""The tier of a test that uses a fixture, itself or through another fixture."""
OF_PATHS = {
    "tests/populations/executors/test_ray*.py": "ray",
    "tests/runs/tracking/*": "mlflow",
    "tests/runs/batch/test_queue.py": "process",
    "tests/runs/study/test_study_record.py": "mlflow",
    "tests/runs/tournament/test_tracking.py": "mlflow",
}
"""The tier of all tests in a file."""
WHOLE = (
    "tests/egan/backbones/stylegan/test_checkpoint.py",
    "tests/egan/backbones/stylegan/test_engine.py",
    "tests/egan/games/*",
    "tests/egan/test_cuda_graphs.py",
    "tests/egan/test_gradients.py",
    "tests/egan/test_purity.py",
    "tests/egan/test_replica.py",
    "tests/egan/data/test_avatar*.py",
    "tests/fitness/features/test_classifier.py",
    "tests/fitness/segmenters/test_parts.py",
    "tests/fitness/test_classes.py",
    "tests/fitness/test_evaluation.py",
    "tests/fuzz/*",
    "tests/runs/cli/test_commands.py",
    "tests/runs/cli/test_memory.py",
    "tests/runs/cli/test_mistakes.py",
    "tests/runs/dissection/test_commands.py",
    "tests/runs/dissection/test_repairing.py",
    "tests/runs/display/*",
    "tests/runs/explore/test_catalogue.py",
    "tests/runs/explore/test_views.py",
    "tests/runs/export/test_exporting.py",
    "tests/runs/evaluation/evaluate/*",
    "tests/runs/evaluation/test_fork.py",
    "tests/runs/evaluation/test_scoring.py",
    "tests/runs/evaluation/test_soup.py",
    "tests/runs/mirror/*",
    "tests/runs/sampling/*",
    "tests/runs/store/test_belonging.py",
    "tests/runs/store/test_data.py",
    "tests/runs/store/test_old_folders.py",
    "tests/runs/study/test_tournament_strategies.py",
    "tests/runs/study/test_trial.py",
    "tests/runs/tournament/test_running.py",
    "tests/runs/training/*",
    "tests/runs/translation/*",
    "tests/security/*",
)
"""Files whose tests evolve whole runs or games, train classifiers, draw or score whole sets."""

OF_OTHERS = {"--backend-store-uri", "--help"}  # options of MLflow, and of all commands

# That list serves all tests, whatever cache they have.
os.environ.setdefault("MPLCONFIGDIR", matplotlib.get_cachedir())

collect_seldom()

# A busy machine is no failure; pytest's own timeout catches what hangs.
settings.register_profile("whole", deadline=None)
settings.register_profile("quick", deadline=None, max_examples=20)  # of `make unit`
settings.load_profile("whole")


@cache
def marks_of(path: str) -> set[str]:
    """Return the marks of all tests in a file, by its path from the repository's root."""
    found = {tier for pattern, tier in OF_PATHS.items() if fnmatch(path, pattern)}
    return found | {"whole" for pattern in WHOLE if fnmatch(path, pattern)}


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Do not even import a file whose tests are all left out by `-m "not (a or b)"`."""
    left_out = re.fullmatch(r"not \(([\w ]+)\)", config.option.markexpr)
    if not left_out or collection_path.suffix != ".py":
        return None
    marks = marks_of(collection_path.relative_to(config.rootpath).as_posix())
    return bool(marks & set(left_out[1].split(" or "))) or None


def is_unit(item: pytest.Item) -> bool:
    return not any(item.get_closest_marker(tier) for tier in TIERS)


@pytest.hookimpl(tryfirst=True)  # before -m selects
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        used = getattr(item, "fixturenames", ())
        marks = [tier for fixture, tier in OF_FIXTURES.items() if fixture in used]
        marks += marks_of(item.nodeid.partition("::")[0])
        for tier in marks:
            item.add_marker(tier)


def pytest_collection_finish() -> None:
    """Spare searches for garbage what has been imported and collected."""
    gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Iterator[None]:
    with GUARD.around(is_unit(item)):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    with GUARD.around(is_unit(item)):
        return (yield)


def unknown_options(command: str, text: str) -> set[str]:
    """Return options in a command's output that are none of its own or of a command named there."""
    named = [name for name in main.commands if name == command or re.search(rf"\b{name}\b", text)]
    if command not in main.commands:
        return set()
    known = {name for each in named for p in main.commands[each].params for name in p.opts}
    found = re.findall(r"(?<![\w/'.-])--[a-z][a-z-]+", text)
    return set(found) - known - OF_OTHERS


@pytest.fixture(scope="session")
def invoke() -> Callable[..., Result]:
    """Call the command in this process; anything but an exit status is raised."""

    def call(*arguments: object) -> Result:
        result = CliRunner().invoke(main, [str(a) for a in arguments], prog_name="run-evolution")
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        if result.exit_code and "No such option" not in result.output:
            assert not unknown_options(str(arguments[0]), result.output)
        return result

    return call


@pytest.fixture(scope="session")
def mistake(invoke) -> Callable[..., str]:
    """Call the command, which must take it for a user's mistake; return its message."""

    def call(*arguments: object) -> str:
        result = invoke(*arguments)
        assert result.exit_code == 2, result.output
        assert "Traceback" not in result.output
        return result.output

    return call


@pytest.fixture(autouse=True)
def _every_hint_is_a_command(monkeypatch) -> Iterator[None]:
    """Every command that a message of the code under test names is one that the program takes."""
    given: list[str] = []

    def noted(words: list[str]) -> str:
        given.append(line := join(words))
        return line

    join = hints.join
    monkeypatch.setattr(hints, "join", noted)
    yield
    for line in given:
        name, *arguments = shlex.split(line)
        with click.Context(main, **main.context_settings) as context:
            main.commands[name].make_context(name, arguments, parent=context)
