"""The command prepare: what it says, and its options."""

import numpy as np
import pytest
from PIL import Image

from egan.data import open_source
from egan.data.config import PackedConfig


@pytest.fixture
def photos(tmp_path):
    """Three images of two classes to train on, and one for test."""
    for place, name in enumerate(("train/cats/a", "train/cats/b", "train/dogs/c", "test/cats/d")):
        path = tmp_path / "photos" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8), 10 * place).save(path)
    return tmp_path / "photos"


def packed(folder):
    source = open_source(PackedConfig(path=folder))
    return source.images[:, 0, 0, 0].tolist(), source.labels


def test_what_was_packed_is_said(photos, invoke, tmp_path):
    (photos / "notes.txt").write_text("")
    done = invoke("prepare", photos, tmp_path / "p", "--resolution", 16)
    assert done.output.splitlines()[:4] == [
        "data: photos, 3 of 16 x 16, grey",
        "  2 classes, from the folders' names: cats 2, dogs 1",
        "  3 images are smaller than 16 x 16 and were enlarged, the smallest from 8 x 8",
        "  left out: 1 .txt (kind of file that is not read); 1 images of the part test",
    ]
    assert "run-evolution train images64 --set data.source=packed" in done.output


def test_no_command_is_printed_that_would_be_refused(photos, invoke, tmp_path):
    done = invoke("prepare", photos, tmp_path / "p", "--resolution", 12)
    assert "train images64" not in done.output
    assert "note: the presets make images of 8, 16, 32, 64, 128, 256 pixels" in done.output


@pytest.mark.parametrize(
    ("options", "pixels", "labels"),
    [
        ((), [0, 10, 20], [0, 0, 1]),
        (("--part", "test"), [30], [0]),
        (("--part", "all"), [30, 0, 10, 20], [0, 0, 0, 1]),
        (("--labels", "folders"), [30, 0, 10, 20], [0, 1, 1, 1]),
        (("--labels", "none"), [0, 10, 20], None),
    ],
)
def test_parts_and_labels_are_chosen(options, pixels, labels, photos, invoke, tmp_path):
    done = invoke("prepare", photos, tmp_path / "p", "--resolution", 8, *options)
    assert done.exit_code == 0, done.output
    found, own = packed(tmp_path / "p")
    assert found == pixels and (own is labels if labels is None else own.tolist() == labels)


def test_the_bits_of_wide_pixels_are_asked_for_and_taken(invoke, mistake, tmp_path):
    (tmp_path / "wide").mkdir()
    Image.new("I;16", (8, 8), 4095).save(tmp_path / "wide/a.png")
    pack = ("prepare", tmp_path / "wide", tmp_path / "p", "--resolution", 8)
    assert "--bits of the command prepare" in mistake(*pack)
    assert not (tmp_path / "p").exists()
    assert invoke(*pack, "--bits", 12).exit_code == 0
    assert packed(tmp_path / "p")[0] == [255]


def test_an_array_is_chosen_by_its_name(invoke, mistake, tmp_path):
    first, second = np.zeros((3, 8, 8), np.uint8), np.full((2, 8, 8), 9, np.uint8)
    np.savez(tmp_path / "a.npz", x_train=first, x_test=second)
    pack = ("prepare", tmp_path / "a.npz", tmp_path / "p", "--resolution", 8)
    assert "--key of the command prepare; its arrays: x_test, x_train" in mistake(*pack)
    assert "1 other arrays (x_train)" in invoke(*pack, "--key", "x_test").output
    assert packed(tmp_path / "p")[0] == [9, 9]


def test_an_option_of_another_kind_of_data_is_a_mistake(mistake, photos, tmp_path):
    message = mistake("prepare", photos, tmp_path / "p", "--resolution", 8, "--key", "x",
                      "--split", "test")  # fmt: skip
    assert "--key, --split are not for a folder or .zip of images: " in message
