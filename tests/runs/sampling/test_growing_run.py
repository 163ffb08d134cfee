"""A run that grows: killed in a fade-in, on several replicas, sampled and scored at every stage."""

import re
import shutil
import signal
import time
from math import isfinite

import numpy as np
import pytest
import torch

from egan.backbones.progressive.growth import Stage
from runs.config.loading import load_config
from runs.sampling.generators import load_sampler, save_generator
from runs.sampling.opening import open_sampler, sample
from runs.store.folder import RunFolder
from runs.store.journal import Scoring, read_journal
from runs.store.snapshots import newest
from runs.training.driver import evolve, resume
from tests.runs.copies import without_id

pytestmark = pytest.mark.usefixtures("without_pictures")


def journal_lines(folder) -> int:
    journal = folder / "journal.jsonl"
    return journal.read_text().count("\n") if journal.exists() else 0


def test_killed_in_the_middle_of_a_fade_in_a_run_ends_in_the_same_bits(
    growing_yaml, growing, start, invoke, tmp_path
):
    folder, fade = tmp_path / "killed", "backbone.growth.transition_kimg=80"  # to generation 10,000
    process = start("train", growing_yaml, "--output", folder, "--set", "generations=100000",
                    "--set", fade)  # fmt: skip
    deadline = time.monotonic() + 120
    while journal_lines(folder) < 5:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.002)
    process.kill()
    process.wait()
    assert process.returncode == -signal.SIGKILL
    generation = journal_lines(folder)
    config = load_config(growing_yaml, [fade], generations=generation + 5)
    whole = evolve(config, tmp_path / "whole")
    assert open_sampler(folder)[0].stage.alpha < 1
    result = invoke("resume", folder, "--generations", generation + 5)
    assert result.exit_code == 0
    assert f"checksum {whole.checksum}" in result.stdout


@pytest.mark.parametrize("stop", [1, 2, 3, 4])
def test_resumed_on_either_side_of_a_growth_step_a_run_ends_in_the_same_bits(
    stop, growing_yaml, growing, tmp_path
):
    """Generation 3 is the first at 16 pixels; snapshots are every 3."""
    evolve(load_config(growing_yaml, generations=stop), tmp_path / "run")
    resumed = resume(tmp_path / "run", generations=8)
    assert resumed.checksum == newest(growing / "snapshots")[1]


@pytest.mark.long
def test_two_ray_workers_grow_to_the_bits_of_one_process(growing_yaml, growing, tmp_path):
    ray = load_config(growing_yaml, execution__executor="ray", execution__workers=2)
    assert evolve(ray, tmp_path / "ray").checksum == newest(growing / "snapshots")[1]


def test_samples_are_of_the_stage_that_the_run_has_reached(growing_yaml, growing, grown, tmp_path):
    early = tmp_path / "early"
    evolve(load_config(growing_yaml, generations=2), early)
    assert open_sampler(early)[0].stage == Stage(8)
    assert sample(early, count=3).shape == (3, 8, 8, 1)
    assert open_sampler(growing)[0].stage == Stage(16, (8 * 8 - 16) / 80)
    assert sample(growing, count=3).shape == (3, 16, 16, 1)
    assert open_sampler(grown)[0].stage == Stage(16)


def test_what_is_scored_has_the_reals_size(growing_yaml, tmp_path):
    evolve(load_config(growing_yaml, generations=1), tmp_path / "early")
    sampler, _ = open_sampler(tmp_path / "early")
    small = sampler(5, seed=2).transpose(0, 3, 1, 2)
    (large,) = sampler.batches(5, seed=2)
    assert torch.equal(large, torch.from_numpy(np.kron(small, np.ones((2, 2), np.uint8))))


def test_a_growing_run_is_scored_at_every_stage(growing_yaml, tmp_path):
    scoring = {"every": 3, "metrics": ["fid"], "space": "pixels", "count": 30}
    config = load_config(growing_yaml, evaluation=scoring)
    evolve(config, tmp_path / "scored")
    lines = read_journal(tmp_path / "scored" / "journal.jsonl")
    scorings = [line for line in lines if isinstance(line, Scoring)]
    assert [scoring.generation for scoring in scorings] == [3, 6]
    assert all(isfinite(scoring.values["fid-pixels-30"]) for scoring in scorings)


def test_a_saved_generator_keeps_its_stage(growing, growing_yaml, tmp_path):
    exported, *_ = newest(growing / "snapshots")
    config = load_config(growing_yaml)
    card = RunFolder(growing).load_data()
    saved = save_generator(tmp_path / "generator", config, card, exported)
    loaded = load_sampler(tmp_path / "generator")
    assert loaded.stage == saved.stage == open_sampler(growing)[0].stage
    assert np.array_equal(loaded(4, seed=1), sample(growing, count=4, seed=1))


def test_the_nth_sample_does_not_depend_on_the_count(growing):
    assert np.array_equal(sample(growing, count=3, seed=5), sample(growing, count=300, seed=5)[:3])


def test_truncation_draws_samples_to_one(grown, plain, invoke, refusal, tmp_path):
    assert len(np.unique(sample(grown, count=5, truncation=0.0), axis=0)) > 1  # noise is left
    full, half = (sample(grown, count=60, truncation=psi).astype(float) for psi in (1.0, 0.3))
    assert half.std(0).mean() < full.std(0).mean()
    assert np.abs(full - sample(grown, count=60)).max() <= 1
    out = tmp_path / "grid.png"
    assert invoke("sample", grown, "--out", out, "--truncation", "0.7").exit_code == 0
    assert out.stat().st_size
    no_mean = refusal("sample", plain["dcgan"], "--out", out, "--truncation", "0.7")
    assert "only a stylegan generator has a mean of w" in no_mean
    too_many = refusal("sample", grown, "--out", out, "--truncation", "0.7", "--cutoff", "7")
    assert "from 0 to 6, not 7" in too_many
    assert "--truncation PSI" in refusal("sample", grown, "--out", out, "--cutoff", "2")
    for psi in ("nan", "inf"):
        message = refusal("sample", grown, "--out", out, "--truncation", psi)
        assert f"psi is a finite number, such as 0.7, not {psi}" in message


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("data.resolution=24", "a power of two from 8 to 1024 pixels, but the data's .* 24 x 24"),
        ("backbone.growth.start=32", "above the data's resolution of 16"),
        ("backbone.growth.start=9", "growth.start: 9 is not a power of two"),
        ("backbone.growth.batch={8: 8, 32: 8}", "doubles at every stage"),
        ("backbone.growth.batch={8: 8}", "growth.batch ends at 8, but the data's resolution is 16"),
        ("backbone.growth.batch={8: 8, 16: 10}", "growth.batch.16: 10 does not divide into"),
        ("backbone.growth.batch={8: 8, 16: 1}", "16: a batch is at least 2, not 1"),
        ("backbone.growth={training_kimg: 0, transition_kimg: 0}", "must not both be 0"),
        ("backbone.growth.training_kimg=.inf", "training_kimg"),
        ("population.batch=10", "population.batch: 10 does not divide"),
        ("fitness.batch=10", "fitness.batch: 10 does not divide"),
        ("backbone.growth.kimg=3", "unknown key"),
    ],
)
def test_a_bad_request_is_named_and_leaves_nothing(change, message, growing_yaml, invoke, tmp_path):
    result = invoke("train", growing_yaml, "--output", tmp_path / "run", "--set", change)
    assert result.exit_code == 2 and re.search(message, result.stderr)
    assert not (tmp_path / "run").exists()


@pytest.fixture
def swapped(growing_yaml, grown, tmp_path):
    """The folder of a run of 8 pixels, with the snapshots of a run of 16."""
    small = load_config(growing_yaml, ["data.resolution=8"], generations=2)
    evolve(small, tmp_path / "small")
    shutil.rmtree(tmp_path / "small" / "snapshots")
    shutil.copytree(grown / "snapshots", tmp_path / "small" / "snapshots")
    for snapshot in (tmp_path / "small" / "snapshots").iterdir():
        without_id(snapshot)
    return tmp_path / "small"


def test_a_snapshot_of_another_resolution_is_refused_and_the_run_stays(swapped, refusal, tmp_path):
    before = {p: p.read_bytes() for p in swapped.rglob("*") if p.is_file()}
    out = tmp_path / "grid.png"
    for command in (
        ("sample", swapped, "--out", out),
        ("mix", swapped, "--out", out),
        ("evaluate", swapped, "--count", "10"),
        ("resume", swapped, "--generations", "20"),
    ):
        message = refusal(*command)
        assert "is not the one that config.yaml and data.json describe" in message
    assert not out.exists()
    assert before.items() <= {p: p.read_bytes() for p in swapped.rglob("*") if p.is_file()}.items()
