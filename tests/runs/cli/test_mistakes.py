"""Odd inputs of commands: one line that says what is wrong and what to do, and nothing is lost."""

import re
from time import monotonic

import numpy as np
import pytest

from fitness.metrics.names import GROUPS, METRICS
from runs.cli.main import main
from runs.common.hints import hint
from runs.presets import preset_text


@pytest.mark.parametrize("command", ["study", "tournament"])
def test_a_file_in_the_place_of_a_folder_is_told(command, mistake, tmp_path):
    file = tmp_path / "w.py"
    file.write_text("mine")
    said = mistake(command, "gaussians25", "--output", file)
    assert f"error: cannot write to {file}: " in said
    assert file.read_text() == "mine"


@pytest.mark.parametrize("command", ["study", "tournament"])
def test_a_runs_folder_is_no_study_and_no_tournament(command, points_run, mistake):
    folder, _ = points_run
    said = mistake(command, folder)
    assert f"{folder} is a run's folder, not a {command}'s. Go on with it: " in said
    assert said.rstrip().endswith(hint("resume", folder))


@pytest.mark.mlflow
def test_what_is_no_study_and_no_experiment_is_told(points_run, mistake, tmp_path):
    folder, _ = points_run
    store = ("--store", f"sqlite:///{tmp_path}/none.db")
    assert f"{folder} is a run's folder, not a study's" in mistake("compare", folder, *store)
    said = mistake("compare", "nope", *store)
    assert "'nope' is no study's folder, and there is no MLflow store sqlite:///" in said


@pytest.mark.parametrize(
    ("name", "command", "other"),
    [("study.yaml", "tournament", "study"), ("tournament.yaml", "study", "tournament")],
)
def test_a_study_is_no_tournament(name, command, other, mistake, tmp_path):
    (tmp_path / name).write_text("")
    said = mistake(command, tmp_path)
    assert (
        f"is a {other}'s folder, not a {command}'s. Go on with it: {hint(other, tmp_path)}" in said
    )


def test_a_preset_is_meant_where_a_folder_has_its_name(points_run, mistake, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("digits", "gaussians25"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.yaml").write_text(preset_text(name))
    said = mistake("tournament", "digits", "--set", "no=1")
    assert "run's folder" not in said and "no" in said
    said = mistake("study", "gaussians25", "--output", "digits")
    assert "digits is not empty and holds no study" in said


def test_an_option_for_other_data_is_told_by_the_kind_of_file(mistake, tmp_path):
    np.save(tmp_path / "big.npy", np.zeros((3, 8, 8), np.uint8))
    start = ("prepare", tmp_path / "big.npy", tmp_path / "packed", "--resolution", 8)
    assert f"--bits is not for a .npy file: {tmp_path / 'big.npy'}" in mistake(*start, "--bits", 12)
    said = mistake(*start, "--labels", "none", "--part", "all")
    assert "--labels, --part are not for a .npy file" in said
    assert not (tmp_path / "packed").exists()


def test_what_was_packed_before_is_replaced_by_an_option_that_is_named(invoke, mistake, tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((3, 8, 8), np.uint8))
    command = ("prepare", tmp_path / "a.npy", tmp_path / "packed", "--resolution", 8)
    assert invoke(*command).exit_code == 0
    assert "choose another folder, or replace it with --force" in mistake(*command)
    assert invoke(*command, "--force").exit_code == 0


def test_more_generations_than_can_be_numbered_are_refused(
    points_run, points_yaml, mistake, tmp_path
):
    folder, _ = points_run
    before = (folder / "config.yaml").read_bytes()
    most = 10**18 - 1
    assert str(most) in mistake("resume", folder, "--generations", 10**20 - 1)
    assert (folder / "config.yaml").read_bytes() == before
    many = ("--set", f"generations={most + 1}", "--output", tmp_path / "new")
    assert str(most) in mistake("train", points_yaml, *many)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(("run", "kind"), [("images_run", "images"), ("points_run", "points")])
def test_a_million_samples_are_no_picture(run, kind, request, mistake, tmp_path):
    found = request.getfixturevalue(run)
    folder = found[0] if isinstance(found, tuple) else found
    said = mistake("sample", folder, "--count", 1_000_001, "--out", tmp_path / "x.png")
    assert f"1,000,001 {kind} are too many for a picture" in said
    assert "take --out FILE.npz, which holds any number" in said


@pytest.mark.parametrize("uri", ["s3://", "s3:///", "gs://?a=b"])
def test_a_store_without_a_bucket_is_refused_at_once(uri, mistake):
    begin = monotonic()
    said = mistake("resume", uri)
    assert f"{uri} names no bucket: write {uri[:2]}://bucket/prefix" in said
    assert monotonic() - begin < 3


def test_the_help_of_evaluate_names_every_metric():
    (option,) = (o for o in main.commands["evaluate"].params if o.name == "metrics")
    words = re.findall(r"[\w-]+", option.help)
    spelled = {name for group in GROUPS if group in words for name in GROUPS[group]}
    assert set(METRICS) - spelled - set(words) == set()


def test_networks_larger_than_any_memory_are_told_and_leave_no_folder(mistake, tmp_path):
    place = tmp_path / "r"
    options = ("--set", f"backbone.width={10**12}", "--executor", "local", "--output", place)
    said = mistake("train", "digits", *options)
    assert "error: backbone: these networks cannot be built here: " in said
    assert not place.exists()
