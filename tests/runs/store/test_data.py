"""A run's own data: what was read is said and kept, and data that moved are found again."""

import json
import shutil

import numpy as np
import pytest
import yaml
from PIL import Image

from runs.common.hints import hint
from runs.store.folder import RunFolder

pytestmark = pytest.mark.usefixtures("without_pictures")
RNG = np.random.default_rng(0)
LABELS = np.repeat(np.arange(2), 15)
MORE = {"resume": ("--generations", "7")}  # a run that has ended does not open its data
IMAGES = RNG.integers(0, 256, (30, 8, 8), dtype=np.uint8)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Where the data lay when the run began."""
    path = tmp_path_factory.mktemp("data") / "a.npz"
    np.savez(path, images=IMAGES, labels=LABELS, classes=np.array(["dull", "bright"]))
    return path


@pytest.fixture(scope="module")
def train(images_yaml):
    return lambda path: (
        *("train", images_yaml, "--set", "data.source=array", "--set", f"data.path={path}"),
        *("--set", "data.resolution=null"),
    )


@pytest.fixture(scope="module")
def begun(train, place, invoke, tmp_path_factory):
    folder = tmp_path_factory.mktemp("begun") / "run"
    done = invoke(*train(place), "--output", folder)
    assert done.exit_code == 0, done.output
    return folder, done.output


@pytest.fixture
def run(begun, tmp_path):
    return shutil.copytree(begun[0], tmp_path / "run")


@pytest.fixture
def elsewhere(place, tmp_path):
    """The same data at another place; they are gone from where they lay."""
    new, aside = tmp_path / "new #2.npz", place.with_name("aside.npz")
    shutil.copy(place, new)
    place.rename(aside)
    yield new
    aside.rename(place)


REPORT = [
    "data: a.npz, 30 of 8 x 8, grey",
    "  2 classes, from labels: dull 15, bright 15; not used as conditions, unless "
    "data.condition=labels",
]


def test_what_was_read_is_said_at_the_start_and_by_inspect(begun, invoke):
    folder, output = begun
    assert all(line in output for line in REPORT)
    assert all(line in invoke("inspect", folder).output.splitlines() for line in REPORT)
    found = json.loads(invoke("inspect", folder, "--json").output)
    assert found["data"]["read"] == REPORT


def test_what_was_read_is_said_by_evaluate(begun, invoke):
    options = ("--metrics", "fid", "--space", "pixels", "--count", "20")
    done = invoke("evaluate", begun[0], *options)
    line = "  2 classes, from labels: dull 15, bright 15"
    assert {REPORT[0], line} <= set(done.output.splitlines())
    kept = json.loads((begun[0] / "evaluations/generation-00000006.json").read_text())
    assert "read" not in kept[0]


def test_a_batch_that_is_larger_than_the_data_is_said(train, place, invoke, tmp_path):
    done = invoke(*train(place), "--set", "fitness.batch=40", "--set", "generations=1",
                  "--output", tmp_path / "run")  # fmt: skip
    assert "fitness.batch is 40, and there are 30 images" in done.output


def test_missing_data_are_told_with_the_way_out(run, elsewhere, place, mistake):
    for command in ("resume", "evaluate"):
        message = mistake(command, run, *MORE.get(command, ()))
        assert f"{place}: no such file" in message
        assert f"say where they are now: {hint(command, run, data='NEW')}" in message


def test_a_run_goes_on_with_data_that_moved(run, elsewhere, invoke):
    done = invoke("resume", run, "--data", elsewhere, "--generations", "7")
    assert done.exit_code == 0, done.output
    values = yaml.safe_load((run / "config.yaml").read_text())
    assert values["data"]["path"] == str(elsewhere)
    assert invoke("resume", run, "--generations", "8").exit_code == 0


def test_the_command_of_a_job_goes_on_with_data_that_moved(train, run, elsewhere, invoke):
    done = invoke(*train(elsewhere), "--set", "generations=7", "--output", run, "--resume", "auto")
    assert done.exit_code == 0 and "resumed at generation 6" in done.output
    assert RunFolder(run).load_config().data.path == elsewhere


def test_data_that_moved_are_scored_against(run, elsewhere, invoke):
    options = ("--metrics", "fid", "--space", "pixels", "--count", "20", "--json")
    done = invoke("evaluate", run, "--data", elsewhere, *options)
    assert done.exit_code == 0, done.output


@pytest.mark.parametrize("command", ["resume", "evaluate"])
def test_other_data_at_the_new_place_are_refused(run, command, mistake, tmp_path):
    before = (run / "config.yaml").read_bytes()
    np.savez(tmp_path / "b.npz", images=IMAGES[:20], labels=LABELS[:20])
    message = mistake(command, run, "--data", tmp_path / "b.npz", *MORE.get(command, ()))
    assert "the data have changed" in message
    assert "b.npz holds 20 of 1 x 8 x 8" in message and "the run had 30 of 1 x 8 x 8" in message
    assert (run / "config.yaml").read_bytes() == before


def test_labels_that_changed_are_other_data(run, place, mistake, tmp_path):
    np.savez(tmp_path / "b.npz", images=IMAGES, labels=1 - LABELS)
    message = mistake("resume", run, "--data", tmp_path / "b.npz", *MORE["resume"])
    assert "the data have changed" in message


def test_data_without_a_place_cannot_move(points_run, mistake):
    message = mistake("resume", points_run[0], "--data", "x")
    assert "the run's data are gaussians, which lie at no path" in message
    assert "--data is for a run" in mistake("evaluate", "nowhere", "--data", "x")


def test_how_images_are_found_may_change_as_long_as_they_are_the_same(
    images_yaml, invoke, mistake, tmp_path
):
    for index, pixels in enumerate(IMAGES):
        Image.fromarray(pixels).save(tmp_path / f"{index}.png")
    data = ("--set", "data.source=images", "--set", f"data.path={tmp_path}")
    begin = ("train", images_yaml, *data, "--output", tmp_path / "run", "--resume", "auto")
    done = invoke(*begin, "--set", "generations=1")
    assert done.exit_code == 0 and "no labels: the images lie in one folder" in done.output
    more = ("--set", "generations=2")
    assert invoke(*begin, *more, "--set", "data.labels=none").exit_code == 0
    assert "data.flip" in mistake(*begin, *more, "--set", "data.flip=true")
