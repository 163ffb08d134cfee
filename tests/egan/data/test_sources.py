"""Configs, the sources that need no file, and what every source promises."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter, ValidationError

from egan.data import DataConfig, DataError, ImageSource, detect_source, open_source
from egan.data.config import DigitsConfig, GaussiansConfig, IdxConfig
from egan.data.pixels import to_float, to_uint8
from egan.data.resize import resize_images

config = TypeAdapter(DataConfig).validate_python


def test_a_config_is_told_by_its_source():
    assert config({"source": "digits"}) == DigitsConfig()
    assert config({"source": "idx", "path": "/x"}) == IdxConfig(path="/x")


@pytest.mark.parametrize("source", ["idx", "cifar", "images", "array", "packed"])
@pytest.mark.parametrize("path", [{}, {"path": None}, {"path": ""}])
def test_a_missing_path_says_what_to_set(source, path):
    with pytest.raises(ValidationError, match=r"set data\.path to .*(folder|file)"):
        config({"source": source, **path})


@pytest.mark.parametrize(
    "values",
    [
        {"source": "digit"},
        {"source": "digits", "size": 8},
        {"source": "digits", "resolution": 0},
        {"source": "gaussians", "modes": "ring9"},
        {"source": "gaussians", "sigma": 0},
        {"source": "gaussians", "sigma": float("nan")},
        {"source": "cifar", "path": "/x", "classes": 20},
        {"source": "images", "path": "/x", "channels": 4},
    ],
)
def test_impossible_configs_are_refused(values):
    with pytest.raises(ValidationError):
        config(values)


def test_a_path_is_made_absolute():
    opened = config({"source": "idx", "path": "some/where"})
    assert opened.path.is_absolute()
    assert config({"source": "idx", "path": "~/x"}).path == Path.home() / "x"


def test_digits_are_the_real_ones():
    native = open_source(DigitsConfig(resolution=None))
    assert native.images.shape == (1797, 1, 8, 8)
    assert native.images.max() == 255
    assert native.classes == tuple("0123456789")
    digits = open_source(DigitsConfig())
    assert (digits.kind, digits.shape, digits.length) == ("images", (1, 16, 16), 1797)
    assert digits.labels[:10].tolist() == list(range(10))
    assert digits.fingerprint == open_source(DigitsConfig()).fingerprint != native.fingerprint
    means = native.images.mean(axis=(1, 2, 3)), digits.images.mean(axis=(1, 2, 3))
    assert np.corrcoef(*means)[0, 1] > 0.99


def test_mixtures_have_the_published_modes():
    ring, grid = open_source(GaussiansConfig()), open_source(GaussiansConfig(modes="grid25"))
    assert np.allclose(np.linalg.norm(ring.centres, axis=1), 1)
    assert len({tuple(centre) for centre in ring.centres.round(6)}) == 8
    wanted = {(x, y) for x in (-4, -2, 0, 2, 4) for y in (-4, -2, 0, 2, 4)}
    assert {tuple(centre) for centre in grid.centres} == wanted
    assert (ring.sigma, grid.sigma) == (0.01, 0.05)
    assert open_source(GaussiansConfig(sigma=0.2)).sigma == 0.2
    assert (ring.kind, ring.shape, ring.length, ring.labels) == ("points", (2,), None, None)
    assert ring.fingerprint != grid.fingerprint


def test_pixels_survive_the_way_to_floats_and_back():
    pixels = torch.arange(256, dtype=torch.uint8)
    floats = to_float(pixels)
    assert (floats.min(), floats.max()) == (-1, 1)
    assert torch.equal(to_uint8(floats), pixels)
    assert torch.equal(to_float(pixels.numpy()), floats)
    strange = torch.tensor([-9.0, 9.0, float("nan"), float("inf"), -float("inf"), 0.001, 0.0119])
    assert to_uint8(strange).tolist() == [0, 255, 0, 255, 0, 128, 129]
    with pytest.raises(ValueError, match="uint8"):
        to_float(floats)


def test_resizing_crops_the_centre_and_antialiases():
    stripes = np.zeros((1, 1, 8, 12), np.uint8)
    stripes[..., ::2] = 200
    assert 90 < resize_images(stripes, 4).mean() < 110
    square = np.zeros((2, 3, 6, 10), np.uint8)
    square[..., 2:8] = 255  # just the centre square is white
    assert resize_images(square, 16).min() == 255
    assert resize_images(square, None) is square
    ramp = np.broadcast_to(np.arange(0, 256, 8, dtype=np.uint8), (1, 1, 32, 32))
    assert (np.diff(resize_images(ramp, 16)[0, 0, 5].astype(int)) > 0).all()


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (np.zeros((2, 4, 8, 8), np.uint8), None, "C 1 or 3"),
        (np.zeros((0, 3, 8, 8), np.uint8), None, "none of them 0"),
        (np.zeros((2, 3, 8, 8), np.float32), None, "float32"),
        (np.zeros((2, 1, 8, 8), np.uint8), np.zeros(3, np.int64), "one for each image"),
        (np.zeros((2, 1, 8, 8), np.uint8), np.array([0, -1]), "negative"),
        (np.zeros((2, 1, 8, 8), np.uint8), np.array([0, 2]), "2 classes"),
    ],
)
def test_a_source_checks_its_parts(images, labels, message):
    with pytest.raises(DataError, match=message):
        ImageSource("bad", images, labels, classes=("a", "b"))


def test_nothing_recognisable_is_said_so(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        detect_source(tmp_path / "absent")
    with pytest.raises(DataError, match=r"IDX.*CIFAR.*\.npz"):
        detect_source(tmp_path)
    (tmp_path / "notes.txt").write_text("no images")
    with pytest.raises(DataError, match="no images found"):
        detect_source(tmp_path / "notes.txt")


@pytest.mark.process
def test_configs_are_read_without_heavy_imports():
    code = (
        "import sys, egan.data; "
        "sys.exit(' '.join({'torch', 'PIL', 'sklearn'} & set(sys.modules)) or 0)"
    )
    subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )


def test_the_digits_are_those_that_scikit_learn_loads():
    from sklearn.datasets import load_digits

    loaded, source = load_digits(), open_source(DigitsConfig(resolution=None))
    np.testing.assert_array_equal(source.images[:, 0], np.rint(loaded.images * 255 / 16))
    np.testing.assert_array_equal(source.labels, loaded.target)


def test_digits_without_scikit_learn_say_so(monkeypatch):
    monkeypatch.setattr("egan.data.digits.find_spec", lambda name: None)
    with pytest.raises(DataError, match="scikit-learn"):
        open_source(DigitsConfig())
