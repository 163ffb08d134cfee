"""What digits' runs make, as a user calls them, judged by classical methods."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors
from sklearn.svm import SVC

from egan.data import open_source
from egan.data.config import DigitsConfig

ROOT = Path(__file__).parents[1]
pytestmark = [pytest.mark.long, pytest.mark.timeout(1200)]


@pytest.fixture(scope="module")
def real() -> tuple[np.ndarray, np.ndarray]:
    source = open_source(DigitsConfig(source="digits"))
    return source.images.reshape(len(source.images), -1).astype(np.float32), source.labels


def call(folder: Path, *arguments: str) -> None:
    command = [sys.executable, str(ROOT / "run_evolution.py"), *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def fake(tmp_path_factory) -> np.ndarray:
    folder = tmp_path_factory.mktemp("quality")
    call(folder, "train", "digits", "--output", "run")
    call(folder, "sample", "run", "--count", "1000", "--seed", "1", "--out", "samples.npz")
    images = np.load(folder / "samples.npz")["images"]
    assert images.shape == (1000, 16, 16, 1) and images.dtype == np.uint8
    return images.reshape(1000, -1).astype(np.float32)


def test_a_classifier_of_real_digits_finds_all_ten_classes(real, fake):
    images, labels = real
    classifier = SVC(gamma="scale", C=10).fit(images[::2], labels[::2])
    assert classifier.score(images[1::2], labels[1::2]) > 0.97
    shares = np.bincount(classifier.predict(fake), minlength=10) / len(fake)
    assert shares.min() >= 0.02, shares.round(3)


def test_samples_lie_near_real_digits_but_do_not_copy_them(real, fake):
    images, _ = real
    search = NearestNeighbors(n_neighbors=2).fit(images)
    # The second neighbour of a real digit is its nearest other one: what a held-out digit shows.
    held_out = search.kneighbors(images)[0][:, 1]
    generated = search.kneighbors(fake)[0][:, 0]
    closest_hundredth = np.quantile(held_out, 0.01)
    assert (generated < closest_hundredth).mean() <= 0.02
    # Near: the typical sample is within the reach of an unusual real digit.
    assert np.median(generated) < np.quantile(held_out, 0.99)


def test_digits_that_are_asked_for_are_what_a_classifier_of_real_ones_sees(real, tmp_path):
    images, labels = real
    classifier = SVC(gamma="scale", C=10).fit(images[::2], labels[::2])
    call(tmp_path, "train", "digits-conditional", "--output", "run")
    right = []
    for digit in "0123456789":
        asked = ("--class", digit, "--count", "100", "--seed", "1", "--out", "samples.npz")
        call(tmp_path, "sample", "run", *asked)
        with np.load(tmp_path / "samples.npz") as arrays:
            fakes = arrays["images"].reshape(100, -1).astype(np.float32)
            assert (arrays["labels"] == int(digit)).all()
        right.append((classifier.predict(fakes) == int(digit)).mean())
    assert np.mean(right) >= 0.9 and min(right) >= 0.75, right
