"""A run's mirror in a real server of the S3 protocol, which dies, and the run's disk with it."""

import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
import yaml

from runs.mirror.objects import Store
from runs.store.journal import Entry, read_journal
from tests.runs.copies import checksum, record

pytestmark = pytest.mark.usefixtures("without_pictures")


class S3:
    """A real server of the S3 protocol, in memory: moto's."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._process: subprocess.Popen | None = None

    def start(self) -> None:
        import socket
        import urllib.request

        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self._process = subprocess.Popen(command, **quiet)
        deadline = time.monotonic() + 120
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    break
            assert self._process.poll() is None and time.monotonic() < deadline
            time.sleep(0.1)
        bucket = urllib.request.Request(f"http://127.0.0.1:{self.port}/bucket", method="PUT")
        with urllib.request.urlopen(bucket, timeout=60) as answer:
            assert answer.status == 200

    def kill(self) -> None:
        """End it; it forgets everything."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()


@pytest.fixture
def s3(monkeypatch):
    import socket

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    server = S3(port)
    server.start()
    yield server
    server.kill()


def s3_uri(server: S3) -> str:
    return (
        f"s3://bucket/runs/one?endpoint_override=127.0.0.1:{server.port}"
        "&scheme=http&region=us-east-1"
    )


def until_mirrored(process: subprocess.Popen, uri: str, generation: int) -> None:
    deadline = time.monotonic() + 120
    while (mark := Store(uri).newest()) is None or mark.generation < generation:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, "nothing is mirrored"
        time.sleep(0.02)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_killed_with_its_disk_again_and_again_a_run_goes_on_from_s3_to_the_same_bits(
    s3, points_run, points_yaml, start, run, tmp_path
):
    uri = s3_uri(s3)
    train = (
        *("train", points_yaml, "--resume", "auto", "--set", f"checkpoint.mirror={uri}"),
        *("--set", "checkpoint.every=1", "--output"),
    )
    for life, generation in enumerate((3, 9, 16, 22)):
        process = start(*train, tmp_path / f"life-{life}", PAUSE="0.1")
        until_mirrored(process, uri, generation)
        time.sleep(0.03 * life)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        shutil.rmtree(tmp_path / f"life-{life}")
    done = run(*train, tmp_path / "last")
    assert done.returncode == 0, done.stderr
    assert "fetching the run of" in done.stdout
    assert checksum(done.stdout) == points_run[1]
    assert record(tmp_path / "last") == record(points_run[0])
    assert set(Store(uri).names()) == Store(uri).newest().names()


@pytest.mark.long
@pytest.mark.timeout(900)
def test_an_s3_server_that_dies_in_the_middle_holds_up_nothing_and_is_filled_again(
    s3, points_run, points_yaml, start, invoke, until_lines, tmp_path
):
    uri, folder = s3_uri(s3), tmp_path / "run"
    process = start(
        *("train", points_yaml, "--set", f"checkpoint.mirror={uri}", "--output", folder),
        *("--set", "checkpoint.every=2", "--set", "generations=100000"),
        PAUSE="0.02",
    )
    until_mirrored(process, uri, 10)
    s3.kill()
    lines = len(record(folder))
    until_lines(process, folder, lines + 100)  # it goes on
    s3.start()  # empty
    until_mirrored(process, uri, lines + 100)
    os.killpg(process.pid, signal.SIGTERM)
    stdout, stderr = process.communicate(timeout=120)
    assert process.returncode == 3, stderr
    assert stdout.count("warning: the mirror cannot be written") == 1
    assert "has caught up" in stdout
    lines = (item for item in read_journal(folder / "journal.jsonl") if isinstance(item, Entry))
    seconds = [line.seconds["total"] for line in lines]
    assert max(seconds[1:]) < 5  # a connection alone takes longer to fail
    end = Store(uri).newest().generation
    done = invoke("resume", uri, "--output", tmp_path / "there", "--generations", end + 2)
    assert (
        yaml.safe_load((tmp_path / "there" / "config.yaml").read_text())["checkpoint"]["mirror"]
        == uri
    )
    assert done.exit_code == 0
