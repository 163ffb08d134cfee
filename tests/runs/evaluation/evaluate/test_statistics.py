"""The `statistics` command, and its files in the place of real images."""

import numpy as np
import pytest
import torch

from egan.data.config import DigitsConfig
from egan.data.digits import open_digits
from fitness.features.classifier import ClassifierSpace
from runs.evaluation.spaces import load_classifier, save_classifier

PIXELS = ("--space", "pixels", "--metrics", "fid,prdc")


def test_statistics_stand_for_the_images_they_are_of(invoke, found, npz, tmp_path):
    said = invoke("statistics", "digits", "--resolution", 8, "--space", "pixels",
                  "--out", tmp_path / "digits.npz").output  # fmt: skip
    assert "digits.npz: statistics of 1797 images in space pixels" in said
    against = found(npz, "--against", tmp_path / "digits.npz")
    assert list(against["values"]) == ["fid-pixels-60-vs-1797"]
    images = open_digits(DigitsConfig(resolution=8)).images.reshape(1797, -1) / 255
    with np.load(tmp_path / "digits.npz", allow_pickle=False) as file:
        np.testing.assert_allclose(file["mu"], images.mean(axis=0), atol=1e-6)
        np.testing.assert_allclose(file["sigma"], np.cov(images, rowvar=False), atol=1e-6)
        assert file["mu"].dtype == file["sigma"].dtype == np.float64


def test_a_part_of_the_images_has_the_statistics_of_a_scorings_reals(invoke, found, run, tmp_path):
    invoke("statistics", "digits", "--resolution", 8, "--space", "pixels", "--count", 50,
           "--out", tmp_path / "fifty.npz")  # fmt: skip
    by_file = found(run, "--against", tmp_path / "fifty.npz", "--count", 50)["values"]
    by_data = found(run, "--count", 50, "--metrics", "fid")["values"]
    assert by_file == {k: pytest.approx(v, rel=1e-9) for k, v in by_data.items()}


def test_a_file_as_pytorch_fid_writes_it_needs_the_space_said(refused, found, npz, tmp_path):
    mean, covariance = np.zeros(64), np.eye(64)
    np.savez_compressed(tmp_path / "plain.npz", mu=mean, sigma=covariance)
    assert "--space inception" in refused(against=tmp_path / "plain.npz")
    values = found(npz, "--against", tmp_path / "plain.npz", "--space", "pixels")["values"]
    assert list(values) == ["fid-pixels-60-vs-file"]


def test_statistics_serve_fid_alone(refused, invoke, tmp_path):
    invoke("statistics", "digits", "--resolution", 8, "--space", "pixels",
           "--out", tmp_path / "s.npz")  # fmt: skip
    message = refused("--metrics", "fid,kid", against=tmp_path / "s.npz")
    assert "kid need the real images' features" in message


def test_statistics_of_another_space_weights_size_or_dimension_are_refused(
    refused, invoke, digits, tmp_path
):
    invoke("statistics", "digits", "--resolution", 8, "--space", "pixels",
           "--out", tmp_path / "s.npz")  # fmt: skip
    message = refused("--space", "inception", against=tmp_path / "s.npz")
    assert "'pixels'" in message and "'inception'" in message
    invoke("statistics", "digits", "--resolution", 16, "--space", "pixels",
           "--out", tmp_path / "large.npz")  # fmt: skip
    message = refused(against=tmp_path / "large.npz")
    assert "(1, 16, 16)" in message and ": --resolution 16 brings" in message
    np.savez(tmp_path / "narrow.npz", mu=np.zeros(3), sigma=np.eye(3))
    assert "3 dimensions" in refused("--space", "pixels", against=tmp_path / "narrow.npz")
    np.savez(tmp_path / "broken.npz", mu=np.zeros(3), sigma=np.eye(4))
    assert "broken.npz" in refused("--space", "pixels", against=tmp_path / "broken.npz")


def test_a_classifiers_statistics_need_the_same_classifier(
    refused, invoke, found, npz, cache, tmp_path
):
    out = tmp_path / "s.npz"
    invoke("statistics", "digits", "--resolution", 8, "--out", out)
    (file,) = cache.glob("classifier-*.safetensors")
    assert "labelled" in refused(against=out)
    values = found(npz, "--against", out, "--weights", file)["values"]
    assert list(values) == ["fid-classifier-60-vs-1797"]
    assert load_classifier(file).accuracy > 0.5
    images = torch.arange(60 * 64).reshape(60, 1, 8, 8).to(torch.uint8)
    other = ClassifierSpace.trained(images, torch.arange(60) % 2)
    save_classifier(other, tmp_path / "other.safetensors")
    message = refused("--weights", tmp_path / "other.safetensors", against=out)
    assert "of other weights" in message


def test_statistics_that_cannot_be_made_leave_no_file(mistake, pngs, tmp_path):
    out = tmp_path / "s.npz"
    assert "--resolution R" in mistake("statistics", pngs, "--out", out)
    message = mistake("statistics", pngs, "--resolution", 8, "--out", out)
    assert "labelled" in message
    too_many = ("--resolution", 8, "--count", 61, "--space", "pixels", "--out", out)
    assert "61" in mistake("statistics", pngs, *too_many)
    assert ".npz" in mistake("statistics", "digits", "--out", tmp_path / "s.txt")
    assert not out.exists() and not (tmp_path / "s.txt").exists()
