"""What a damaged folder is gone on from, and what is refused of it."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from runs.store.snapshots import MANIFEST, STATE, snapshots, verify
from tests.runs.copies import checksum, copy_of, interrupted, record

pytestmark = pytest.mark.usefixtures("without_pictures")


@pytest.mark.parametrize("keep", [1, 9, 10, 11, 20, 29])
def test_resumed_after_any_generation_a_run_ends_in_the_same_bits(
    keep, points_run, invoke, tmp_path
):
    folder = interrupted(points_run[0], tmp_path, keep)
    done = invoke("resume", folder)
    assert done.exit_code == 0
    assert checksum(done.output) == points_run[1]
    assert record(folder) == record(points_run[0])


def test_a_corrupted_newest_snapshot_is_passed_over_with_a_message(points_run, invoke, tmp_path):
    folder = interrupted(points_run[0], tmp_path, 25)
    state = folder / "snapshots" / "generation-00000020" / STATE
    content = bytearray(state.read_bytes())
    content[-1] ^= 1
    state.write_bytes(content)
    done = invoke("resume", folder)
    assert done.exit_code == 0
    assert "passed over generation-00000020" in done.output and "SHA-256" in done.output
    assert checksum(done.output) == points_run[1]
    assert record(folder) == record(points_run[0])
    assert verify(snapshots(folder / "snapshots")[0])


def test_without_any_sound_snapshot_the_journal_alone_gives_the_same_bits(
    points_run, invoke, tmp_path
):
    folder = interrupted(points_run[0], tmp_path, 25)
    shutil.rmtree(folder / "snapshots")
    done = invoke("resume", folder)
    assert checksum(done.output) == points_run[1]
    assert record(folder) == record(points_run[0])
    kept = [snapshot.generation for snapshot in snapshots(folder / "snapshots")]
    assert kept == [30, 25]  # the one at 25 at once: another kill would replay them all again


def test_without_its_journal_a_run_goes_on_from_its_snapshot(points_run, invoke, tmp_path):
    folder = interrupted(points_run[0], tmp_path, 25)
    (folder / "journal.jsonl").unlink()
    done = invoke("resume", folder)
    assert checksum(done.output) == points_run[1]
    assert record(folder) == record(points_run[0])[20:]


def test_a_damaged_journal_is_mended(points_run, invoke, tmp_path):
    folder = interrupted(points_run[0], tmp_path, 25)
    lines = (folder / "journal.jsonl").read_bytes().splitlines(keepends=True)
    lines[22] = b"\xff\x00 damage\n"
    torn = b'{"generation":25,"ti'
    (folder / "journal.jsonl").write_bytes(b"".join(lines) + torn)
    done = invoke("resume", folder)
    assert "passed over 2 lines of journal.jsonl, the first is line 23" in done.output
    assert done.output.count("passed over") == 1
    assert checksum(done.output) == points_run[1]
    assert record(folder) == record(points_run[0])
    assert (folder / "journal-damaged-1.jsonl").read_bytes() == b"".join(lines) + torn
    assert "journal-damaged-1.jsonl" in done.output


def test_a_journal_whose_lines_end_as_on_windows_is_sound(points_run, invoke, tmp_path):
    folder = interrupted(points_run[0], tmp_path, 25)
    journal = folder / "journal.jsonl"
    journal.write_bytes(journal.read_bytes().replace(b"\n", b"\r\n"))
    done = invoke("resume", folder)
    assert done.exit_code == 0 and checksum(done.output) == points_run[1]
    assert "passed over" not in done.output and not list(folder.glob("journal-damaged*"))
    assert record(folder) == record(points_run[0])


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("config.yaml", b"\xff"),
        ("config.yaml", b"name: [\n"),
        ("config.yaml", b"name: x\n"),
        ("data.json", b""),
        ("data.json", b"{}"),
        ("data.json", b"[]"),
        ("data.json", b'{"shape": 5}'),
    ],
)
@pytest.mark.parametrize("command", ["resume", "inspect", "sample"])
def test_a_damaged_file_of_a_run_is_named(command, name, content, points_run, mistake, tmp_path):
    folder = copy_of(points_run[0], tmp_path)
    (folder / name).write_bytes(content)
    options = ("--out", tmp_path / "x.png") if command == "sample" else ()
    assert name in mistake(command, folder, *options)


@pytest.mark.parametrize("command", ["resume", "inspect", "sample"])
def test_what_is_no_run_is_a_mistake(command, mistake, tmp_path):
    options = ("--out", tmp_path / "x.png") if command == "sample" else ()
    assert "not a run's folder" in mistake(command, tmp_path / "nowhere", *options)
    assert "not a run's folder" in mistake(command, tmp_path, *options)


def test_other_data_than_the_run_began_with_are_refused(images_yaml, invoke, mistake, tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (40, 8, 8), dtype=np.uint8)
    np.save(tmp_path / "images.npy", images)
    folder = tmp_path / "run"
    options = ("--set", "data.source=array", "--set", f"data.path={tmp_path / 'images.npy'}")
    assert invoke("train", images_yaml, *options, "--output", folder).exit_code == 0
    images[7, 3, 3] ^= 1
    np.save(tmp_path / "images.npy", images)
    assert "data have changed" in mistake("resume", folder, "--generations", "8")
    images[7, 3, 3] ^= 1
    np.save(tmp_path / "images.npy", images)
    assert invoke("resume", folder, "--generations", "8").exit_code == 0
    (tmp_path / "images.npy").unlink()
    assert "images.npy" in mistake("resume", folder, "--generations", "9")


def reseal(snapshot: Path, change) -> None:
    """Change a snapshot's arrays or manifest, and make its sums right again."""
    arrays, manifest = load_file(snapshot / STATE), json.loads((snapshot / MANIFEST).read_text())
    change(arrays, manifest)
    save_file(arrays, snapshot / STATE)
    manifest["files"][STATE] = hashlib.sha256((snapshot / STATE).read_bytes()).hexdigest()
    del manifest["seal"]
    text = json.dumps(manifest, sort_keys=True)
    manifest["seal"] = hashlib.sha256(text.encode()).hexdigest()
    (snapshot / MANIFEST).write_text(json.dumps(manifest))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda a, m: a.pop("discriminator.second_moment"), "discriminator.second_moment"),
        (lambda a, m: a.pop("parents.0.generator.params"), "parents.0.generator.params"),
        (lambda a, m: a.update({"discriminator.params": np.zeros(3, "f4")}), "(3,)"),
        (
            lambda a, m: a.update({k: v.astype("f8") for k, v in a.items()}),
            "float64",
        ),
        (lambda a, m: a.update({"parents.1.generator.params": np.zeros(3, "f4")}), "parents.1"),
        (lambda a, m: m["steps"].pop("discriminator"), "step counts"),
        (lambda a, m: m["steps"].update({"discriminator": -1}), "step counts"),
    ],
)
def test_a_forged_snapshot_that_verifies_is_refused(change, named, points_run, mistake, tmp_path):
    folder = interrupted(points_run[0], tmp_path, 25)
    before = (folder / "journal.jsonl").read_bytes()
    reseal(snapshots(folder / "snapshots")[0].path, change)
    message = mistake("resume", folder)
    assert named in message and "generation 20" in message
    assert (folder / "journal.jsonl").read_bytes() == before
