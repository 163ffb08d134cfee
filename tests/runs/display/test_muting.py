"""What cannot be shown ends nothing: a reader that has gone, a full disk, a lost terminal."""

import os
import shlex
import signal
import subprocess
from pathlib import Path

import pytest

from runs.display.muting import MutedOnError
from tests.runs.copies import checksum


class Broken:
    """A stream whose writes fail from the second on."""

    encoding = "utf-8"

    def __init__(self) -> None:
        self.written: list[str] = []

    def write(self, text: str) -> int:
        if self.written:
            raise BrokenPipeError
        self.written.append(text)
        return len(text)

    def fileno(self) -> int:
        raise ValueError("no descriptor")


def test_a_stream_that_breaks_takes_what_is_written_and_keeps_its_attributes():
    stream = MutedOnError(Broken())
    assert [stream.write("ab"), stream.write("cde")] == [2, 3]
    assert stream.encoding == "utf-8"


@pytest.mark.process
@pytest.mark.parametrize("sink", ["| head -n 1", "> /dev/full", "2> /dev/full > /dev/full", "| :"])
def test_a_run_whose_display_fails_goes_on_to_its_end(
    sink, points_yaml, points_run, command, invoke, tmp_path
):
    if "full" in sink and not Path("/dev/full").exists():
        pytest.skip("no /dev/full")
    line = shlex.join([*command, "train", points_yaml, "--output", str(tmp_path / "r")])
    script = f"set -o pipefail; {line} {sink}"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr and "Exception ignored" not in done.stderr
    assert checksum(invoke("resume", tmp_path / "r").output) == points_run[1]


@pytest.mark.process
@pytest.mark.parametrize(
    ("arguments", "sink", "status", "said"),
    [
        ("inspect RUN --json", "> /dev/full", 1, "inspect failed: the output cannot be written"),
        ("inspect RUN", "> /dev/full", 1, "inspect failed: the output cannot be written"),
        ("inspect RUN", "| :", 141, ""),
        ("presets", "> /dev/full", 1, "presets failed: the output cannot be written"),
        ("presets", "| :", 141, ""),
        ("inspect nowhere", "> /dev/full", 2, "error: nowhere is not a run's folder"),
        ("sample RUN --out OUT", "> /dev/full 2>&1", 0, ""),
        ("sample RUN --out OUT", "| :", 0, ""),
    ],
)
def test_a_command_fails_with_its_output_only_if_that_is_its_result(
    arguments, sink, status, said, points_run, command, tmp_path
):
    if "full" in sink and not Path("/dev/full").exists():
        pytest.skip("no /dev/full")
    places = {"RUN": str(points_run[0]), "OUT": str(tmp_path / "x.png")}
    line = shlex.join([*command, *(places.get(word, word) for word in arguments.split())])
    script = f"set -o pipefail; {line} {sink}"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == status
    assert done.stderr.startswith(said) and bool(done.stderr) == bool(said)


@pytest.mark.process
def test_a_lost_connection_stops_a_run_like_sigterm(
    points_yaml, points_run, start, until_lines, invoke, tmp_path
):
    folder = tmp_path / "run"
    inherited = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # the tests may run under nohup
    try:
        process = start("train", points_yaml, "--output", folder, PAUSE="0.05")
    finally:
        signal.signal(signal.SIGHUP, inherited)
    until_lines(process, folder, 3)
    process.send_signal(signal.SIGHUP)
    process.send_signal(signal.SIGHUP)  # the shell's, after the terminal's
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 3, stderr
    assert "stopped by SIGHUP" in stdout
    assert checksum(invoke("resume", folder).output) == points_run[1]


@pytest.mark.process
def test_nohup_is_respected(points_yaml, points_run, until_lines, tmp_path, command):
    folder = tmp_path / "run"
    process = subprocess.Popen(
        ["nohup", *command, "train", points_yaml, "--output", str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"PAUSE": "0.02"},
    )
    until_lines(process, folder, 3)
    process.send_signal(signal.SIGHUP)
    stdout, _ = process.communicate(timeout=60)
    assert process.returncode == 0 and checksum(stdout) == points_run[1]
