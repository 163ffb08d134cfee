"""A test without a mark that starts a process, imports Ray or opens a store fails."""

import contextlib
import os
import sqlite3
import subprocess
import sys
import threading

import pytest

from tests.guard import GUARD, Guard, NotAUnitTest

fails = pytest.mark.xfail(strict=True, raises=NotAUnitTest)


@fails
def test_with_a_process():
    subprocess.run([sys.executable, "--version"], check=False)


@fails
def test_with_a_fork():
    if os.fork() == 0:
        os._exit(0)


@fails
def test_with_a_store(tmp_path):
    sqlite3.connect(tmp_path / "mlflow.db")


@fails
def test_whose_code_catches_every_exception():
    try:
        os.system("true")
    except Exception:
        return


@fails
@pytest.mark.parametrize("library", ["ray", "mlflow"])
def test_with_a_heavy_library(library, monkeypatch):
    for name in [n for n in sys.modules if n.partition(".")[0] == library]:
        monkeypatch.delitem(sys.modules, name)  # where another test has imported it
    __import__(library)


@pytest.mark.process
def test_a_marked_test_is_free():
    assert not GUARD.on
    assert subprocess.run(["true"], check=False).returncode == 0


@fails
def test_that_opens_a_store_in_a_thread(tmp_path):
    def work() -> None:
        with contextlib.suppress(NotAUnitTest):
            sqlite3.connect(tmp_path / "x.db")

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


def test_threads_that_other_tests_left_behind_are_free(tmp_path):
    go, path, guard = threading.Event(), tmp_path / "x.db", Guard()

    def work() -> None:
        go.wait()
        guard.audit("sqlite3.connect", (path,))
        path.touch()

    thread = threading.Thread(target=work)
    thread.start()
    with pytest.raises(NotAUnitTest), guard.around(unit=True):
        go.set()
        thread.join()
        assert path.exists()
        guard.audit("sqlite3.connect", (path,))


@pytest.fixture
def start() -> None:
    """Bears the name of what starts processes."""


@pytest.fixture
def through_another(start) -> None:
    """Is one by way of another."""


def test_a_fixture_marks_the_tests_that_use_it(through_another, request):
    assert request.node.get_closest_marker("process") and not GUARD.on
