"""The recipes of examples/cluster: they parse, and the one by hand is a cluster that is used.

`by-hand.sh` starts a head and a second node here, with a token, in an environment that cannot
import this project; a run joins it as a user's would.
"""

import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
import yaml

from runs.common.hints import hint
from runs.store.journal import Entry, read_journal
from tests.runs.copies import kinds

ROOT = Path(__file__).parents[3]
EXAMPLES = ROOT / "examples" / "cluster"
SCRIPTS = sorted([*EXAMPLES.glob("*.sh"), *EXAMPLES.glob("*.sbatch")])
# What a machine without this project would be: neither installed nor on the path.
WITHOUT_PROJECT = """\
import os
import sys

sys.meta_path[:] = [f for f in sys.meta_path if "editable" not in f.__module__.lower()]
sys.path[:] = [
    p for p in sys.path if "py_modules_files" in p or not os.path.isdir(os.path.join(p, "egan"))
]
"""
COMMAND = "import sys; sys.argv[0] = 'run-evolution'; from runs.cli.main import main; main()"


@pytest.mark.process
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_a_script_parses(script):
    assert os.access(script, os.X_OK)
    done = subprocess.run(["bash", "-n", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    if shutil.which("shellcheck"):
        done = subprocess.run(["shellcheck", script], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout


def test_the_manifest_has_what_kuberay_asks_for():
    job = yaml.safe_load((EXAMPLES / "rayjob.yaml").read_text())
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    spec = job["spec"]
    assert spec["entrypoint"].startswith("run-evolution train ")
    assert spec["submissionMode"] in ("K8sJobMode", "HTTPMode", "SidecarMode")
    cluster = spec["rayClusterSpec"]
    assert cluster["authOptions"] == {"mode": "token"}
    pins = (ROOT / "requirements.lock").read_text()
    assert f"ray=={cluster['rayVersion']}\n" in pins
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    for group in groups:
        assert all(isinstance(value, str) for value in group["rayStartParams"].values())
        pod = group["template"]["spec"]
        volumes = {volume["name"] for volume in pod["volumes"]}
        for container in pod["containers"]:
            assert container["image"] and container["resources"]["limits"]
            assert {mount["name"] for mount in container["volumeMounts"]} <= volumes
    for group in cluster["workerGroupSpecs"]:
        assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]
        assert group["groupName"]


# --------------------------------------------------------------------------------------- by hand


class ByHand:
    """A head and a second node, each with one CPU, which the recipe starts."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.address = own_address()
        self.port = free_port()
        (folder / "sitecustomize.py").write_text(WITHOUT_PROJECT)
        clean = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
        token = {"RAY_AUTH_TOKEN_PATH": str(folder / "token"), "RAY_PORT": str(self.port)}
        here = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        self._environment = clean | token | {"PATH": here, "RAY_TMPDIR": str(folder)}

    def start(self, role: str) -> None:
        done = subprocess.run(
            [EXAMPLES / "by-hand.sh", role, self.address],
            env=self._environment | {"PYTHONPATH": str(self.folder), "RAY_CPUS": "1"},
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def run(self, *arguments: object, **environment: str) -> subprocess.Popen:
        given = {"RAY_ADDRESS": f"{self.address}:{self.port}", "PYTHONPATH": str(ROOT)}
        return subprocess.Popen(
            [sys.executable, "-c", COMMAND, *map(str, arguments)],
            env=self._environment | given | environment,
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def processes(self, name: str = "") -> list[psutil.Process]:
        """Return Ray's processes of this cluster, oldest first."""
        found = []
        for process in psutil.process_iter(["cmdline", "create_time", "name"]):
            if str(self.folder) in " ".join(process.info["cmdline"] or ()):
                found.append(process)
        found.sort(key=lambda process: process.info["create_time"])
        return [process for process in found if name in process.info["name"]]

    def stop(self) -> None:
        for _ in range(3):
            for process in self.processes():
                process.kill()
            time.sleep(0.5)


def own_address() -> str:
    """Return the address that this machine has in its network; nothing is sent."""
    with socket.socket(type=socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))
        return str(probe.getsockname()[0])


def free_port() -> int:
    """Return a port that is free, and none of those that Ray keeps for workers."""
    while True:
        with socket.socket() as server:
            server.bind(("", 0))
            if (port := server.getsockname()[1]) > 20000:
                return int(port)


@contextmanager
def cluster_by_hand() -> Iterator[ByHand]:
    folder = Path(tempfile.mkdtemp(prefix="ray-"))  # a socket's path must be short
    made = ByHand(folder)
    try:
        made.start("head")
        made.start("worker")
        yield made
    finally:
        made.stop()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def by_hand() -> Iterator[ByHand]:
    with cluster_by_hand() as made:
        yield made


@pytest.fixture(scope="module")
def options(images_yaml) -> tuple[object, ...]:
    return ("train", images_yaml, "--executor", "auto", "--workers", "2")


@pytest.mark.long
@pytest.mark.timeout(600)
def test_a_cluster_wants_its_token(by_hand, options, tmp_path):
    other = tmp_path / "token"
    other.write_text("0" * 64)
    process = by_hand.run(*options, "--output", tmp_path / "run", RAY_AUTH_TOKEN_PATH=str(other))
    _, stderr = process.communicate(timeout=120)
    assert process.returncode == 2 and "Traceback" not in stderr, stderr
    assert "requires another token than the one of RAY_AUTH_TOKEN_PATH" in stderr
    assert len(stderr.splitlines()) == 1


@pytest.mark.long
@pytest.mark.timeout(600)
def test_a_node_that_cannot_import_the_project_is_told_of(by_hand, options, tmp_path):
    process = by_hand.run(*options, "--output", tmp_path / "run")
    stdout, stderr = process.communicate(timeout=200)
    assert process.returncode == 2, stdout + stderr
    assert re.search(r"cannot import .*No module named 'populations'.*execution\.ship_code", stderr)


@pytest.mark.long
@pytest.mark.timeout(600)
def test_code_that_is_sent_survives_a_lost_node_and_a_lost_head_ends_the_run(
    by_hand, options, images_yaml, invoke, until_lines, tmp_path
):
    folder = tmp_path / "run"
    settings = ("--set", "execution.ship_code=true", "--set", "generations=100000")
    process = by_hand.run(*options, *settings, "--output", folder)
    until_lines(process, folder, 5)
    raylets = by_hand.processes("raylet")
    raylets[1].kill()  # the second node goes
    journal = folder / "journal.jsonl"
    deadline = time.monotonic() + 120
    while b"worker-lost" not in journal.read_bytes():  # else the head goes before that is known
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.2)
    until_lines(process, folder, journal.read_bytes().count(b"\n") + 20)

    begin = time.monotonic()
    by_hand.processes("gcs_server")[0].kill()
    stdout, stderr = process.communicate(timeout=150)
    assert process.returncode == 1, stdout + stderr
    assert time.monotonic() - begin < 120
    assert f"head at {by_hand.address}:{by_hand.port} has not answered for" in stderr
    # The run's PATH is not that of the tests, and so may be its name for the program.
    assert re.search(rf"Go on with: \S*run-evolution resume {folder}\n", stderr)
    assert "on 2 Ray worker(s)" in stdout
    assert "(auto: RAY_ADDRESS names a cluster)" in stdout

    entries = [item for item in read_journal(folder / "journal.jsonl") if isinstance(item, Entry)]
    assert "worker-lost" in kinds(folder)
    done = invoke("resume", folder, "--executor", "local", "--generations", len(entries) + 1)
    assert done.exit_code == 0, done.output
    whole = tmp_path / "whole"
    generations = ("--set", f"generations={len(entries) + 1}")
    assert invoke("train", images_yaml, *generations, "--output", whole).exit_code == 0
    checksum = done.output.split("checksum ")[1].split()[0]
    assert checksum in invoke("inspect", whole).output


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("name", "told"), [("raylet", "the raylet"), ("gcs_server", "its head")])
def test_a_process_of_ray_that_dies_here_ends_the_run_in_one_line(
    name, told, points_yaml, start, until_lines, tmp_path
):
    folder = tmp_path / "run"
    process = start(
        *("train", points_yaml, "--executor", "ray", "--workers", "1", "--output", folder),
        *("--set", "generations=100000"),
    )
    until_lines(process, folder, 5)
    offspring = psutil.Process(process.pid).children(recursive=True)
    next(child for child in offspring if child.name() == name).kill()
    stdout, stderr = process.communicate(timeout=150)
    assert process.returncode == 1, stdout + stderr
    assert told in stderr and "has died" in stderr and hint("resume", folder) in stderr
    assert len(stderr.splitlines()) == 1 and "state-dump" not in stdout
