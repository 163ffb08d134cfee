"""A scored run, and 60 digits as any system's images; `evaluate` as a user calls it."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from egan.data.config import DigitsConfig
from egan.data.digits import open_digits


@pytest.fixture(scope="session")
def digits() -> np.ndarray:
    """The 8 x 8 digits, uint8 (1797, 8, 8)."""
    return open_digits(DigitsConfig(resolution=None)).images[:, 0]


@pytest.fixture(scope="session")
def pngs(digits, tmp_path_factory) -> Path:
    """A folder of 60 digits as PNG files, sorted by class, without labels."""
    folder = tmp_path_factory.mktemp("pngs")
    for place, image in enumerate(digits[:60]):
        Image.fromarray(image).save(folder / f"{place % 10}-{place}.png")
    return folder


@pytest.fixture(scope="session")
def npz(digits, tmp_path_factory) -> Path:
    """60 digits in an .npz."""
    path = tmp_path_factory.mktemp("npz") / "sixty.npz"
    np.savez(path, images=digits[:60])
    return path


@pytest.fixture
def run(images_run, tmp_path) -> Path:
    """A run's folder to write into."""
    return Path(shutil.copytree(images_run, tmp_path / "run"))


@pytest.fixture
def found(invoke):
    """Call `evaluate --json` and give what it prints."""

    def call(*arguments: object) -> dict:
        result = invoke("evaluate", *arguments, "--json")
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    return call


@pytest.fixture
def refused(mistake, npz):
    """Return the message that `evaluate` of 60 digits against digits gets, with other options."""

    def call(*arguments: object, against: object = "digits", subject: object = npz) -> str:
        return " ".join(mistake("evaluate", subject, "--against", against, *arguments).split())

    return call
