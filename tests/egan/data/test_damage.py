"""Damage anywhere in a file gives data or a DataError, and never anything else."""

import gzip
import io
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from egan.data import DataError, detect_source, open_source
from egan.data.config import (
    ArrayConfig,
    CifarConfig,
    IdxConfig,
    ImagesConfig,
)

PIXELS = np.random.default_rng(0).integers(0, 256, (3, 8, 8), dtype=np.uint8)


def idx() -> bytes:
    return bytes([0, 0, 8, 3]) + struct.pack(">3I", *PIXELS.shape) + PIXELS.tobytes()


def saved(save: Callable[[io.BytesIO], object]) -> bytes:
    stream = io.BytesIO()
    save(stream)
    return stream.getvalue()


def image(kind: str) -> bytes:
    return saved(lambda stream: Image.fromarray(PIXELS[0]).save(stream, kind))


INDEX = ("dataset.json", '{"labels": [["a/x.png", 1], ["b/y.png", 0]]}')


def archive(beside: tuple[str, str] = INDEX) -> bytes:
    def save(stream: io.BytesIO) -> None:
        with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as written:
            written.writestr("a/x.png", image("PNG"))
            written.writestr("b/y.png", image("PNG"))
            written.writestr(*beside)

    return saved(save)


FORMATS = {
    "idx": ("i.idx", IdxConfig, idx()),
    "idx.gz": ("i.idx.gz", IdxConfig, gzip.compress(idx())),
    "cifar": ("test_batch.bin", CifarConfig, bytes(2 * 3073)),
    "npy": ("a.npy", ArrayConfig, saved(lambda stream: np.save(stream, PIXELS))),
    "npz": (
        "a.npz",
        ArrayConfig,
        saved(lambda stream: np.savez_compressed(stream, images=PIXELS, labels=np.arange(3))),
    ),
    "zip": ("a.zip", ImagesConfig, archive()),
    "png": ("folder/a.png", ImagesConfig, image("PNG")),
    "jpeg": ("folder/a.jpg", ImagesConfig, image("JPEG")),
    "webp": ("folder/a.webp", ImagesConfig, image("WEBP")),
    "bmp": ("folder/a.bmp", ImagesConfig, image("BMP")),
    "tiff": ("folder/a.tif", ImagesConfig, image("TIFF")),
    "tags": ("tags.zip", ImagesConfig, archive(("tags.csv", "file,x,y\na/x.png,1,0\nb/y.png,0,1"))),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("damage")


@st.composite
def damaged(draw: st.DrawFn, content: bytes) -> bytes:
    how = draw(st.sampled_from(["cut", "flip", "splice", "random", "append"]))
    at = draw(st.integers(0, len(content) - 1))
    if how == "cut":
        return content[:at]
    if how == "flip":
        flipped = bytes([content[at] ^ (1 << draw(st.integers(0, 7)))])
        return content[:at] + flipped + content[at + 1 :]
    extra = draw(st.binary(min_size=1, max_size=40))
    if how == "splice":
        return content[:at] + extra + content[at + len(extra) :]
    return content + extra if how == "append" else extra


@pytest.mark.parametrize("name", FORMATS)
@given(data=st.data())
@settings(max_examples=settings().max_examples * 3 // 2)
def test_a_damaged_file_is_read_or_refused(folder, name, data):
    file, kind, content = FORMATS[name]
    path = folder / name / file
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_bytes(data.draw(damaged(content)))
    root = path.parent if file.startswith("folder/") else path
    for config in (lambda: kind(path=root), lambda: detect_source(root)):
        try:
            source = open_source(config())
        except DataError as error:
            assert root.name in str(error)
        else:
            assert source.images.dtype == np.uint8
            assert source.images.nbytes <= 2**22


@pytest.mark.parametrize("name", FORMATS)
def test_an_undamaged_file_is_read(folder, name):
    file, kind, content = FORMATS[name]
    path = folder / name / file
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_bytes(content)
    assert len(open_source(kind(path=path.parent if "/" in file else path))) >= 1
