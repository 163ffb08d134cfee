import ast
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runs.cli.main import main
from runs.common.hints import PROGRAM, hint

ROOT = Path(__file__).parents[3]
ODD = "my runs #2 'new' \"x\" $HOME \u00e9\u4e2d & ; *"


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1))
def test_a_shell_gives_back_what_was_put_in(text):
    _, command, *words = shlex.split(hint("train", "digits", set=[f"data.path={text}"]))
    assert (command, words) == ("train", ["digits", "--set", f"data.path={text}"])
    *_, path = shlex.split(hint("resume", text))
    assert path == (f"./{text}" if text.startswith("-") else text)


def test_no_message_puts_a_command_together_by_hand():
    by_hand = {
        f"{path.name}:{node.lineno}"
        for package in ("runs", "egan", "populations", "fitness")
        for path in (ROOT / package).rglob("*.py")
        for text in [path.read_text()]
        if PROGRAM in text
        for tree in [ast.parse(text)]
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and f"{PROGRAM} " in str(node.value)
        if node.value not in _docstrings(tree)
    }
    assert by_hand == set()


def _docstrings(tree: ast.AST) -> list[object]:
    """Return the docstrings of a module as they stand in the code."""
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef)
    bodies = [node.body for node in ast.walk(tree) if isinstance(node, kinds)]
    return [b[0].value.value for b in bodies
            if isinstance(b[0], ast.Expr) and isinstance(b[0].value, ast.Constant)]  # fmt: skip


def test_options_that_are_none_are_left_out_and_lists_repeated():
    assert hint("compare", "x", study=None, metric=["fid", "kid"]).endswith(
        "compare x --metric fid --metric kid"
    )


@pytest.mark.process
@pytest.mark.parametrize("name", [ODD, "-x"])
def test_what_a_run_in_an_oddly_named_folder_says_to_type_runs(
    points_yaml, invoke, tmp_path, monkeypatch, name
):
    monkeypatch.chdir(tmp_path)
    done = invoke("train", points_yaml, "--set", "generations=12", f"--output={name}")
    assert done.exit_code == 0
    (line,) = [line for line in done.output.splitlines() if line.startswith("look into it:")]
    assert shelled(line.partition(":")[2], tmp_path).returncode == 0
    again = invoke("train", points_yaml, f"--output={name}")
    resume = again.stderr.split("`")[1]
    assert "state at generation 12" in shelled(resume, tmp_path).stdout


def shelled(line: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a hint as a shell would, by this Python's program."""
    _, *rest = line.strip().partition(" ")
    program = shlex.join([sys.executable, str(ROOT / "run_evolution.py")])
    command = ["bash", "-c", f"{program} {''.join(rest)}"]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


def test_help_names_commands_that_there_are():
    lines = [line.split() for line in (main.help or "").splitlines() if "run-evolution " in line]
    assert lines and all(words[1] in main.commands for words in lines)


def test_mlflow_is_named_only_where_the_run_is_in_it(points_run, invoke, tmp_path):
    resumed = invoke("resume", points_run[0])
    assert resumed.exit_code == 0 and "MLflow" not in resumed.output
