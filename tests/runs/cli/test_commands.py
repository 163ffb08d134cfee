"""The commands around a run: sample, inspect, prepare, presets, and misspelt ones."""

import json
import os
import pwd
import shutil
import signal
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest
from PIL import Image

from run_evolution import NO_HOME, name_home
from runs import sample
from runs.presets import preset_names, preset_text
from runs.sampling.pictures import image_grid
from runs.store.snapshots import STATE, snapshots

pytestmark = pytest.mark.usefixtures("without_pictures")


def images_of(path: Path) -> np.ndarray:
    with np.load(path, allow_pickle=False) as archive:
        assert archive.files == ["images"]
        return archive["images"]


# ------------------------------------------------------------------------------------------- sample


def test_an_npz_holds_the_images(images_run, invoke, tmp_path):
    out = tmp_path / "new folder" / "samples.npz"
    result = invoke("sample", images_run, "--count", 5, "--seed", 2, "--out", out)
    assert result.exit_code == 0 and result.output.startswith(str(out))
    images = images_of(out)
    assert images.dtype == np.uint8 and images.shape == (5, 8, 8, 1)
    assert (images == sample(images_run, 5, 2)).all()
    assert len(np.unique(images)) > 1


def test_the_same_count_and_seed_give_the_same_bytes(images_run, invoke, tmp_path):
    for suffix in ("npz", "png"):
        for name in ("one", "two"):
            out = tmp_path / f"{name}.{suffix}"
            assert invoke("sample", images_run, "--seed", 4, "--out", out).exit_code == 0
        one, two = (tmp_path / f"{name}.{suffix}" for name in ("one", "two"))
        assert one.read_bytes() == two.read_bytes()


def test_a_fresh_process_gives_the_same_samples(images_run, run, tmp_path):
    done = run("sample", images_run, "--count", 9, "--seed", 1, "--out", tmp_path / "s.npz")
    assert done.returncode == 0, done.stderr
    assert (images_of(tmp_path / "s.npz") == sample(images_run, 9, 1)).all()


def test_a_sample_depends_on_the_seed_and_its_place_alone(images_run):
    many = sample(images_run, 300, 7)
    for count in (1, 2, 255, 256, 257):
        assert (sample(images_run, count, 7) == many[:count]).all()
    assert not (sample(images_run, 8, 8) == many[:8]).all()


def test_no_two_samples_are_the_same(points_run):
    both = np.concatenate([sample(points_run[0], 300, seed) for seed in (1, 2)])
    assert len(np.unique(both, axis=0)) == 600


def test_a_png_shows_the_samples_in_a_grid(images_run, invoke, tmp_path):
    out = tmp_path / "grid.png"
    assert invoke("sample", images_run, "--count", 10, "--out", out).exit_code == 0
    expected = image_grid(sample(images_run, 10, 0))[:, :, 0]
    with Image.open(out) as image:
        assert image.format == "PNG" and image.mode == "L"
        assert (np.asarray(image) == expected).all()
    # 4 x 3 cells of 8 pixels with a margin of 2, enlarged 12 times
    assert expected.shape == (32 * 12, 42 * 12)
    cell = expected[2 * 12 : 10 * 12 : 12, 2 * 12 : 10 * 12 : 12]
    assert (cell == sample(images_run, 1, 0)[0, :, :, 0]).all()


def test_points_are_an_array_and_a_picture(points_run, invoke, tmp_path):
    folder, _ = points_run
    assert invoke("sample", folder, "--count", 6, "--out", tmp_path / "p.npz").exit_code == 0
    with np.load(tmp_path / "p.npz", allow_pickle=False) as archive:
        assert archive["points"].shape == (6, 2) and archive["points"].dtype == np.float32
    assert invoke("sample", folder, "--out", tmp_path / "p.png").exit_code == 0
    with Image.open(tmp_path / "p.png") as image:
        image.verify()


def test_the_grid_that_a_run_draws_is_of_its_samples(images_run):
    with Image.open(images_run / "samples" / "generation-00000006.png") as image:
        assert (np.asarray(image) == image_grid(sample(images_run, 100, 0))[:, :, 0]).all()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--out", "x.jpg"), ".png or .npz"),
        (("--out", "x"), ".png or .npz"),
        (("--out", "x.png", "--count", "0"), "--count"),
        (("--out", "x.png", "--count", "-3"), "--count"),
        (("--out", "x.png", "--count", "many"), "--count"),
        (("--out", "x.png", "--seed", "-1"), "--seed"),
        ((), "--out"),
    ],
)
def test_a_sample_that_cannot_be_is_a_mistake(
    options, said, images_run, mistake, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    assert said in mistake("sample", images_run, *options)
    assert not list(tmp_path.iterdir())


def test_a_place_that_cannot_be_written_is_told_in_a_line(images_run, invoke, tmp_path):
    (tmp_path / "folder.png").mkdir()
    result = invoke("sample", images_run, "--out", tmp_path / "folder.png")
    assert result.exit_code == 1
    assert result.output.startswith("sample failed: ") and "folder.png" in result.output
    assert [path.name for path in tmp_path.iterdir()] == ["folder.png"]


def test_a_run_without_a_sound_snapshot_has_no_samples(images_run, mistake, tmp_path):
    folder = Path(shutil.copytree(images_run, tmp_path / "copy"))
    for snapshot in snapshots(folder / "snapshots"):
        (snapshot.path / STATE).write_bytes(b"")
    message = mistake("sample", folder, "--out", tmp_path / "x.png")
    assert "no snapshot" in message and "generation-00000006" in message and STATE in message


# ------------------------------------------------------------------------------------------ inspect


def inspected(invoke, folder: Path) -> dict:
    result = invoke("inspect", folder, "--json")
    assert result.exit_code == 0
    return json.loads(result.output)


def test_inspect_tells_what_is_promised(points_run, invoke):
    folder, checksum = points_run
    found = inspected(invoke, folder)
    assert found["generation"] == 30 and found["generations"] == 30
    assert found["checksum"] == checksum and found["checksum_generation"] == 30
    assert found["config"]["population"]["batch"] == 8
    assert sum(found["share_of_wins"].values()) == pytest.approx(1, abs=1e-3)
    assert set(found["share_of_wins"]) <= {"minimax", "heuristic", "paced:paced"}
    assert [s["generation"] for s in found["snapshots"]] == [30, 20, 10]
    assert all(s["verifies"] for s in found["snapshots"])
    assert found["damaged_journal_lines"] == 0
    assert found["best"][0]["fitness"] == max(best["fitness"] for best in found["best"])
    assert {"quality", "diversity", "mutation", "generation"} <= set(found["best"][0])
    assert found["last"]["generation"] == 29 and len(found["last"]["scores"]) == 3


def test_inspect_shows_the_same_to_people(points_run, invoke):
    folder, checksum = points_run
    output = invoke("inspect", folder).output
    for part in (
        "points",
        "generation 30 of 30",
        checksum,
        "share of wins",
        "generation 10",
        "yes",
    ):
        assert part in output


def test_inspect_of_a_damaged_run_names_the_damage(points_run, invoke, tmp_path):
    folder = Path(shutil.copytree(points_run[0], tmp_path / "copy"))
    (folder / "snapshots" / "generation-00000030" / STATE).write_bytes(b"x")
    with (folder / "journal.jsonl").open("ab") as file:
        file.write(b"\xff damage")
    found = inspected(invoke, folder)
    assert found["damaged_journal_lines"] == 1
    newest = found["snapshots"][0]
    assert newest["generation"] == 30 and not newest["verifies"] and STATE in newest["reason"]
    assert found["checksum_generation"] == 29
    output = invoke("inspect", folder).output
    assert "NO: state.safetensors" in output and "1 damaged line" in output


def test_inspect_of_a_run_that_never_began(points_run, invoke, tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    for name in ("config.yaml", "data.json"):
        shutil.copy(points_run[0] / name, folder)
    found = inspected(invoke, folder)
    assert (found["generation"], found["checksum"], found["last"]) == (0, None, None)
    assert invoke("inspect", folder).exit_code == 0


def test_inspect_of_a_failed_child_gives_its_reason(own_modules, points_yaml, invoke, tmp_path):
    import failing  # the user's module, importable here

    failing.calls = 1000
    folder = tmp_path / "run"
    mutations = "population.mutations=[minimax, 'failing:later']"
    assert invoke(
        "train", points_yaml, "--set", mutations, "--set", "generations=2", "--output", folder
    ).exit_code == 0  # fmt: skip
    scores = inspected(invoke, folder)["last"]["scores"]
    assert scores["1"]["failure"] == "loss is nan at step 0"
    assert invoke("inspect", folder).exit_code == 0


def test_names_with_brackets_are_no_markup(points_run, invoke, tmp_path):
    folder = tmp_path / "a[" / "b]"
    shutil.copytree(points_run[0], folder)
    result = invoke("inspect", folder)
    assert result.exit_code == 0 and str(folder) in result.output


def test_a_living_run_can_be_inspected_and_sampled(
    points_yaml, start, invoke, until_lines, tmp_path
):
    folder = tmp_path / "run"
    process = start(
        "train", points_yaml, "--set", "generations=5000", "--output", folder, PAUSE="0.01"
    )
    until_lines(process, folder, 12)
    seen = [inspected(invoke, folder) for _ in range(5)]
    assert seen[0]["generation"] >= 12
    assert all(found["damaged_journal_lines"] == 0 for found in seen)
    assert [f["generation"] for f in seen] == sorted(f["generation"] for f in seen)
    assert invoke("sample", folder, "--out", tmp_path / "x.npz").exit_code == 0
    assert process.poll() is None
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


# --------------------------------------------------------------------------------- prepare, presets


def test_prepared_images_are_trained_on(invoke, images_yaml, tmp_path):
    colours = np.random.default_rng(0).integers(0, 256, (3, 20, 30, 3), dtype=np.uint8)
    (tmp_path / "photos").mkdir()
    for place, colour in enumerate(colours):
        Image.fromarray(colour).save(tmp_path / "photos" / f"{place}.png")
    (tmp_path / "photos" / "bad.png").write_bytes(b"no image")
    packed = tmp_path / "packed"
    refused = invoke("prepare", tmp_path / "photos", packed, "--resolution", 8)
    assert refused.exit_code == 2 and "bad.png" in refused.output and not packed.exists()
    done = invoke("prepare", tmp_path / "photos", packed, "--resolution", 8, "--skip-bad")
    assert done.exit_code == 0
    assert "3 images of 3 x 8 x 8" in done.output and "skipped" in done.output
    options = ("--set", "data.source=packed", "--set", f"data.path={packed}")
    folder = tmp_path / "run"
    trained = invoke("train", images_yaml, *options, "--output", folder)
    assert trained.exit_code == 0
    assert sample(folder, 2).shape == (2, 8, 8, 3)
    again = invoke("prepare", tmp_path / "photos", packed, "--resolution", 8, "--skip-bad")
    assert again.exit_code == 2
    assert invoke(
        "prepare", tmp_path / "photos", packed, "--resolution", 16, "--skip-bad", "--force"
    ).exit_code == 0  # fmt: skip
    assert invoke("resume", folder, "--generations", 7).exit_code == 2


@pytest.mark.parametrize("resolution", ["0", "-1", "3", "100000000", "x"])
def test_a_resolution_that_cannot_be_is_a_mistake(resolution, mistake, tmp_path):
    assert "--resolution" in mistake(
        "prepare", tmp_path, tmp_path / "p", "--resolution", resolution
    )


def test_what_holds_no_images_cannot_be_prepared(mistake, tmp_path):
    (tmp_path / "empty").mkdir()
    assert "empty" in mistake("prepare", tmp_path / "empty", tmp_path / "p", "--resolution", 8)
    assert "nowhere" in mistake("prepare", tmp_path / "nowhere", tmp_path / "p", "--resolution", 8)
    assert not (tmp_path / "p").exists()


def test_the_presets_are_listed_and_printed(invoke, mistake):
    listing = invoke("presets").output
    for name in preset_names():
        assert any(line.split()[0] == name for line in listing.splitlines())
        assert invoke("presets", name).output == preset_text(name)
    ends = {len(line) - len(line.split(maxsplit=1)[1]) for line in listing.splitlines()}
    assert len(ends) == 1  # the texts begin in one column
    assert "did you mean 'digits'?" in mistake("presets", "digit")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("trian", "digits"), "did you mean 'train'?"),
        (("inspekt", "x"), "did you mean 'inspect'?"),
        (("zzz",), "Commands: "),
        (("--bogus",), "--bogus"),
        (("resume",), "RUN_DIR"),
        (("resume", "x", "--generations", "0"), "--generations"),
        (("sample", "x", "--cuont", "3"), "--count"),
    ],
)
def test_a_misspelt_command_or_option_is_answered_with_the_nearest(arguments, said, mistake):
    assert said in mistake(*arguments)


@pytest.mark.parametrize(
    ("arguments", "option"),
    [
        (("train", "digits", "--output", ""), "--output"),
        (("train", "digits", "--output="), "--output"),
        (("train", ""), "train"),
        (("inspect", ""), "inspect"),
        (("sample", "x", "--out", ""), "--out"),
    ],
)
def test_an_empty_argument_is_not_taken_for_the_current_folder(arguments, option, mistake):
    assert f"the value after {option!r} is empty" in mistake(*arguments)


def test_a_user_whom_the_system_does_not_know_has_a_home_to_name(monkeypatch):
    def unknown(_user: int) -> NoReturn:
        raise KeyError("uid not found")

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    monkeypatch.setenv("HOME", "/there")
    name_home()
    assert Path.home() == Path("/there")
    monkeypatch.delenv("HOME")
    name_home()
    assert Path.home() == Path(NO_HOME)


def test_help_and_version_are_no_mistakes(invoke):
    for arguments in (("--help",), ("-h",), ("train", "-h"), ("--version",)):
        assert invoke(*arguments).exit_code == 0
