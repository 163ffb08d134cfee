"""Files that mean harm, given to the real commands: a clear line, and nothing else happens."""

import gzip
import io
import json
import os
import pickle
import shutil
import struct
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from egan.backbones.stylegan.ports import read_port
from egan.data import prepare
from fitness.features.base import WeightsError
from runs.cli.main import main
from runs.common.errors import printable
from runs.evaluation.weights import inception_space
from tests.runs.copies import no_pictures

ROOT = Path(__file__).parents[2]
RED = np.full((8, 8, 3), (255, 0, 0), np.uint8)
BOMB = 2**26 + 2**20  # zeros; packed to about a thousandth


def refusal(*arguments):
    """Return the one-line message of a command that must refuse."""
    result = CliRunner().invoke(main, [str(a) for a in arguments])
    assert result.exit_code == 2, (result.output, result.exception)
    assert "Traceback" not in result.output
    return result.output


def prepared(source, tmp_path):
    return refusal("prepare", source, tmp_path / "packed", "--resolution", 8)


def command(*arguments, **options):
    """Run the real command as a process."""
    return subprocess.run(
        [sys.executable, str(ROOT / "run_evolution.py"), *map(str, arguments)],
        capture_output=True,
        timeout=120,
        check=False,
        **options,
    )


def png(pixels=RED):
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def archive(path, entries, link=None):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as written:
        for name, content in entries.items():
            written.writestr(name, content)
        if link:
            info = zipfile.ZipInfo(link)
            info.external_attr = 0o120777 << 16
            written.writestr(info, "/etc/passwd")
    return path


# ---------------------------------------------------------------------------------------- archives


@pytest.mark.parametrize(
    "name", ["../x.png", "a/../../x.png", "/etc/x.png", "C:\\x.png", "..\\x.png"]
)
def test_an_archive_whose_entries_leave_its_folder_is_refused(name, tmp_path):
    path = archive(tmp_path / "a.zip", {"good.png": png(), name: png()})
    message = prepared(path, tmp_path)
    assert "leads out of the archive's folder" in message and repr(name) in message
    assert not (tmp_path / "packed").exists()


def test_a_colon_or_two_dots_within_a_name_are_no_way_out(tmp_path):
    path = archive(tmp_path / "a.zip", {"12:30 a..b/x.png": png()})
    result = CliRunner().invoke(
        main, ["prepare", str(path), str(tmp_path / "packed"), "--resolution", "8"]
    )
    assert result.exit_code == 0, result.output


def test_an_archive_with_a_symbolic_link_is_refused(tmp_path):
    path = archive(tmp_path / "a.zip", {"good.png": png()}, link="passwd.png")
    assert "'passwd.png' is a symbolic link" in prepared(path, tmp_path)


def test_bombs_are_refused_by_what_they_say_and_not_unpacked(tmp_path):
    zeros = io.BytesIO()
    np.save(zeros, np.zeros((BOMB // 64, 8, 8), np.uint8))
    header = bytes([0, 0, 8, 3]) + struct.pack(">3I", BOMB // 64, 8, 8)
    packed = gzip.compress(header + bytes(BOMB))
    (tmp_path / "bomb.idx.gz").write_bytes(packed)
    archive(tmp_path / "bomb.npz", {"images.npy": zeros.getvalue()})
    archive(tmp_path / "bomb.zip", {"x.png": png() + bytes(2**21)})
    for name in ("bomb.idx.gz", "bomb.npz", "bomb.zip"):
        assert "more than this file can hold" in prepared(tmp_path / name, tmp_path)
    del zeros, packed
    statistics = archive(tmp_path / "s.npz", {"mu.npy": bytes(BOMB // 2), "sigma.npy": bytes(BOMB)})
    message = refusal("evaluate", tmp_path / "bomb.zip", "--resolution", 8, "--against", statistics)
    assert "more than this file can hold" in message


@pytest.mark.parametrize("says", [2**30, 2**62])
def test_a_header_that_says_more_than_its_file_holds_is_refused(says, tmp_path):
    (tmp_path / "i.idx").write_bytes(bytes([0, 0, 8, 3]) + struct.pack(">3I", 2**31, 2**20, 1))
    assert "damaged or truncated" in prepared(tmp_path / "i.idx", tmp_path)
    with (tmp_path / "a.npy").open("wb") as file:
        header = {"descr": "|u1", "fortran_order": False, "shape": (says, 8, 8)}
        np.lib.format.write_array_header_1_0(file, header)
        file.write(bytes(64))
    assert "truncated or damaged" in prepared(tmp_path / "a.npy", tmp_path)


# ------------------------------------------------------------------------------------------ images


def chunk(kind, content):
    return (
        struct.pack(">I", len(content))
        + kind
        + content
        + struct.pack(">I", zlib.crc32(kind + content))
    )


def test_an_image_of_absurd_size_is_refused_before_it_is_decoded(tmp_path):
    head = chunk(b"IHDR", struct.pack(">2I5B", 60_000, 60_000, 8, 2, 0, 0, 0))
    body = chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "x.png").write_bytes(b"\x89PNG\r\n\x1a\n" + head + body)
    message = prepared(tmp_path / "in", tmp_path)
    assert "x.png" in message and "3600000000 pixels" in message


def test_a_text_in_an_image_that_unpacks_to_gigabytes_is_refused(tmp_path):
    whole = png()
    text = chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(2**26), 1))
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "x.png").write_bytes(whole[:33] + text + whole[33:])
    assert "x.png: Decompressed data too large" in prepared(tmp_path / "in", tmp_path)


def test_a_jpeg_of_a_thousand_scans_is_refused(tmp_path):
    stream = io.BytesIO()
    Image.fromarray(RED).save(stream, "JPEG", progressive=True)
    content = stream.getvalue()
    at = content.rindex(b"\xff\xda")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "x.jpg").write_bytes(content[:-2] + content[at:-2] * 1000 + b"\xff\xd9")
    assert "a JPEG file of more than 100 scans" in prepared(tmp_path / "in", tmp_path)


# ------------------------------------------------------------------------------------------- links


def test_a_link_out_of_a_data_folder_is_refused(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    (tmp_path / "secret.png").write_bytes(png())
    (folder / "inside.png").write_bytes(png())
    (folder / "link.png").symlink_to("inside.png")  # this one may be
    (folder / "out.png").symlink_to(tmp_path / "secret.png")
    message = prepared(folder, tmp_path)
    assert "out.png: a symbolic link out of" in message
    (folder / "out.png").unlink()
    (folder / "more").symlink_to(tmp_path)
    assert "more: a symbolic link to a folder, which is not followed" in prepared(folder, tmp_path)


@pytest.mark.parametrize("name", ["train-images-idx3-ubyte", "test_batch.bin", "images.npy"])
def test_a_link_out_of_a_folder_of_another_format_is_refused(name, tmp_path):
    np.save(tmp_path / "a.npy", RED[None])
    folder = tmp_path / "in"
    prepare(tmp_path / "a.npy", folder, 8)
    (folder / "images.npy").rename(tmp_path / "elsewhere")
    if name != "images.npy":
        (folder / "manifest.json").unlink()
        content = bytes([0, 0, 8, 3]) + struct.pack(">3I", 1, 8, 8) + bytes(64)
        for batch in ("test_batch.bin", *(f"data_batch_{n}.bin" for n in range(1, 6))):
            (folder / batch).write_bytes(bytes(3073))
        if name == "test_batch.bin":
            name, content = "data_batch_1.bin", bytes(3073)
            (folder / name).unlink()
        else:
            [path.unlink() for path in folder.glob("*.bin")]
        (tmp_path / "elsewhere").write_bytes(content)
    (folder / name).symlink_to(tmp_path / "elsewhere")
    assert f"{name}: a symbolic link out of" in prepared(folder, tmp_path)


def test_a_pipe_is_not_waited_for(tmp_path):
    for name in ("x.yaml", "x.npy", "x.idx"):
        os.mkfifo(tmp_path / name)
    assert "not a regular file" in refusal("train", tmp_path / "x.yaml")
    for source, name in (("array", "x.npy"), ("idx", "x.idx"), ("cifar", "x.idx")):
        message = refusal(
            "train", "images64", "--set", f"data.source={source}", "--set",
            f"data.path={tmp_path / name}", "--output", tmp_path / "out",
        )  # fmt: skip
        assert "no such file" in message or "not a regular file" in message


# -------------------------------------------------------------------------------------- YAML, names

LEVELS = "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" if n else "a0: &a0 [x]\n" for n in range(12)
)
MERGES = "".join(
    f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 10)}]}}\n" if n else "a0: &a0 {x: 1}\n"
    for n in range(12)
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"{LEVELS}selection: *a11\n", "expands to more than"),
        (f"{MERGES}selection: *a11\n", "expands to more than"),
        ("name: &a [*a]\n", "refers to itself"),
        ("seed: 0x" + "f" * 6000, "too many digits"),
        ("seed: " + ":".join(["1"] * 400) + ".5", "too many digits"),
        ("seed: !!timestamp x", "a whole number is needed"),
        ("seed: !!python/object/apply:os.mknod [pwned]", "tag"),
        ("x" * 70_000, "more than"),
        ("".join(f"k{n}: 1\n" for n in range(3000)), "and "),
    ],
)
def test_a_config_that_means_harm_is_refused_at_once(text, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "c.yaml").write_text(text)
    found = refusal("train", "c.yaml")
    assert message in found and len(found) < 20_000
    (tmp_path / "s.yaml").write_text(text)
    assert len(refusal("study", "s.yaml")) < 400_000
    assert not (tmp_path / "pwned").exists()


@pytest.mark.process
def test_names_cannot_steer_the_terminal(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.png").write_bytes(png())
    (folder / "b\x1b]0;owned\x07\u202e.png").write_bytes(b"no image")
    message = prepared(folder, tmp_path)
    assert "b\\x1b]0;owned\\x07\\u202e.png" in message
    done = command("prepare", folder, tmp_path / "p", "--resolution", 8, "--skip-bad")
    assert done.returncode == 0 and b"skipped b\\x1b]0;owned" in done.stderr
    assert b"\x1b" not in done.stdout + done.stderr
    (tmp_path / "c.yaml").write_text('name: "\\e[31mred"\n')
    assert "\x1b" not in refusal("train", tmp_path / "c.yaml")
    assert "\x1b" not in refusal("train", "no\x1b[31msuch")


@pytest.mark.process
def test_a_name_that_is_no_text_is_refused_in_a_line(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    Path(os.fsdecode(os.fsencode(folder) + b"/\xff.png")).write_bytes(png())
    done = command("prepare", folder, tmp_path / "p", "--resolution", 8)
    assert done.returncode == 2 and b"is not UTF-8" in done.stderr, done.stderr


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "run"
    with no_pictures():
        done = CliRunner().invoke(main, [
            "train", "gaussians8", "--executor", "local", "--output", str(folder),
            "--set", "generations=3", "--set", "tracking.enabled=false",
            "--set", "evaluation.every=null",
        ])  # fmt: skip
    assert done.exit_code == 0, done.output
    return folder


def test_a_runs_folder_cannot_steer_the_terminal(run_folder, tmp_path):
    folder = shutil.copytree(run_folder, tmp_path / "run")
    card = folder / "data.json"
    card.write_text(json.dumps(json.loads(card.read_text()) | {"name": "\x1b[2J\x9b31m"}))
    done = CliRunner().invoke(main, ["inspect", str(folder)])
    assert done.exit_code == 0 and "\\x1b[2J\\x9b31m" in done.output
    assert "\x1b" not in done.output


def test_networks_of_another_run_are_refused_in_a_line(run_folder, tmp_path):
    folder = shutil.copytree(run_folder, tmp_path / "run")
    config = folder / "config.yaml"
    config.write_text(config.read_text().replace("width: 128", "width: 64"))
    assert "is not the one that config.yaml" in refusal("sample", folder, "--out", "x.npz")


def test_a_damaged_tracking_file_is_no_obstacle(run_folder, tmp_path):
    folder = shutil.copytree(run_folder, tmp_path / "run")
    (folder / "tracking.json").write_text("[1]")
    done = CliRunner().invoke(main, ["resume", str(folder), "--generations", "4"])
    assert done.exit_code == 0, done.output


@pytest.mark.parametrize("text", ["plain", "with\ttab\nand line", "señor 図 🙂"])
def test_what_is_printable_stays(text):
    assert printable(text) == text


# ----------------------------------------------------------------------------------------- pickles


class Planted:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mknod, (str(self.path),)


def test_no_pickle_is_run(tmp_path):
    planted = Planted(tmp_path / "pwned")
    np.save(tmp_path / "a.npy", np.array([planted], object), allow_pickle=True)
    np.savez(tmp_path / "a.npz", images=np.array([planted], object))
    np.savez(tmp_path / "s.npz", mu=np.array([planted], object), sigma=np.eye(1))
    for name in ("a.npy", "a.npz"):
        assert "pickled Python objects, which are never read" in prepared(tmp_path / name, tmp_path)
    np.save(tmp_path / "x.npy", RED[None].repeat(9, 0))
    message = refusal("evaluate", tmp_path / "x.npy", "--against", tmp_path / "s.npz", "--space",
                      "pixels")  # fmt: skip
    assert "pickled Python objects, which are never read" in message
    (tmp_path / "bare.pt").write_bytes(pickle.dumps(planted))
    torch.save({"g_running": {"a": planted}}, tmp_path / "saved.pt")
    shutil.copy(tmp_path / "bare.pt", tmp_path / "named.safetensors")
    for name in ("bare.pt", "saved.pt", "named.safetensors"):
        with pytest.raises(ValueError, match="is neither a safetensors file nor a state dict"):
            read_port(tmp_path / name)
        with pytest.raises(WeightsError, match="cannot be read as PyTorch weights"):
            inception_space(tmp_path / name, check_hash=False)
    assert not (tmp_path / "pwned").exists()


def test_data_of_another_kind_than_the_networks_are_refused_in_a_line(run_folder, tmp_path):
    folder = shutil.copytree(run_folder, tmp_path / "run")
    card = folder / "data.json"
    card.write_text(json.dumps(json.loads(card.read_text()) | {"shape": [1, 8, 8]}))
    assert "do not fit each other" in refusal("sample", folder, "--out", "x.npz")
