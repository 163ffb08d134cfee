"""The `evaluate` command: a run's generator, or any system's images, in one protocol."""

import shutil

import numpy as np
import pytest

from runs.evaluation.commands import Options, assess
from runs.sampling.opening import sample
from runs.training.driver import evolve

PIXELS = ("--space", "pixels", "--metrics", "fid,prdc")


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
