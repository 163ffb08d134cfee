"""What a person sees: lines where output is a file, a live display where it is a terminal."""

import errno
import io
import os
import pty
import re
import select
import signal
import time
from pathlib import Path

import pytest
from rich.console import Console

from populations.individual import Job, Score
from populations.lineage import Lineage
from populations.selection import SelectionConfig, build_selection
from runs.config.loading import load_config
from runs.display.progress import LiveDisplay, Plain, duration, paced, progress_for_terminal
from runs.store.journal import Entry

ESCAPE = "\x1b"
ESCAPES = r"\x1b\[[0-9;?]*[A-Za-z]"


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min 0 s"),
        (200, "3 min 20 s"),
        (7500, "2 h 5 min"),
        (86400 * 3 + 4 * 3600 + 59, "3 d 4 h"),
    ],
)
def test_a_duration_is_said_as_people_do(seconds, said):
    assert duration(seconds) == said


def an_entry(generation: int, failed: bool = False) -> tuple[Entry, Lineage]:
    jobs = (Job(0, (0,), "minimax"), Job(1, (0,), "heuristic"))
    bad = Score((float("nan"),) * 2, "loss is nan [/at] step 0")
    scores = (bad if failed else Score((0.25, 1.5)), Score((0.75, -2.5)))
    selection = build_selection(SelectionConfig(), 1, (1.0, 0.1))
    children = selection.individuals(generation, jobs, scores)
    survivors = selection.select(children)
    lineage = Lineage()
    lineage.update(children, survivors)
    entry = Entry(
        generation, 0.0, "c", jobs, scores, (survivors[0].job,), {"discriminator_loss": 0.5}
    )
    return entry, lineage


def test_plain_lines_come_at_the_start_and_at_the_end_and_not_between():
    console = Console(file=io.StringIO(), width=40)
    plain = Plain(console)
    plain.start(load_config("gaussians8", generations=50), 0)
    for generation in range(50):
        plain.generation(*an_entry(generation))
    plain.close()
    lines = console.file.getvalue().splitlines()
    assert [line.split("  ")[0] for line in lines] == ["generation 1/50", "generation 50/50"]
    assert "quality 0.7500 diversity -2.5000" in lines[0]
    assert "won by heuristic (heuristic 100%)" in lines[0] and lines[0].endswith("left")
    assert ESCAPE not in console.file.getvalue()


def test_messages_are_printed_as_they_are():
    console = Console(file=io.StringIO(), width=20)
    text = "a [bold]long[/nonsense] message of more than twenty letters"
    Plain(console).message(text)
    assert console.file.getvalue() == text + "\n"


def test_the_display_shows_scores_survivors_and_failures():
    console = Console(file=io.StringIO(), width=120, force_terminal=True)
    display = LiveDisplay(console)
    display.start(load_config("gaussians8", generations=2), 0)
    display.generation(*an_entry(0, failed=True))
    display.message("note [/x]")
    display.generation(*an_entry(1))
    display.close()
    display.close()
    shown = re.sub(ESCAPES, "", console.file.getvalue())
    for part in ("generation 2/2", "0.7500", "-2.5000", "loss is nan [/at] step 0", "note [/x]",
                 "0.5000", "share of wins"):  # fmt: skip
        assert part in shown


def test_closing_a_display_that_never_began_shows_nothing():
    console = Console(file=io.StringIO(), force_terminal=True)
    LiveDisplay(console).close()
    assert console.file.getvalue() == ""


def test_in_a_terminal_a_preparation_has_a_bar_and_later_stages_have_lines(monkeypatch):
    monkeypatch.setattr("runs.display.progress.PLAIN_INTERVAL", 0.0)
    console = Console(file=io.StringIO(), force_terminal=True, width=100)
    display = LiveDisplay(console)
    display.stage("training [b]", 1, 4)
    display.stage("training [b]", 3, 4)
    display.message("a line")
    display.start(load_config("gaussians8", generations=2), 0)
    before = re.sub(ESCAPES, "", console.file.getvalue())
    assert "training [b]" in before and "75%" in before and "a line" in before
    display.stage("images", 1, 4)
    display.stage("images", 2, 4)
    display.close()
    assert "images: 2 of 4" in re.sub(ESCAPES, "", console.file.getvalue())


def test_in_a_file_a_long_stage_has_lines(monkeypatch):
    monkeypatch.setattr("runs.display.progress.PLAIN_INTERVAL", 0.0)
    console = Console(file=io.StringIO())
    display = Plain(console)
    for done in range(1, 5):
        display.stage("training", done, 4)
    expected = ["training: 1 of 4", "training: 2 of 4", "training: 3 of 4"]
    assert console.file.getvalue().splitlines() == expected


def test_many_short_stages_are_told_as_one_long_one_is(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("runs.display.progress.time.monotonic", lambda: now[0])
    said: list[str] = []
    advance = paced(said.append)
    for stage in range(5):
        now[0] += 4.0
        advance(f"stage {stage}", 1, 2)
    assert said == ["stage 2: 1 of 2"]


def test_where_output_is_no_terminal_lines_are_plain(points_yaml, run, tmp_path):
    done = run("train", points_yaml, "--set", "generations=3", "--output", tmp_path / "run")
    assert ESCAPE not in done.stdout and done.stderr == ""
    lines = done.stdout.splitlines()
    assert lines[0] == "data: ring8, points of 2 coordinates"
    assert lines[1].startswith("points: 3 generations, in this process; folder ")
    assert any(line.startswith("generation 3/3  quality ") for line in lines)
    assert "drawing the last picture of samples, and the plots ..." in lines
    assert type(progress_for_terminal()) is Plain


def read_all(terminal: int, stop_after: str | None = None) -> str:
    """Read a terminal until the other side closes; press Ctrl-C when a text has appeared."""
    text = ""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        ready, _, _ = select.select([terminal], [], [], 1)
        if not ready:
            continue
        try:
            data = os.read(terminal, 65536)
        except OSError as error:  # Linux' way to say that the other side is closed
            assert error.errno == errno.EIO
            return text
        text += data.decode(errors="replace")
        if stop_after and stop_after in text:
            os.write(terminal, b"\x03")
            stop_after = None
    raise AssertionError(text)


def in_a_terminal(command: list[str], stop_after: str | None = None, **env: str) -> tuple[int, str]:
    """Run a command with a terminal of its own, as in a shell; return its status and output."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execvpe(command[0], command, os.environ | {"TERM": "xterm", "COLUMNS": "120"} | env)
    text = read_all(terminal, stop_after)
    _, status = os.waitpid(pid, 0)
    os.close(terminal)
    return os.waitstatus_to_exitcode(status), text


@pytest.mark.process
def test_in_a_terminal_a_live_display_runs_and_ends_cleanly(points_yaml, tmp_path, command):
    status, text = in_a_terminal(
        [*command, "train", points_yaml, "--output", str(tmp_path / "run")], PAUSE="0.03"
    )
    assert status == 0, text
    assert "generation 30/30" in text and text.count("share of wins") > 1
    assert ESCAPE in text and "Traceback" not in text
    hidden, shown = text.rfind("\x1b[?25l"), text.rfind("\x1b[?25h")
    assert 0 <= hidden < shown  # the cursor is back
    assert text.count("drawing the last picture of samples, and the plots ...") == 1
    after = text[text.index("state at generation 30") :]
    assert ESCAPE not in after


@pytest.mark.process
def test_ctrl_c_in_a_terminal_ends_the_display_with_the_resume_command(
    points_yaml, tmp_path, command
):
    arguments = ["train", points_yaml, "--output", str(tmp_path / "run")]
    options = ["--set", "generations=5000"]
    status, text = in_a_terminal(
        [*command, *arguments, *options], stop_after="generation 1/5000", PAUSE="0.01"
    )
    assert status == 3, text
    assert "stopped by SIGINT" in text and "resume" in text and "Traceback" not in text
    assert text.rfind("\x1b[?25l") < text.rfind("\x1b[?25h")
    assert len(list(Path(tmp_path / "run" / "snapshots").iterdir())) >= 1


def test_a_closed_pipe_is_no_traceback(points_yaml, start, tmp_path):
    process = start("train", points_yaml, "--output", tmp_path / "run", PAUSE="0.05")
    process.stdout.close()
    assert process.wait(timeout=60) in (0, 1, -signal.SIGPIPE)
    assert "Traceback" not in process.stderr.read()
