"""Packing: what was packed comes back, whole or not at all."""

import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from egan.data import DataError, detect_source, open_source, prepare
from egan.data.config import (
    ArrayConfig,
    DigitsConfig,
    GaussiansConfig,
    ImagesConfig,
    PackedConfig,
)
from egan.data.draws import Draws
from egan.streams import Purpose


@pytest.fixture
def tree(tmp_path):
    for index, name in enumerate(("cats/a.png", "cats/b.png", "dogs/c.png")):
        path = tmp_path / "tree" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (20, 16), (index, 100, 200)).save(path)
    return tmp_path / "tree"


def contents(folder):
    return sorted(entry.name for entry in folder.iterdir())


def test_a_packed_folder_is_the_set_it_was_packed_from(tree, tmp_path):
    seen = []
    manifest = prepare(tree, tmp_path / "packed", 8, progress=lambda *done: seen.append(done))
    direct = open_source(ImagesConfig(path=tree, resolution=8))
    config = detect_source(tmp_path / "packed")
    assert config == PackedConfig(path=tmp_path / "packed")
    packed = open_source(config)
    assert isinstance(packed.images, np.memmap)
    assert np.array_equal(packed.images, direct.images)
    assert packed.labels.tolist() == direct.labels.tolist() == [0, 0, 1]
    assert packed.classes == ("cats", "dogs")
    assert (manifest.count, manifest.shape) == (3, (3, 8, 8))
    assert packed.fingerprint == manifest.fingerprint
    assert seen[0] == (1, 3)
    assert seen[-1] == (3, 3)
    assert contents(tmp_path) == ["packed", "tree"]
    wanted = {Purpose.TRAIN_DATA: 2}
    assert Draws(packed, 0, wanted)(5, Purpose.TRAIN_DATA).equal(
        Draws(direct, 0, wanted)(5, Purpose.TRAIN_DATA)
    )


def test_any_image_source_can_be_packed(tmp_path):
    prepare(DigitsConfig(flip=True), tmp_path / "digits", 16)
    packed = open_source(PackedConfig(path=tmp_path / "digits"))
    assert np.array_equal(packed.images, open_source(DigitsConfig()).images)
    np.save(tmp_path / "a.npy", np.zeros((4, 9, 9, 3), np.uint8))
    prepare(tmp_path / "a.npy", tmp_path / "array", 8)
    array = open_source(PackedConfig(path=tmp_path / "array"))
    assert array.labels is None
    assert array.images.shape == (4, 3, 8, 8)
    prepare(tmp_path / "digits", tmp_path / "digits8", 8)
    assert open_source(PackedConfig(path=tmp_path / "digits8")).shape == (1, 8, 8)
    with pytest.raises(DataError, match="endless"):
        prepare(GaussiansConfig(), tmp_path / "points", 8)


def test_bad_files_stop_packing_or_are_listed(tree, tmp_path):
    (tree / "cats/b.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"cats/b\.png"):
        prepare(tree, tmp_path / "packed", 8)
    assert contents(tmp_path) == ["tree"]  # nothing is left behind
    manifest = prepare(tree, tmp_path / "packed", 8, skip_bad=True)
    packed = open_source(PackedConfig(path=tmp_path / "packed"))
    assert manifest.count == len(packed) == 2
    assert [name for name, _ in packed.skipped] == ["cats/b.png"]
    assert packed.labels.tolist() == [0, 1]
    assert packed.images[:, 0, 0, 0].tolist() == [0, 2]


def test_what_is_there_is_replaced_only_by_force_and_only_if_packed(tree, tmp_path):
    prepare(tree, tmp_path / "packed", 8)
    with pytest.raises(DataError, match="there already"):
        prepare(tree, tmp_path / "packed", 16)
    prepare(tree, tmp_path / "packed", 16, force=True)
    assert open_source(PackedConfig(path=tmp_path / "packed")).shape == (3, 16, 16)
    with pytest.raises(DataError, match="not written by prepare"):
        prepare(tree, tree, 8, force=True)
    (tmp_path / "empty").mkdir()
    prepare(tree, tmp_path / "empty", 8)
    assert contents(tmp_path) == ["empty", "packed", "tree"]


def test_a_stop_in_the_middle_leaves_the_old_set(tree, tmp_path):
    prepare(tree, tmp_path / "packed", 8)

    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(tree, tmp_path / "packed", 16, force=True, progress=stop)
    assert open_source(PackedConfig(path=tmp_path / "packed")).shape == (3, 8, 8)
    assert contents(tmp_path) == ["packed", "tree"]


HANG = """
import sys, time
from pathlib import Path
from egan.data.prepare import prepare

def hang(done, total):
    print("packing", flush=True)
    time.sleep(120)

prepare(Path(sys.argv[1]), Path(sys.argv[2]), 8, progress=hang)
"""


@pytest.mark.process
def test_what_a_killed_process_left_goes_and_a_living_ones_work_stays(tree, tmp_path):
    command = [sys.executable, "-c", HANG, str(tree), str(tmp_path / "packed")]
    packers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    try:
        for packer in packers:
            assert packer.stdout.readline() == "packing\n"
        assert len(contents(tmp_path)) == 3
        packers[0].kill()
        packers[0].wait()
        prepare(tree, tmp_path / "packed", 8)
        living = [name for name in contents(tmp_path) if name.startswith(".packed-")]
        assert len(living) == 1
    finally:
        for packer in packers:
            packer.kill()
            packer.communicate()
    prepare(tree, tmp_path / "packed", 8, force=True)
    assert contents(tmp_path) == ["packed", "tree"]


def test_a_damaged_packed_folder_is_named(tree, tmp_path):
    prepare(tree, tmp_path / "packed", 8)
    folder, config = tmp_path / "packed", PackedConfig(path=tmp_path / "packed")
    manifest = json.loads((folder / "manifest.json").read_text())
    images = (folder / "images.npy").read_bytes()

    (folder / "images.npy").write_bytes(images[:-5])
    with pytest.raises(DataError, match=r"images\.npy: .*truncated"):
        open_source(config)
    (folder / "images.npy").write_bytes(images)
    (folder / "manifest.json").write_text(json.dumps({**manifest, "count": 4}))
    with pytest.raises(DataError, match="prepare it again"):
        open_source(config)
    (folder / "manifest.json").write_text(json.dumps({**manifest, "version": 2}))
    with pytest.raises(DataError, match="another version"):
        open_source(config)
    (folder / "manifest.json").unlink()
    with pytest.raises(DataError, match="not a folder that prepare wrote"):
        open_source(config)


def test_hashes_are_those_of_the_files(tree, tmp_path):
    import hashlib

    manifest = prepare(tree, tmp_path / "packed", 8)
    for name, digest in manifest.sha256.items():
        content = (tmp_path / "packed" / name).read_bytes()
        assert hashlib.sha256(content).hexdigest() == digest
    # The array opens with numpy alone.
    assert np.load(tmp_path / "packed/images.npy", mmap_mode="r").shape == (3, 3, 8, 8)


def test_packing_holds_few_images_at_a_time(tmp_path):
    import tracemalloc

    stored = np.lib.format.open_memmap(tmp_path / "a.npy", "w+", np.uint8, (4000, 64, 64, 3))
    stored[:] = 5
    stored.flush()
    del stored
    tracemalloc.start()
    prepare(ArrayConfig(path=tmp_path / "a.npy"), tmp_path / "packed", 32)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4e6  # of 49 MB read and 12 MB written
