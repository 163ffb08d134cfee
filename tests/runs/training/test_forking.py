"""`train --from RUN --resume auto`: a fork that was begun goes on without its parent."""

import re
import shutil
from pathlib import Path

import pytest

from runs.common.errors import ConfigError
from runs.display.inspection import inspect_run
from runs.store.folder import RunFolder
from runs.training.continuing import fork_or_resume
from runs.training.forking import plan_fork, split_place
from tests.runs.copies import checksum, copy_of, interrupted, kinds

pytestmark = pytest.mark.usefixtures("without_pictures")


@pytest.fixture
def parent(points_run, tmp_path) -> Path:
    """A copy of a run that a test may move or damage."""
    return Path(shutil.copytree(points_run[0], tmp_path / "parent"))


@pytest.fixture
def begun(parent, tmp_path) -> Path:
    """A fork of the parent's generation 20, killed before its first generation."""
    planned = plan_fork(f"{parent}@20", ["generations=34"])
    planned.check(RunFolder(parent).load_data())
    folder = RunFolder.create(
        planned.config, RunFolder(parent).load_data(), tmp_path / "fork", planned.parent,
        planned.state,
    )  # fmt: skip
    return folder.path


def again(place: object, begun: Path) -> tuple:
    return ("train", "--from", place, "--set", "generations=34", "--resume", "auto", "--output",
            begun)  # fmt: skip


@pytest.mark.parametrize("lost", ["snapshots", "everything", "moved"])
def test_a_fork_goes_on_without_its_parent(lost, parent, begun, points_run, invoke, tmp_path):
    place = parent
    if lost == "snapshots":
        shutil.rmtree(parent / "snapshots")
    elif lost == "everything":
        shutil.rmtree(parent)
    else:
        place = parent.rename(tmp_path / "elsewhere")
    done = invoke(*again(f"{place}@20", begun))
    assert done.exit_code == 0, done.output
    assert "resumed at generation 20" in done.output
    other = tmp_path / "undisturbed"
    command = ("train", "--from", f"{points_run[0]}@20", "--set", "generations=34")
    assert checksum(done.output) == checksum(invoke(*command, "--output", other).output)
    assert kinds(begun) == ["resumed"]


def test_the_parents_own_way_is_no_matter(parent, begun, invoke):
    assert invoke("resume", parent, "--generations", "40").exit_code == 0
    done = invoke(*again(parent, begun))  # the newest is no longer the one that was forked
    assert done.exit_code == 0 and "state at generation 34" in done.output


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("{parent}@10", "holds a fork of generation 20 of .*parent, not of 10"),
        ("{parent}x", "a fork of .*parent, not a fork of .*parentx"),
        ("{other}@20", "a fork of .*parent, not a fork of .*copy"),
    ],
)
def test_a_fork_of_something_else_is_refused(place, said, parent, begun, tmp_path):
    other = copy_of(parent, tmp_path)
    text = (other / "config.yaml").read_text()
    (other / "config.yaml").write_text(re.sub("run: [0-9a-f]{32}", f"run: {'b' * 32}", text))
    with pytest.raises(ConfigError, match=said):
        fork_or_resume(place.format(parent=parent, other=other), ["generations=34"], begun)
    assert inspect_run(begun)["generation"] == 20


def test_a_parent_whose_state_is_another_one_now_is_refused(parent, begun, points_run):
    text = (begun / "config.yaml").read_text()
    own = RunFolder(begun).load_identity().parent.checksum
    (begun / "config.yaml").write_text(text.replace(own, "0" * 16))
    with pytest.raises(ConfigError, match=f"with checksum {'0' * 16}; it has {own} now"):
        fork_or_resume(f"{parent}@20", ["generations=34"], begun)


def test_a_run_that_is_no_fork_and_another_config_are_refused(parent, begun, points_run, tmp_path):
    folder = interrupted(points_run[0], tmp_path, 20)
    with pytest.raises(ConfigError, match="holds a run that is no fork"):
        fork_or_resume(f"{parent}@20", (), folder)
    with pytest.raises(ConfigError, match="seed: 3 there, 4 here"):
        fork_or_resume(f"{parent}@20", (), begun, seed=4)


def test_a_fork_is_brought_back_from_its_mirror_without_its_parent(parent, invoke, tmp_path):
    mirror = f"checkpoint.mirror=file://{tmp_path}/store/run"
    command = (*again(f"{parent}@20", tmp_path / "fork"), "--set", mirror)
    first = invoke(*command)
    assert first.exit_code == 0, first.output
    shutil.rmtree(parent)
    shutil.rmtree(tmp_path / "fork")
    done = invoke(*command)
    assert done.exit_code == 0 and checksum(done.output) == checksum(first.output)


def test_before_its_first_generation_a_fork_is_shown_where_it_begins(begun, invoke):
    found = inspect_run(begun)
    assert (found["generation"], found["checksum_generation"]) == (20, 20)
    assert found["origin"]["verifies"] and found["checksum"] == found["origin"]["checksum"]
    assert found["parent"]["folder"] == str(begun.with_name("parent"))  # absolute
    shown = invoke("inspect", begun).output
    assert "generation 20 of 34" in shown
    assert re.search(r"forked from: generation 20 +yes", shown)


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("", "names no run"),
        ("@best", "names no run"),
        ("@20", "names no run"),
        ("{parent}@", "'' is no snapshot's name"),
        ("{parent}@newest", "'newest' is no snapshot's name; give a generation, .*parent@500"),
        ("{parent}@" + "9" * 30, "is no snapshot's name"),
        ("{parent}@-1", "'-1' is no snapshot's name"),
    ],
)
def test_a_place_of_another_form_is_told_the_form(place, said, parent):
    with pytest.raises(ConfigError, match=said):
        split_place(place.format(parent=parent))


def test_a_folder_with_an_at_sign_is_a_run(parent, tmp_path):
    there = parent.rename(tmp_path / "run@20")
    assert split_place(str(there)) == (str(there), "")
    assert split_place(f"{there}@best") == (str(there), "best")


def test_other_networks_are_named_by_their_keys(parent, mistake, tmp_path):
    said = mistake(
        *("train", "--from", f"{parent}@20", "--output", tmp_path / "x"),
        *("--set", "population.survivors=2", "--set", "backbone.width=9"),
    )
    lines = said.strip().splitlines()
    assert "A fork keeps its parent's networks" in lines[0]
    assert lines[1:] == [
        "  population.survivors: 1 there, 2 here",
        "  backbone.width: 8 there, 9 here",
    ]


def test_a_parent_of_a_newer_format_is_refused_in_a_line(parent, mistake, tmp_path):
    path = parent / "data.json"
    path.write_text(path.read_text().replace('"format": ', '"format": 9'))
    said = mistake("train", "--from", f"{parent}@20", "--output", tmp_path / "x")
    assert "data.json was written by version" in said and len(said.strip().splitlines()) == 1
