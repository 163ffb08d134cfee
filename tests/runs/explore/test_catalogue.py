"""Which generators can be shown; runs that go on are read again and not disturbed."""

import shutil
from pathlib import Path

import pytest

from runs.common.errors import ConfigError
from runs.common.lock import RunLock
from runs.explore.catalogue import MOST, Catalogue
from runs.sampling.generators import write_generator
from runs.sampling.opening import open_sampler
from runs.store.folder import RunFolder


@pytest.fixture
def copied(digits, tmp_path):
    shutil.copytree(digits, tmp_path / "a")
    return tmp_path / "a"


def files(folder):
    return {path: path.stat().st_mtime_ns for path in Path(folder).rglob("*")}


def test_the_newest_and_every_snapshot_can_be_shown(digits):
    catalogue = Catalogue([digits])
    assert catalogue.names == ["digits, newest", "digits, generation 4", "digits, generation 2"]
    assert catalogue.usual == ["digits, newest"]
    assert catalogue.open("digits, generation 2").title == "digits: generation 2 of 4"
    assert catalogue.open("digits, newest").title == "digits: generation 4 of 4"


def test_runs_of_one_name_are_told_apart_by_their_paths(digits, tmp_path):
    shutil.copytree(digits, tmp_path / "x" / "digits")
    names = Catalogue([digits, tmp_path / "x" / "digits", digits]).usual
    assert names == [f"{digits}, newest", f"{tmp_path / 'x' / 'digits'}, newest"]


def test_many_runs_begin_with_the_first_ones(digits, tmp_path):
    runs = [tmp_path / str(n) for n in range(MOST + 1)]
    for run in runs:
        shutil.copytree(digits, run)
    assert len(Catalogue(runs).usual) == MOST


def test_a_new_snapshot_is_shown_and_what_was_read_is_kept(copied):
    folder = RunFolder(copied)
    newest = folder.snapshots / "generation-00000004"
    newest.rename(copied / "later")
    catalogue = Catalogue([copied])
    first = catalogue.open("a, newest")
    assert first.title == "a: generation 2 of 4, not in training now"
    assert catalogue.open("a, newest") is first
    state = catalogue.state
    assert catalogue.state == state
    (copied / "later").rename(newest)
    assert catalogue.state != state
    assert catalogue.open("a, newest").title == "a: generation 4 of 4"


def test_a_run_in_training_is_said_to_be_and_not_touched(copied):
    (copied / "snapshots" / "generation-00000004").rename(copied / "later")
    before = files(copied)
    catalogue = Catalogue([copied])
    state = catalogue.state
    with RunLock(RunFolder(copied).lock):
        assert catalogue.open("a, newest").title == "a: generation 2 of 4, in training"
        assert catalogue.state != state
    after = files(copied)
    del before[copied / "journal.lock"], after[copied / "journal.lock"]  # the test's own
    assert before == after


def test_a_damaged_newest_snapshot_is_passed_over(copied):
    (copied / "snapshots" / "generation-00000004" / "state.safetensors").write_bytes(b"x")
    assert Catalogue([copied]).open("a, newest").title.startswith("a: generation 2 of 4")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("digits, generation 3", "has no snapshot of generation 3. There are: 2, 4"),
        ("digits, newst", "there is no 'digits, newst' here; did you mean 'digits, newest'"),
        ("other, newest", "there is no 'other, newest' here"),
        ("", "there is no '' here"),
    ],
)
def test_what_is_not_there_is_refused(digits, name, message):
    with pytest.raises(ConfigError) as told:
        Catalogue([digits]).open(name)
    assert message in str(told.value)


def test_the_folder_of_a_generator_is_shown_too(digits, tmp_path):
    sampler, _ = open_sampler(digits)
    (tmp_path / "g").mkdir()
    write_generator(tmp_path / "g", RunFolder(digits).load_config().backbone, sampler)
    catalogue = Catalogue([tmp_path / "g", digits])
    assert catalogue.usual == ["g", "digits, newest"]
    assert catalogue.open("g").title == "g: generator"


def test_points_are_refused(points):
    with pytest.raises(ConfigError, match="its samples are points, and explore shows images"):
        Catalogue([points])


def test_translators_and_others_are_explored_apart(digits, letters):
    assert Catalogue([letters]).translators and not Catalogue([digits]).translators
    with pytest.raises(ConfigError, match="letters: translates images, and the other runs"):
        Catalogue([digits, letters])


def test_a_run_without_a_snapshot_is_refused(copied):
    shutil.rmtree(copied / "snapshots")
    with pytest.raises(ConfigError, match="has no snapshot to sample from yet"):
        Catalogue([copied])
