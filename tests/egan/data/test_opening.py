"""Where the data are not of the kind that was named, the message says what is there."""

import struct

import numpy as np
import pytest
from PIL import Image

from egan.data import DataError, detect_source, open_source, prepare
from egan.data.config import ArrayConfig, CifarConfig, IdxConfig, ImagesConfig, PackedConfig

PIXELS = np.zeros((3, 8, 8), np.uint8)


def tree(path):
    for name in ("cats/a.png", "dogs/b.png"):
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8)).save(path / name)
    return path


def mnist(path, part="train"):
    path.mkdir(exist_ok=True)
    header = bytes([0, 0, 8, 3]) + struct.pack(">3I", *PIXELS.shape)
    (path / f"{part}-images-idx3-ubyte").write_bytes(header + PIXELS.tobytes())
    return path


def cifar(path):
    path.mkdir()
    for batch in range(1, 6):
        (path / f"data_batch_{batch}.bin").write_bytes(bytes(3073))
    return path


def array(path):
    np.save(path.with_suffix(".npy"), PIXELS)
    return path.with_suffix(".npy")


def packed(path):
    prepare(tree(path.with_name("tree")), path, 8)
    return path


MAKERS = {"images": tree, "idx": mnist, "cifar": cifar, "array": array, "packed": packed}
CONFIGS = {"images": ImagesConfig, "idx": IdxConfig, "cifar": CifarConfig, "array": ArrayConfig,
           "packed": PackedConfig}  # fmt: skip


@pytest.mark.parametrize("there", MAKERS)
def test_the_source_that_fits_is_named_and_right(there, tmp_path):
    path = MAKERS[there](tmp_path / "data")
    for asked, config in CONFIGS.items():
        if asked == there:
            assert len(open_source(config(path=path))) > 0
            continue
        with pytest.raises(DataError, match=rf"{path}.*: set data\.source={there}$"):
            open_source(config(path=path))


def test_no_source_is_named_where_nothing_fits(tmp_path):
    for config in CONFIGS.values():
        for path in (tmp_path, tmp_path / "absent"):
            with pytest.raises(DataError) as caught:
                open_source(config(path=path))
            assert "data.source" not in str(caught.value)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "it holds nothing"),
        (lambda path: (path / "a.txt").touch(), r"it holds 1 \.txt"),
        (lambda path: (path / "a").mkdir(), "it holds the folders a"),
        (lambda path: mnist(path / "mnist"), "but mnist in it can be read"),
        (lambda path: array(path / "a"), r"but a\.npy in it can be read"),
        (lambda path: (path / "data_batch_1").touch(), "CIFAR's Python version, which is pickle"),
    ],
)
def test_what_lies_in_a_folder_without_images_is_said(make, message, tmp_path):
    make(tmp_path)
    with pytest.raises(DataError, match=message):
        detect_source(tmp_path)


def test_a_file_that_is_no_set_is_said_to_be_what_it_is(tmp_path):
    image = tree(tmp_path / "tree") / "cats/a.png"
    with pytest.raises(DataError, match="is one image; name the folder"):
        detect_source(image)
    with pytest.raises(DataError, match=r"not a readable \.zip .*: it is a PNG image"):
        open_source(ImagesConfig(path=image))
    (tmp_path / "a.bin").write_bytes(b"GIF89a")
    with pytest.raises(DataError, match="no images found: it is a GIF image"):
        detect_source(tmp_path / "a.bin")


def test_another_part_of_mnist_is_named_with_the_way_to_it(tmp_path):
    path = mnist(tmp_path / "mnist", "t10k")
    message = r"no train-images.*there is t10k-images-idx3-ubyte: .*data\.split.*--split"
    with pytest.raises(DataError, match=message):
        open_source(IdxConfig(path=path))
    assert len(open_source(IdxConfig(path=path, split="test"))) == 3
    mnist(path)
    assert open_source(IdxConfig(path=path)).origin.left_out == (
        ("other files of images (t10k-images-idx3-ubyte)", 1),
    )
