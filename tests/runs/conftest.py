"""Runs small enough to be made again and again, and the command as a user calls it."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from tests.runs.copies import no_pictures

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, str(ROOT / "run_evolution.py")]

POINTS = """\
name: points
seed: 3
generations: 30
data: {source: gaussians}
backbone: {name: mlp, width: 8, depth: 1}
population: {batch: 8, mutations: [minimax, heuristic, "paced:paced"]}
fitness: {batch: 16}
execution: {executor: local}
checkpoint: {every: 10, keep: 3}
tracking: {enabled: false}
"""
IMAGES = """\
name: images
seed: 3
generations: 6
data: {source: digits, resolution: 8}
backbone: {name: dcgan, latent: 4, width: 4}
population: {batch: 8}
fitness: {batch: 16}
execution: {executor: local}
checkpoint: {every: 4}
tracking: {enabled: false}
"""
# A user's own mutations: PAUSE makes a run slow enough to be hit at a chosen moment.
OWN_MODULES = {
    "paced": """\
import os
import time

from egan.mutations import least_squares


def paced(logits):
    time.sleep(float(os.environ.get("PAUSE", "0")))
    return least_squares(logits)
""",
    "stuck": """\
import os
import time
from pathlib import Path

from egan.engine import Engine
from egan.mutations import least_squares
from runs.evaluation.evaluator import Evaluator

after = int(os.environ.get("STUCK_AFTER", "1000000"))
calls = dict.fromkeys(("variation", "advance", "scoring"), 0)


def hang(phase):
    calls[phase] += 1
    if phase == os.environ.get("STUCK_IN") and calls[phase] > after:
        Path(__file__).with_name(f"stuck-{os.getpid()}").touch()
        time.sleep(600)


def stuck(logits):
    hang("variation")
    return least_squares(logits)


def slowed(call, phase):
    def wrapped(*arguments):
        hang(phase)
        return call(*arguments)

    return wrapped


if "STUCK_IN" in os.environ:
    Engine.advance = slowed(Engine.advance, "advance")
    Evaluator.score = slowed(Evaluator.score, "scoring")
""",
    "backwards": """\
import time

from egan.mutations import least_squares

calls, now = 0, time.time


def backwards(logits):
    global calls
    calls += 1
    if calls == 12:
        time.time = lambda: now() - 86_400
    return least_squares(logits)
""",
    "greedy": """\
import torch

from egan.mutations import least_squares

left = 12


def greedy(logits):
    global left
    left -= 1
    if left < 0:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 3.00 GiB. GPU 0 has")
    return least_squares(logits)
""",
    "failing": """\
calls = 0


def later(logits):
    global calls
    calls += 1
    return logits.mean() * (float("nan") if calls > 12 else 1.0)
""",
}


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def command() -> list[str]:
    """What a user types, before the arguments."""
    return COMMAND


@pytest.fixture(scope="session")
def own_modules(tmp_path_factory) -> Iterator[Path]:
    """A folder of a user's mutations, importable here and in what is started here."""
    folder = tmp_path_factory.mktemp("own")
    for name, text in OWN_MODULES.items():
        (folder / f"{name}.py").write_text(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        patch.setenv("PYTHONPATH", str(folder))
        yield folder


@pytest.fixture(scope="session")
def points_yaml(own_modules, tmp_path_factory) -> str:
    """The path of a config of points: 30 generations in a moment."""
    path = tmp_path_factory.mktemp("points") / "points.yaml"
    path.write_text(POINTS)
    return str(path)


@pytest.fixture(scope="session")
def images_yaml(tmp_path_factory) -> str:
    """The path of a config of 8 x 8 digits: 6 generations in a moment."""
    path = tmp_path_factory.mktemp("images") / "images.yaml"
    path.write_text(IMAGES)
    return str(path)


@pytest.fixture
def without_pictures() -> Iterator[None]:
    """Draw no pictures; the runs of a session draw theirs."""
    with no_pictures():
        yield


@pytest.fixture(scope="session")
def start() -> Iterator[Callable[..., subprocess.Popen]]:
    """Start the command in a process group of its own; what still lives at the end is killed."""
    processes: list[subprocess.Popen] = []

    def begin(*arguments: object, **environment: str) -> subprocess.Popen:
        cwd = environment.pop("cwd", None)
        process = subprocess.Popen(
            [*COMMAND, *map(str, arguments)],
            cwd=cwd,
            env=os.environ | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        processes.append(process)
        return process

    yield begin
    for process in processes:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        process.stdout.close()
        process.stderr.close()


@pytest.fixture(scope="session")
def run(start) -> Callable[..., subprocess.CompletedProcess]:
    """Run the command as a process to its end."""

    def call(*arguments: object, **environment: str) -> subprocess.CompletedProcess:
        process = start(*arguments, **environment)
        stdout, stderr = process.communicate(timeout=200)
        return subprocess.CompletedProcess(arguments, process.returncode, stdout, stderr)

    return call


@pytest.fixture(scope="session")
def new_store(tmp_path_factory) -> Callable[[Path], str]:
    """Put an empty MLflow store into a folder and give its URI; its tables are made only once."""
    from mlflow import MlflowClient

    template = tmp_path_factory.mktemp("store") / "mlflow.db"
    MlflowClient(f"sqlite:///{template}").search_experiments()

    def copy(folder: Path) -> str:
        return f"sqlite:///{shutil.copy(template, folder / 'mlflow.db')}"

    return copy


@pytest.fixture(scope="session")
def until_lines() -> Callable[[subprocess.Popen, Path, int], None]:
    """Wait until a living run's journal has a number of lines after the first."""

    def wait(process: subprocess.Popen, folder: Path, count: int) -> None:
        journal = folder / "journal.jsonl"
        deadline = time.monotonic() + 120
        while not (journal.exists() and journal.read_bytes().count(b"\n") > count):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline, "the run makes no progress"
            time.sleep(0.005)

    return wait


@pytest.fixture(scope="session")
def points_run(points_yaml, invoke, tmp_path_factory) -> tuple[Path, str]:
    """The folder of an undisturbed run of points, and the checksum that it printed."""
    folder = tmp_path_factory.mktemp("undisturbed") / "run"
    done = invoke("train", points_yaml, "--output", folder)
    assert done.exit_code == 0, done.output
    return folder, done.output.split("checksum ")[1].split()[0]


@pytest.fixture(scope="session")
def images_run(images_yaml, invoke, tmp_path_factory) -> Path:
    """The folder of an undisturbed run of 8 x 8 digits."""
    folder = tmp_path_factory.mktemp("images-run") / "run"
    assert invoke("train", images_yaml, "--output", folder).exit_code == 0
    return folder
