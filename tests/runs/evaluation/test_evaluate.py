"""The `evaluate` command: a run's generator, or any system's images, in one protocol."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from egan.data.config import DigitsConfig
from egan.data.digits import open_digits
from fitness.features.classifier import ClassifierSpace
from runs import resume
from runs.evaluation.commands import Options, assess
from runs.evaluation.spaces import load_classifier, save_classifier
from runs.sampling.opening import sample
from runs.store.snapshots import newest
from runs.training.driver import evolve

PIXELS = ("--space", "pixels", "--metrics", "fid,prdc")


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


# -------------------------------------------------------------------------------------------- a run


def test_a_run_is_scored_by_its_own_configs_metrics_and_data(run, found):
    shown = found(run, "--count", 50)
    assert list(shown["values"])[:3] == ["fid-pixels-50", "kid-pixels-50", "precision-pixels-50"]
    assert shown["against"] == "digits" and shown["snapshot"].startswith("best snapshot")
    assert all(np.isfinite(value) for value in shown["values"].values())


def test_a_runs_default_count_is_10k_against_all_its_reals(run, found):
    assert list(found(run, "--metrics", "fid")["values"]) == ["fid-pixels-10k-vs-1797"]


def test_the_same_seed_gives_the_same_values_and_another_others(run, found):
    one, again = (found(run, "--count", 50, "--seed", 4) for _ in range(2))
    assert one == again
    assert found(run, "--count", 50, "--seed", 5)["values"] != one["values"]


@pytest.mark.parametrize(
    ("space", "metrics"), [("pixels", "fid,mmd,prdc"), ("classifier", "fid,is")]
)
def test_a_run_and_its_own_samples_get_the_same_values(
    run, found, invoke, tmp_path, space, metrics
):
    invoke("sample", run, "--out", tmp_path / "own.npz", "--count", 40, "--seed", 2)
    protocol = ("--space", space, "--metrics", metrics, "--seed", 2)
    of_run = found(run, "--count", 40, *protocol)
    of_file = found(tmp_path / "own.npz", "--against", "digits", *protocol)
    assert of_run["values"] == of_file["values"]
    assert of_run["space_identity"] == of_file["space_identity"]


def test_a_run_may_be_scored_against_other_data(run, found, npz, pngs):
    for data in (npz, pngs):  # the PNG files are brought to the run's side
        shown = found(run, "--against", data, "--count", 50, *PIXELS)
        assert shown["against"] == data.name
        assert "fid-pixels-50" in shown["values"]


def test_a_run_of_points_is_scored_by_the_mixtures_metrics(points_run, found, tmp_path):
    folder = shutil.copytree(points_run, tmp_path / "run")
    values = found(folder)["values"]
    assert set(values) == {"kl-pixels-2500", "modes-pixels-2500"}  # its config's
    assert set(found(folder, "--metrics", "mixture", "--count", 100)["values"]) == {
        "kl-pixels-100", "modes-pixels-100", "high-quality-pixels-100"
    }  # fmt: skip


def test_a_run_of_points_without_scorings_has_default_metrics(config, found, tmp_path):
    wanted = config("points", generations=1, evaluation={})
    evolve(wanted, tmp_path / "run")
    assert len(found(tmp_path / "run")["values"]) == 3


# ------------------------------------------------------------------------------------------- images


def test_a_folder_of_images_is_scored_at_the_side_asked_for(pngs, npz, found):
    of_folder = found(pngs, "--against", "digits", "--resolution", 8, *PIXELS)
    of_array = found(npz, "--against", "digits", *PIXELS)
    assert "fid-pixels-60" in of_folder["values"] and "file" not in of_folder
    # The folder's files are in another order.
    assert of_folder["values"] == pytest.approx(of_array["values"], rel=1e-6)


def test_images_of_any_system_are_scored_by_path_against_path(npz, pngs, found, tmp_path, digits):
    np.save(tmp_path / "reals.npy", digits[60:160])
    values = found(npz, "--against", tmp_path / "reals.npy", *PIXELS)["values"]
    assert next(iter(values)) == "fid-pixels-60" and values["recall-pixels-60"] > 0.5
    assert found(npz, "--against", pngs, *PIXELS)["values"]["fid-pixels-60"] < 1e-6  # the same


def test_the_default_metrics_and_space_are_named_in_the_values(npz, found):
    names = list(found(npz, "--against", "digits")["values"])
    assert names[0] == "fid-classifier-60" and "coverage-classifier-60" in names


def test_a_part_of_the_images_is_drawn_by_the_seed(npz, found):
    def fid(seed: int, count: int = 30) -> float:
        arguments = ("--against", "digits", "--count", count, "--seed", seed, *PIXELS)
        return found(npz, *arguments)["values"][f"fid-pixels-{count}"]

    assert fid(1) == fid(1) != fid(2)
    assert fid(1, 60) == fid(2, 60)  # all of them


def test_a_table_for_people_names_what_was_compared(npz, invoke):
    shown = invoke("evaluate", npz, "--against", "digits", *PIXELS).stdout
    assert f"{npz} against digits" in " ".join(shown.split("\n"))
    assert "fid-pixels-60" in shown and "lower" in shown and "higher" in shown


def test_a_name_in_brackets_is_shown_as_it_is(npz, invoke, tmp_path):
    path = shutil.copy(npz, tmp_path / "my [bold] set.npz")
    assert "my [bold] set.npz" in invoke("evaluate", path, "--against", "digits", *PIXELS).stdout


# ----------------------------------------------------------------------------------------- mistakes


@pytest.fixture
def refused(mistake, npz):
    """Return the message that `evaluate` of 60 digits against digits gets, with other options."""

    def call(*arguments: object, against: object = "digits", subject: object = npz) -> str:
        return " ".join(mistake("evaluate", subject, "--against", against, *arguments).split())

    return call


def test_inception_without_its_weights_says_where_to_get_them(refused, monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.delenv("EGAN_INCEPTION_WEIGHTS", raising=False)
    message = refused("--space", "inception")
    assert "weights-inception-2015-12-05-6726825d.pth" in message and "--weights" in message


@pytest.mark.parametrize("space", ["inception", "classifier"])
def test_a_cut_weights_file_is_named(refused, tmp_path, space):
    (tmp_path / "cut.pth").write_bytes(b"PK\x03\x04 cut")
    message = refused("--space", space, "--weights", tmp_path / "cut.pth")
    assert "cut.pth" in message


def test_an_unknown_space_or_metric_gets_the_nearest_one(refused):
    assert "did you mean 'pixels'" in refused("--space", "pixel")
    assert "did you mean 'fid'" in refused("--metrics", "fdi")
    assert "package" in refused("--space", "no_such_package:Net")


def test_metrics_of_points_cannot_score_images(refused):
    assert "modes cannot score images" in refused("--metrics", "modes,fid")


def test_too_few_images_are_refused(refused, npz, digits, tmp_path):
    assert f"--count 61: {npz} holds only 60 images" in refused("--count", 61)
    np.savez(tmp_path / "few.npz", images=digits[:4])
    message = refused(*PIXELS, subject=tmp_path / "few.npz")
    assert "precision" in message and "at least 6 images; count is 4" in message
    message = refused(*PIXELS, against=tmp_path / "few.npz")
    assert "at least 6 images; count is 4" in message


def test_other_sizes_are_not_brought_together_unasked(refused, found, tmp_path, npz):
    larger = np.random.default_rng(0).integers(0, 256, (60, 16, 16), np.uint8)
    np.savez(tmp_path / "larger.npz", images=larger)
    message = refused(*PIXELS, against=tmp_path / "larger.npz")
    assert "(1, 8, 8)" in message and "(1, 16, 16)" in message and "larger.npz" in message
    found(npz, "--against", tmp_path / "larger.npz", "--resolution", 8, *PIXELS)


def test_colour_and_grey_are_not_compared(refused, tmp_path):
    colour = np.random.default_rng(0).integers(0, 256, (60, 8, 8, 3), np.uint8)
    np.savez(tmp_path / "colour.npz", images=colour)
    message = refused(*PIXELS, against=tmp_path / "colour.npz")
    assert "(1, 8, 8)" in message and "(3, 8, 8)" in message


def test_unlabelled_reals_have_no_classifier_space(refused, pngs, tmp_path, digits):
    np.savez(tmp_path / "unlabelled.npz", images=digits[:60])
    message = refused(against=tmp_path / "unlabelled.npz")
    assert "'classifier' needs labelled images" in message


def test_images_need_something_to_be_compared_with(mistake, npz):
    assert "--against DATA" in mistake("evaluate", npz)


def test_image_files_need_a_side(refused, pngs):
    assert "--resolution R" in refused(subject=pngs)


def test_what_is_not_there_is_named(refused, mistake, tmp_path):
    assert "nothing.npz" in refused(against=tmp_path / "nothing.npz")
    assert "nowhere" in mistake("evaluate", tmp_path / "nowhere")


def test_points_and_images_are_not_compared(mistake, points_run, run, npz):
    message = mistake("evaluate", points_run, "--against", npz)
    assert "(2,)" in message and "(1, 8, 8)" in message


def test_a_runs_own_data_are_of_their_own_size(mistake, run):
    assert "--resolution" in mistake("evaluate", run, "--resolution", 16)


def test_a_damaged_cache_is_told_of_and_made_again(found, npz, cache, caplog):
    values = found(npz, "--against", "digits", *PIXELS)["values"]
    (file,) = cache.glob("real-*.npz")
    whole = file.read_bytes()
    file.write_bytes(whole[:100])
    assert found(npz, "--against", "digits", *PIXELS)["values"] == values
    assert f"the cached file {file} cannot be used" in caplog.text
    assert file.read_bytes() == whole


def test_without_a_cache_scores_are_the_same(found, npz, monkeypatch, caplog):
    protocol = ("--against", "digits", "--resolution", 8, "--metrics", "fid,is", "--count", 60)
    values = found(npz, *protocol)["values"]
    monkeypatch.setenv("XDG_CACHE_HOME", "/dev/null")
    assert found(npz, *protocol)["values"] == values
    assert "the cache /dev/null/evolutionary-gan cannot be written" in caplog.text


@pytest.mark.parametrize(
    "arguments",
    [("--metrics", "fid,ms-ssim"), ("--against", "digits", "--count", "4", "--metrics", "prdc"),
     ("--space", "inception", "--weights", "cut.pth"), ("--metrics", "is")],
)  # fmt: skip
def test_after_a_mistake_nothing_is_left_behind(run, mistake, cache, tmp_path, arguments):
    (tmp_path / "cut.pth").write_bytes(b"cut")
    arguments = [str(tmp_path / a) if a == "cut.pth" else a for a in arguments]
    mistake("evaluate", run, *arguments)
    assert not (run / "evaluations").exists()
    assert not cache.exists() or not [*cache.iterdir()]


# --------------------------------------------------------------------------------------- the record


def test_values_are_kept_in_the_run_by_protocol(run, found):
    shown = found(run, "--count", 50, "--metrics", "fid")
    file = Path(shown["file"])
    generation = newest(run / "best")[0].generation
    assert file == run / "evaluations" / f"generation-{generation:08d}.json"
    (kept,) = json.loads(file.read_text())
    assert kept["values"] == shown["values"]
    assert (kept["against"], kept["data"], kept["seed"]) == ("digits", shown["data"], 0)
    found(run, "--count", 50, "--metrics", "fid")
    found(run, "--count", 30, "--metrics", "kid")
    (kept,) = json.loads(file.read_text())  # of one protocol: the names say the rest
    assert list(kept["values"]) == ["fid-pixels-50", "kid-pixels-30"]
    found(run, "--count", 50, "--metrics", "fid", "--seed", 1)
    found(run, "--count", 50, "--metrics", "fid", "--space", "classifier")
    assert len(json.loads(file.read_text())) == 3


def test_a_damaged_record_is_not_overwritten(run, mistake, found):
    file = Path(found(run, "--count", 50, "--metrics", "fid")["file"])
    file.write_text("{")
    assert "damaged" in mistake("evaluate", run, "--count", 50, "--metrics", "fid")
    assert file.read_text() == "{"


@pytest.fixture(scope="module")
def logged(config, tmp_path_factory):
    """A run of images with a record in a real store."""
    folder = tmp_path_factory.mktemp("logged")
    tracking = {"uri": f"sqlite:///{folder / 'mlflow.db'}", "system_metrics": False, "model": False}
    evolve(config("images", generations=4, tracking=tracking, evaluation__survivors=True),
           folder / "run")  # fmt: skip
    return folder / "run"


def rows(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Return (step, value) of all rows in a run's record, by key."""
    from mlflow import MlflowClient

    state = json.loads((folder / "tracking.json").read_text())
    client = MlflowClient(state["uri"])
    keys = client.get_run(state["run_id"]).data.metrics
    return {
        key: [(row.step, row.value) for row in client.get_metric_history(state["run_id"], key)]
        for key in keys
    }


def test_scorings_are_logged_once_each_whatever_is_resumed(logged, scorings):
    resume(logged)
    found = rows(logged)
    for name in ("fid", "coverage"):
        expected = [(g, s.values[f"{name}-pixels-60"]) for g, s in scorings(logged).items()]
        assert found[f"evaluation/{name}-pixels-60"] == expected
        own = [(g, s.survivors[1][f"{name}-pixels-60"]) for g, s in scorings(logged).items()]
        assert found[f"evaluation/parent1/{name}-pixels-60"] == own


def test_an_evaluation_is_logged_once_however_often_it_is_repeated(logged, found, npz):
    generation = newest(logged / "best")[0].generation
    for _ in range(2):
        shown = found(logged, "--count", 50, "--metrics", "fid,prdc")
        assert "logged to run" in shown["mlflow"]
        other = found(logged, "--count", 50, "--metrics", "fid", "--against", npz)
    kept = rows(logged)
    for name, value in shown["values"].items():
        assert kept[f"evaluation/{name}"] == [(generation, value)]
    assert kept["evaluation/against sixty.npz/fid-pixels-50"] == [
        (generation, other["values"]["fid-pixels-50"])
    ]


def test_a_dead_store_is_a_note(logged, found, tmp_path):
    folder = Path(shutil.copytree(logged, tmp_path / "run"))
    state = json.loads((folder / "tracking.json").read_text())
    for uri in ("http://127.0.0.1:9", f"sqlite:///{tmp_path / 'other.db'}"):
        (folder / "tracking.json").write_text(json.dumps(state | {"uri": uri}))
        shown = found(folder, "--count", 50, "--metrics", "fid")
        assert shown["mlflow"].startswith("not logged") and Path(shown["file"]).exists()


def test_a_run_without_a_record_says_so(run, found):
    assert "no MLflow record" in found(run, "--count", 50, "--metrics", "fid")["mlflow"]


# --------------------------------------------------------------------------------- statistics files


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
    assert "(1, 16, 16)" in refused(against=tmp_path / "large.npz")
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


# ------------------------------------------------------------------------------------- as a library


def test_progress_is_reported_and_the_values_are_those_of_the_command(run, found):
    stages = []
    shown = assess(
        run, Options(count=50, metrics=("fid",)), lambda stage, done, total: stages.append(stage)
    )
    assert {"real images", "generated images"} <= set(stages)
    assert found(run, "--count", 50, "--metrics", "fid")["values"] == shown["values"]


def test_samples_in_batches_are_the_samples(images_run):
    whole = sample(images_run, 600, 3)
    assert whole.shape == (600, 8, 8, 1) and whole.dtype == np.uint8
    assert np.array_equal(whole[:300], sample(images_run, 300, 3))
