"""Runs that are scored while they evolve: what stands in the journal, what is kept as the best."""

import json
import shutil

import numpy as np
import pytest
import torch

from egan.data import open_source
from fitness.digest import digest_weights
from fitness.evaluation import evaluate_images
from fitness.features.classifier import train_classifier
from fitness.features.pixels import PixelSpace
from runs import ConfigError, sample
from runs.sampling.states import sampler_of, survivors_of
from runs.store.folder import RunFolder
from runs.store.journal import Scoring, read_journal
from runs.store.snapshots import STATE, newest, snapshots
from runs.training.driver import evolve, resume
from runs.training.scoring import EVALUATION_SEED
from tests.runs.copies import kinds


def state_of(folder, config, generation, tmp_path):
    """Return the state at a generation, from a run that ends there, and its checksum."""
    result = evolve(config.model_copy(update={"generations": generation}), tmp_path / "short")
    return newest(result.path / "snapshots")[0], result.checksum


def equal(one, other) -> bool:
    same = all(np.array_equal(one.arrays[name], other.arrays[name]) for name in other.arrays)
    return same and one.arrays.keys() == other.arrays.keys() and one.steps == other.steps


# -------------------------------------------------------------------------------------- the journal


def test_scorings_stand_between_the_generations_they_are_of(images_run):
    lines = list(read_journal(images_run / "journal.jsonl"))
    places = [line.generation for line in lines]
    kinds = ["S" if isinstance(line, Scoring) else "E" for line in lines]
    assert places == [0, 1, 2, 2, 3, 4, 4, 5, 6, 6]
    assert "".join(kinds) == "EESEESEESE"


def test_a_scorings_names_carry_the_protocol(images_run, points_run, scorings):
    names = ["fid", "kid", "precision", "recall", "density", "coverage"]
    of_images = [list(scoring.values) for scoring in scorings(images_run).values()]
    assert of_images == [[f"{name}-pixels-60" for name in names]] * 3
    assert {scoring.device for scoring in scorings(images_run).values()} == {"cpu"}
    of_points = [set(scoring.values) for scoring in scorings(points_run).values()]
    assert of_points == [{"kl-pixels-200", "modes-pixels-200"}] * 2


def test_the_values_are_those_of_the_averaged_generator_and_each_survivor(
    images_run, config, scorings, tmp_path
):
    wanted = config("images", evaluation__survivors=True)
    exported, _ = state_of(images_run, config("images", evaluation__every=None), 4, tmp_path)
    source = open_source(wanted.data)
    space = PixelSpace((1, 8, 8))
    order = np.random.default_rng(0).permutation(len(source))[:60]
    reals = torch.from_numpy(source.images[order])

    def values(sampler) -> dict[str, float]:
        images = torch.from_numpy(sampler(60, EVALUATION_SEED)).permute(0, 3, 1, 2)
        metrics = wanted.evaluation.metrics
        return evaluate_images([reals], [images.contiguous()], metrics, space, count=60)

    found, card = scorings(images_run)[4], RunFolder(images_run).load_data()
    assert found.values == values(sampler_of(wanted, card, exported))
    own = survivors_of(wanted, card, exported)
    assert [*found.survivors] == [values(sampler) for sampler in own]
    assert len(own) == 2


def test_scoring_changes_nothing_in_the_run(images_run, config, record, tmp_path):
    result = evolve(config("images", evaluation__every=None), tmp_path / "unscored")
    assert result.checksum == newest(images_run / "snapshots")[1]
    assert record(result.path) == [line for line in record(images_run) if "scoring" not in line]
    assert not (result.path / "best").exists()


def test_nothing_but_the_averaged_generator_is_scored_unless_asked(config, scorings, tmp_path):
    evolve(config("images", generations=2), tmp_path / "run")
    assert scorings(tmp_path / "run")[2].survivors == ()


def test_a_run_scores_in_the_classifiers_space_that_it_trains_once(
    config, scorings, tmp_path, cache
):
    wanted = config("images", generations=2, evaluation__space="classifier")
    evolve(wanted, tmp_path / "one")
    first = {path.name: path.stat().st_mtime_ns for path in cache.iterdir()}
    assert sorted(name.split("-")[0] for name in first) == ["classifier", "real"]
    evolve(wanted, tmp_path / "two")
    assert {path.name: path.stat().st_mtime_ns for path in cache.iterdir()} == first
    one, two = scorings(tmp_path / "one")[2], scorings(tmp_path / "two")[2]
    assert one.values == two.values and "fid-classifier-60" in one.values


def test_the_classifiers_space_does_not_depend_on_the_threads_of_who_trains_it():
    images = torch.arange(200 * 64).reshape(200, 1, 8, 8).to(torch.uint8)
    labels = torch.arange(200) % 3
    one, _ = train_classifier(images, labels)
    torch.set_num_threads(2)
    try:
        two, _ = train_classifier(images, labels)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)
    assert digest_weights(one) == digest_weights(two)


@pytest.mark.long
def test_local_and_ray_give_the_same_scorings(config, record, images_run, tmp_path):
    pytest.importorskip("ray")
    settings = {"execution__executor": "ray", "execution__workers": 2}
    result = evolve(config("images", evaluation__survivors=True, **settings), tmp_path / "ray")
    assert record(result.path) == record(images_run)
    assert result.checksum == newest(images_run / "snapshots")[1]


# ----------------------------------------------------------------------------------------- the best


def test_the_best_snapshot_is_the_state_of_its_generation(
    points_run, long_run, config, scorings, tmp_path
):
    found = scorings(long_run)
    best = max(g for g, scoring in found.items() if scoring.best)
    assert [s.generation for s in snapshots(long_run / "best")] == [best] == [20]
    kl = {g: s.values["kl-pixels-200"] for g, s in found.items()}
    assert min(kl, key=kl.__getitem__) == best
    exported, checksum, _ = newest(points_run / "best")
    state, expected = state_of(
        points_run, config("points", evaluation__every=None), exported.generation, tmp_path
    )
    assert equal(exported, state) and checksum == expected


def test_samples_come_from_the_best_snapshot_and_say_so(images_run, scorings, invoke, tmp_path):
    best = max(g for g, scoring in scorings(images_run).items() if scoring.best)
    assert best < 7  # else this shows nothing
    drawn = {}
    for name in ("best", "newest"):
        out = tmp_path / f"{name}.npz"
        said = invoke("sample", images_run, "--out", out, "--count", 8, "--snapshot", name)
        generation = {"best": best, "newest": 7}[name]
        assert f"8 samples of the {name} snapshot, generation {generation}" in said.output
        drawn[name] = np.load(out)["images"]
    assert not np.array_equal(drawn["best"], drawn["newest"])
    assert np.array_equal(sample(images_run, 8), drawn["best"])
    assert np.array_equal(sample(images_run, 8, which="newest"), drawn["newest"])
    plain = invoke("sample", images_run, "--out", tmp_path / "a.npz", "--count", 8)
    assert "best snapshot" in plain.output


def test_without_scorings_samples_come_from_the_newest(config, invoke, tmp_path):
    evolve(config("images", generations=2, evaluation__every=None), tmp_path / "run")
    said = invoke("sample", tmp_path / "run", "--out", tmp_path / "a.npz").output
    assert "newest snapshot, generation 2" in said and "damaged" not in said


def test_a_damaged_best_snapshot_is_said(images_run, invoke, mistake, tmp_path):
    folder = shutil.copytree(images_run, tmp_path / "copy")
    (best,) = snapshots(folder / "best")
    (best.path / STATE).write_bytes(b"")
    said = invoke("sample", folder, "--out", tmp_path / "a.npz").output
    assert "newest snapshot, generation 7 (the best one is damaged: " in said
    shutil.rmtree(folder / "snapshots")
    message = mistake("sample", folder, "--out", tmp_path / "b.npz")
    assert "no snapshot" in message and best.path.name in message


# ----------------------------------------------------------------------------- stopping and warning


def test_an_early_stop_is_an_end_and_stays_one(config, scorings, told, tmp_path):
    wanted = config("points", evaluation__collapse=None, evaluation__patience=2)
    result = evolve(wanted, tmp_path / "run", told)
    found = list(scorings(result.path).values())
    last = result.generation
    assert result.finished and last == found[-1].generation < 60
    assert [scoring.action for scoring in found] == [None] * (len(found) - 1) + ["stop"]
    assert [scoring.best for scoring in found[-3:]] == [True, False, False]
    assert f"stopped early at generation {last}: kl has not improved in 2 scorings" in told
    lines = (result.path / "journal.jsonl").read_text()
    again = resume(result.path)
    assert (again.generation, again.checksum, again.finished) == (last, result.checksum, True)
    assert (result.path / "journal.jsonl").read_text() == lines
    assert resume(result.path, generations=90).generation == last


def test_a_stop_on_collapse_keeps_the_best_before_it(config, scorings, tmp_path):
    collapse = {"metric": "kl", "factor": 1.05, "action": "stop"}
    result = evolve(config("points", evaluation__collapse=collapse), tmp_path / "run")
    assert result.finished and result.generation == 25
    assert scorings(result.path)[25].action == "stop"
    assert [s.generation for s in snapshots(result.path / "best")] == [20]


def test_a_warning_changes_nothing(config, record, told, tmp_path):
    collapse = {"metric": "kl", "factor": 1.05, "action": "warn"}
    warned = evolve(
        config("points", generations=40, evaluation__collapse=collapse), tmp_path / "a", told
    )
    plain = evolve(config("points", generations=40), tmp_path / "b")
    assert warned.checksum == plain.checksum
    assert "alarm at generation 25: kl is 1.2" in told and "rolling" not in told
    found = record(warned.path)
    assert any(line.get("action") == "warn" for line in found)
    calm = [line | {"action": None} if "scoring" in line else line for line in found]
    assert calm == record(plain.path)


def test_a_run_stopped_and_resumed_scores_as_one_that_was_not(
    images_run, config, record, tmp_path, end_of
):
    evolve(config("images", evaluation__survivors=True, generations=4), tmp_path / "run")
    result = resume(tmp_path / "run", generations=7)
    assert record(result.path) == record(images_run)
    assert result.checksum == end_of(images_run)
    assert kinds(result.path) == ["resumed"]


def test_inspect_shows_the_scorings(images_run, invoke):
    found = json.loads(invoke("inspect", images_run, "--json").output)
    assert [scoring["scoring"] for scoring in found["scorings"]] == [2, 4, 6]
    assert "generation 4" in invoke("inspect", images_run).output


# ---------------------------------------------------------------------------- before the first step


def test_images_that_are_all_alike_are_refused_for_mmd_before_the_run_begins(config, tmp_path):
    np.save(tmp_path / "alike.npy", np.full((80, 8, 8), 7, np.uint8))
    data = {"source": "array", "path": str(tmp_path / "alike.npy")}
    evaluation = {"every": 2, "metrics": ["mmd"], "space": "pixels", "count": 60}
    wanted = config("images", data=data, evaluation=evaluation)
    with pytest.raises(ConfigError, match="all real features are equal"):
        evolve(wanted, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_networks_that_do_not_fit_the_data_are_refused_before_the_metrics_are_prepared(
    config, tmp_path, cache, told
):
    data = {"source": "digits", "resolution": 30}
    evaluation = {"every": 2, "metrics": ["fid"], "space": "classifier", "count": 60}
    with pytest.raises(ConfigError, match="dcgan makes square images of 8, 16, 32"):
        evolve(config("images", data=data, evaluation=evaluation), tmp_path / "run", told)
    assert "preparing the metrics" not in told
    assert not cache.exists() and not (tmp_path / "run").exists()


def test_a_run_without_a_cache_is_scored_as_one_with_it(
    config, images_run, scorings, monkeypatch, caplog, tmp_path
):
    monkeypatch.setenv("XDG_CACHE_HOME", "/dev/null")
    wanted = config("images", evaluation__survivors=True)
    folder = evolve(wanted, tmp_path / "run").path
    assert {g: s.values for g, s in scorings(folder).items()} == {
        g: s.values for g, s in scorings(images_run).items()
    }
    assert "the cache /dev/null/evolutionary-gan cannot be written" in caplog.text


def test_the_classifiers_training_is_told(config, told, tmp_path):
    evaluation = {"every": 2, "metrics": ["is"], "space": "classifier", "count": 60}
    evolve(config("images", generations=1, evaluation=evaluation), tmp_path / "run", told)
    assert "training the classifier space: " in told
