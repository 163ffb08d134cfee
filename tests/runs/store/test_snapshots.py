import json
import os
import shutil
import subprocess

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from egan.replica import ExportedState
from runs.common.errors import ConfigError
from runs.common.files import write_json
from runs.store import snapshots as checkpoint
from runs.store.snapshots import (
    MANIFEST,
    STATE,
    Snapshot,
    SnapshotError,
    newest,
    read_snapshot,
    snapshots,
    verify,
    write_snapshot,
)


def state(generation: int, seed: int = 0) -> ExportedState:
    stream = np.random.default_rng(seed + generation)
    arrays = {
        "discriminator.params": stream.normal(size=37).astype(np.float32),
        "parents.0.generator.params": np.array([np.nan, np.inf, -0.0, 1e-45], np.float32),
        "parents.0.generator.buffers.count": np.array(7, np.int64),
        "columns": np.asfortranarray(stream.normal(size=(3, 4)).astype(np.float32)),
    }
    steps = {"parents.0.generator": generation, "discriminator": 2 * generation}
    return ExportedState(arrays, generation, steps, {"discriminator_loss": 0.1 + 0.2})


def same(one: ExportedState, other: ExportedState) -> bool:
    assert (one.generation, one.steps, one.training) == (
        other.generation,
        other.steps,
        other.training,
    )
    assert one.arrays.keys() == other.arrays.keys()
    for name, array in one.arrays.items():
        back = other.arrays[name]
        assert (back.dtype, back.shape) == (array.dtype, array.shape)
        assert back.tobytes() == array.tobytes()
    return True


def generations(folder) -> list[int]:
    return [snapshot.generation for snapshot in snapshots(folder)]


def passed_over(folder) -> str:
    """Return why the newest snapshot was passed over; the one before it must be taken."""
    found, checksum, passed = newest(folder)
    assert found is not None and found.generation == 1 and checksum == "one"
    ((snapshot, reason),) = passed
    assert snapshot.generation == 2
    return reason


@pytest.fixture
def two(tmp_path):
    write_snapshot(tmp_path, state(1), "one", keep=3)
    write_snapshot(tmp_path, state(2), "two", keep=3)
    return tmp_path


def test_a_snapshot_comes_back_to_the_bit(tmp_path):
    path = write_snapshot(tmp_path, state(5), "sum", keep=1)
    back, checksum = read_snapshot(Snapshot(path, 5))
    assert same(state(5), back) and checksum == "sum"
    assert sorted(file.name for file in path.iterdir()) == [MANIFEST, STATE]


@given(
    st.dictionaries(
        st.text(st.characters(categories=("L", "N")), min_size=1, max_size=8),
        st.lists(st.floats(width=32), max_size=6),
        min_size=1,
        max_size=4,
    )
)
@settings(max_examples=25)
def test_any_arrays_come_back_to_the_bit(tmp_path_factory, arrays):
    folder = tmp_path_factory.mktemp("any")
    exported = ExportedState({k: np.array(v, np.float32) for k, v in arrays.items()}, 3, {"d": 1})
    path = write_snapshot(folder, exported, "x", keep=1)
    assert same(exported, read_snapshot(Snapshot(path, 3))[0])


def test_any_safetensors_reader_opens_the_state(tmp_path):
    from safetensors import safe_open

    path = write_snapshot(tmp_path, state(5), "sum", keep=1)
    with safe_open(path / STATE, framework="pt") as file:
        assert set(file.keys()) == set(state(5).arrays)


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o027, 0o640), (0o077, 0o600)])
def test_who_may_read_the_files_is_up_to_the_umask(tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        path = write_snapshot(tmp_path, state(5), "sum", keep=3)
    finally:
        os.umask(before)
    modes = {file.name: file.stat().st_mode & 0o777 for file in path.iterdir()}
    assert modes == {STATE: mode, MANIFEST: mode}


def test_only_the_newest_are_kept(tmp_path):
    for generation in (10, 20, 30, 100_000_000):
        write_snapshot(tmp_path, state(generation), "x", keep=2)
    assert generations(tmp_path) == [100_000_000, 30]


def test_a_snapshot_written_again_takes_the_place_of_the_old_one(two):
    write_snapshot(two, state(2, seed=9), "again", keep=3)
    found, checksum, _ = newest(two)
    assert same(state(2, seed=9), found) and checksum == "again"


def test_a_folder_that_is_not_there_holds_none(tmp_path):
    assert snapshots(tmp_path / "none") == []
    assert newest(tmp_path / "none") == (None, "", [])


# ------------------------------------------------------------------------------------------- damage


@given(st.data())
@settings(max_examples=60)
def test_a_changed_byte_in_either_file_is_recognised(tmp_path_factory, data):
    path = write_snapshot(tmp_path_factory.mktemp("flip"), state(2), "two", keep=1)
    file = path / data.draw(st.sampled_from([STATE, MANIFEST]))
    content = bytearray(file.read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= 1 << data.draw(st.integers(0, 7))
    file.write_bytes(content)
    try:
        back, checksum = read_snapshot(Snapshot(path, 2))
    except SnapshotError as error:
        assert str(error)
    else:  # white space between JSON's values means nothing
        assert file.name == MANIFEST and same(state(2), back) and checksum == "two"


@pytest.mark.parametrize("size", [0, 1, 7, 8, 100, -1])
def test_a_truncated_state_is_passed_over(two, size):
    file = two / "generation-00000002" / STATE
    content = file.read_bytes()
    file.write_bytes(content[:size])
    assert STATE in passed_over(two)


@pytest.mark.parametrize("name", [STATE, MANIFEST])
def test_a_missing_file_is_named(two, name):
    (two / "generation-00000002" / name).unlink()
    assert name in passed_over(two)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", "5", "{}", '{"format": 1}', "\xff", '{"format": "1"}']
)
def test_a_manifest_that_is_none_is_passed_over(two, text):
    (two / "generation-00000002" / MANIFEST).write_bytes(text.encode("latin-1"))
    assert passed_over(two)


def test_a_manifest_that_is_a_folder_is_passed_over(two):
    (two / "generation-00000002" / MANIFEST).unlink()
    (two / "generation-00000002" / MANIFEST).mkdir()
    assert MANIFEST in passed_over(two)


def test_a_format_of_the_future_is_named(two):
    file = two / "generation-00000002" / MANIFEST
    write_json(file, json.loads(file.read_text()) | {"format": 99})
    with pytest.raises(ConfigError, match=r"generation-00000002: .* \(format 99\)"):  # and kept
        newest(two)


@pytest.mark.parametrize(
    "change", [{"steps": {"discriminator": 5}}, {"checksum": "three"}, {"training": {}}]
)
def test_a_manifest_that_was_edited_is_passed_over(two, change):
    file = two / "generation-00000002" / MANIFEST
    write_json(file, json.loads(file.read_text()) | change)
    assert "damaged" in passed_over(two)


def test_a_snapshot_under_another_ones_name_is_passed_over(two):
    (two / "generation-00000002").rename(two / "generation-00000003")
    found, _, ((snapshot, reason),) = newest(two)
    assert found.generation == 1 and snapshot.generation == 3 and "another" in reason


def test_where_none_verifies_all_reasons_are_told(two):
    for path in list(two.iterdir()):
        (path / STATE).write_bytes(b"")
    found, checksum, passed = newest(two)
    assert found is None and checksum == "" and [s.generation for s, _ in passed] == [2, 1]


def test_what_a_killed_process_left_half_written_is_no_snapshot_and_goes(two):
    left = two / ".generation-00000003-4242"
    left.mkdir()
    (left / STATE).write_bytes(b"half")
    assert generations(two) == [2, 1]
    assert newest(two)[0].generation == 2
    write_snapshot(two, state(3), "three", keep=3)
    assert sorted(path.name for path in two.iterdir()) == [
        f"generation-0000000{n}" for n in (1, 2, 3)
    ]


def test_other_files_in_the_folder_are_left_alone(two):
    (two / "notes.txt").write_text("mine")
    (two / "generation-x").mkdir()
    write_snapshot(two, state(3), "three", keep=1)
    assert generations(two) == [3]
    assert (two / "notes.txt").read_text() == "mine" and (two / "generation-x").is_dir()


# ------------------------------------------------------------------------------------------ failure


@pytest.mark.parametrize("step", ["save_file", "sha256", "write_json"])
def test_a_failure_in_the_middle_leaves_nothing_to_be_seen(two, step, monkeypatch):
    def fail(*arguments):
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="Input/output"):
        patch.setattr(checkpoint, step, fail)
        write_snapshot(two, state(3), "three", keep=1)
    assert sorted(path.name for path in two.iterdir()) == [
        "generation-00000001",
        "generation-00000002",
    ]
    assert all(verify(snapshot) for snapshot in snapshots(two))


@pytest.fixture
def small_disk(tmp_path):
    """A real file system of 256 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = shutil.which("mount")
    command = [mount or "", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)]
    if not mount or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small file system is not permitted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_costs_the_new_snapshot_and_no_old_one(small_disk):
    def large(generation):
        array = np.random.default_rng(generation).normal(size=20_000).astype(np.float32)
        return ExportedState({"x": array}, generation, {"x": 1})  # 80 kB

    for generation in (1, 2):
        write_snapshot(small_disk, large(generation), "x", keep=5)
    with pytest.raises(OSError, match="No space left"):
        for generation in range(3, 9):
            write_snapshot(small_disk, large(generation), "x", keep=5)
    kept = snapshots(small_disk)
    assert {1, 2} <= {snapshot.generation for snapshot in kept}
    assert all(verify(snapshot) for snapshot in kept)
    assert {path.name for path in small_disk.iterdir()} == {s.path.name for s in kept}
    shutil.rmtree(kept[-1].path)
    write_snapshot(small_disk, large(9), "x", keep=5)  # room again: as before
    assert newest(small_disk)[0].generation == 9
