"""Copies of training images: looked for unasked where these are few, told of, kept and drawn."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

PIXELS = ("--space", "pixels", "--metrics", "fid")


def test_a_run_on_few_images_is_searched_for_copies(run, found, invoke):
    shown = found(run, "--count", 60, *PIXELS)
    copies = shown["memorisation"]
    assert (copies["samples"], copies["of"]) == (60, "each other")
    assert 0 <= copies["copies"] <= 1 and copies["distance"] > 0
    (kept,) = json.loads(Path(shown["file"]).read_text())
    assert kept["memorisation"] == copies
    with Image.open(shown["copies"]) as picture:
        assert picture.size[0] > picture.size[1] > 100  # 4 rows of 8 samples, 4 of their nearest
    text = invoke("evaluate", run, "--count", 60, *PIXELS).output
    assert "samples are as near to a training image" in text and "copies.png" in text


def test_it_can_be_left_out(run, found):
    shown = found(run, "--count", 60, *PIXELS, "--no-copies")
    assert "memorisation" not in shown and not list(run.rglob("*copies.png"))


@pytest.mark.parametrize(("rows", "copies"), [(range(60), 1.0), (range(60, 120), 0.05)])
def test_images_are_searched_if_asked(digits, tmp_path, found, rows, copies):
    """The digits 0 to 59 are copies of themselves; the next 60 are new."""
    paths = [tmp_path / f"{name}.npz" for name in ("trained", "made")]
    for path, own in zip(paths, (range(60), rows), strict=True):
        np.savez(path, images=digits[own])
    asked = ("--against", paths[0], *PIXELS)
    assert "memorisation" not in found(paths[1], *asked)
    shown = found(paths[1], *asked, "--copies")["memorisation"]
    assert shown["copies"] == pytest.approx(copies, abs=0.1)
    assert (shown["distance"] == 0) == (copies == 1)


def test_held_out_images_are_what_samples_are_compared_with(invoke, found, images_yaml, tmp_path):
    run = tmp_path / "run"
    done = invoke(
        *("train", images_yaml, "--output", run, "--set", "generations=1"),
        *("--set", "data.held_out=100"),
    )
    assert done.exit_code == 0, done.output
    assert found(run, "--count", 20, *PIXELS)["memorisation"]["of"] == "100 held-out images"
