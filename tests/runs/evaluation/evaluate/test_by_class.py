"""Metrics by class of a run, while it evolves and by `evaluate`, and of any system's images."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from egan.data import open_source
from egan.data.config import DigitsConfig
from fitness.features import classifier
from fitness.features.pixels import PixelSpace
from fitness.metrics.classes import frechet_by_class, split_by_class
from runs.config.loading import load_config
from runs.sampling.opening import open_sampler
from runs.training.driver import evolve

RUN = """\
generations: 2
data: {source: digits, resolution: 8, condition: labels}
backbone: {name: dcgan, latent: 4, width: 4}
population: {batch: 8, mutations: [heuristic], survivors: 1}
fitness: {batch: 8}
execution: {executor: local, device: cpu}
evaluation: {every: 2, metrics: [ifid, fid], space: pixels, count: 150}
tracking: {enabled: false}
"""
POINTS = """\
generations: 2
data: {source: gaussians, condition: labels}
backbone: {name: mlp, width: 8, depth: 1}
population: {batch: 8, mutations: [heuristic]}
fitness: {batch: 8}
execution: {executor: local, device: cpu}
tracking: {enabled: false}
"""


@pytest.fixture(scope="module", autouse=True)
def short_lessons():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(classifier, "LEAST_STEPS", 60)
        yield


@pytest.fixture(scope="module")
def told(tmp_path_factory) -> dict[str, Path]:
    """A run of digits and one of points, both by class."""
    folder, runs = tmp_path_factory.mktemp("told"), {}
    for name, text in (("digits", RUN), ("points", POINTS)):
        (folder / f"{name}.yaml").write_text(text)
        runs[name] = evolve(load_config(folder / f"{name}.yaml"), folder / name).path
    return runs


def test_each_class_is_compared_with_as_many_of_its_own_reals(told, found):
    shown = found(told["digits"], "--metrics", "ifid", "--count", 150, "--seed", 1)
    ((name, value),) = shown["values"].items()
    reals = open_source(DigitsConfig(resolution=8))
    halves = split_by_class(reals.labels, 150, np.random.default_rng(0))
    space = PixelSpace((1, 8, 8))
    real, held_out = (space(torch.from_numpy(reals.images[half])) for half in halves)
    labels, others = (torch.from_numpy(reals.labels[half]) for half in halves)
    images = open_sampler(told["digits"])[0](len(labels), 1, torch.eye(10)[labels])
    fakes = space(torch.from_numpy(images).permute(0, 3, 1, 2).contiguous())
    expected = frechet_by_class(real, labels, fakes, labels)
    ceiling = frechet_by_class(real, labels, held_out, others)
    assert name == f"ifid-pixels-{len(labels)}"
    assert value == pytest.approx(expected.value)
    table = shown["classes"][name]
    assert table["reals"] == pytest.approx(ceiling.value)
    for label in range(10):
        assert table["classes"][str(label)] == pytest.approx(
            [expected.classes[label], ceiling.classes[label]]
        )
    with Image.open(shown["picture"]) as picture:
        assert picture.format == "PNG"


def test_a_scoring_has_the_values_that_evaluate_finds_and_says_them_by_class(told, found, scorings):
    scoring = scorings(told["digits"])[2]
    shown = found(told["digits"], "--count", 150, "--seed", 1)
    for metric in ("ifid", "fid"):
        (name,) = (name for name in scoring.values if name.startswith(f"{metric}-"))
        assert shown["values"][name] == scoring.values[name]
    (name,) = scoring.classes
    assert scoring.classes[name].to_json() == shown["classes"][name]


def test_a_table_has_the_value_of_the_reals_beside_each_metric_by_class(told, invoke):
    table = invoke("evaluate", told["digits"], "--metrics", "fid,gan-test",
                   "--count", 150).output  # fmt: skip
    words = table.split()
    for metric in ("fid-pixels-150", "gan-test-classifier-"):
        assert any(word.startswith(metric) for word in words), metric
    assert "of reals" in table


def test_points_are_scored_by_the_mode_asked_for(told, found):
    shown = found(told["points"], "--count", 500)
    assert list(shown["values"])[-1] == "mode-accuracy-pixels-500", "without being asked for"
    table = shown["classes"]["mode-accuracy-pixels-500"]
    assert table["reals"] == 1
    assert len(table["classes"]) == 8


@pytest.fixture
def labelled(tmp_path):
    """Write real digits of 8 x 8 as another system's samples, with labels; return the file."""

    def write(per_class: int, **changes) -> Path:
        reals = open_source(DigitsConfig(resolution=8))
        places = np.concatenate([np.flatnonzero(reals.labels == c)[:per_class] for c in range(10)])
        arrays = {"images": reals.images[places], "labels": reals.labels[places], **changes}
        np.savez(tmp_path / "a.npz", **{k: v for k, v in arrays.items() if v is not None})
        return tmp_path / "a.npz"

    return write


def test_labelled_images_of_any_system_are_scored_by_class(labelled, found):
    shown = found(labelled(60), "--against", "digits", "--metrics", "ifid,gan-train,gan-test",
                  "--space", "pixels", "--count", 150)  # fmt: skip
    for name, value in shown["values"].items():
        reals = shown["classes"][name]["reals"]
        assert value == pytest.approx(reals, rel=0.3), "they are real digits"


def test_images_that_cannot_be_scored_by_class_are_refused(labelled, refused):
    few = refused("--metrics", "ifid", "--space", "pixels", "--count", 150, subject=labelled(15))
    assert "a.npz holds 15 images of class" in few and "lower --count" in few
    none = refused("--metrics", "ifid", "--space", "pixels", subject=labelled(9, labels=None))
    assert "ifid ask for samples of each class" in none
    names = [f"digit {c}" for c in range(10)]
    other = refused("--metrics", "ifid", "--space", "pixels",
                    subject=labelled(9, classes=np.array(names)))  # fmt: skip
    assert "digit 0, digit 1" in other and "those of digits are 0, 1" in other


def test_a_run_without_classes_is_refused_before_anything_slow(run, mistake, tmp_path):
    message = mistake("evaluate", run, "--metrics", "gan-train", "--space", "pixels")
    assert "gan-train ask for samples of each class" in message
    assert "data.condition=labels" in " ".join(message.split())
    (tmp_path / "run.yaml").write_text(RUN.replace(", condition: labels", ""))
    message = mistake("train", tmp_path / "run.yaml", "--output", tmp_path / "out")
    assert "evaluation.metrics: ifid ask for samples of each class" in " ".join(message.split())
    assert not (tmp_path / "out").exists()
