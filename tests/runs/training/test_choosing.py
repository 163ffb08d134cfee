"""`train FOLDER`: a config for own images is chosen, shown, saved and run; and continued."""

import re
import zipfile

import numpy as np
import pytest
from PIL import Image

from runs.store.folder import RunFolder
from runs.training.choosing import config_for, is_data, name_of
from tests.runs.copies import checksum

pytestmark = pytest.mark.usefixtures("without_pictures")
SMALL = (
    "backbone.width=4", "backbone.latent=4", "population.batch=8", "fitness.batch=8",
    "evaluation.every=null", "tracking.enabled=false", "checkpoint.every=2", "execution.threads=1",
    "execution.executor=local",
)  # fmt: skip
SETS = [word for change in SMALL for word in ("--set", change)]


def save(path, size=(9, 9), mode="RGB"):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(len(str(path))).integers(0, 256, (*size[::-1], 3), np.uint8)
    Image.fromarray(pixels).convert(mode).save(path)


@pytest.fixture
def photos(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for index in range(12):
        save(tmp_path / "my photos" / f"{index}.png", (9 + index % 2, 12))
    return tmp_path / "my photos"


def test_one_command_trains_on_a_folder_and_goes_on_by_itself(photos, invoke, tmp_path):
    command = ("train", "my photos", "--resume", "auto", *SETS)
    done = invoke(*command, "--set", "generations=3")
    assert done.exit_code == 0, done.output
    assert "my photos: 12 images, colour, the smallest 9 x 12" in done.output
    assert re.search(r"data\.resolution +8 .*cropped to the centre square and shrunk", done.output)
    assert re.search(r"population\.batch +8 +given", done.output)
    folder = RunFolder(tmp_path / "outputs" / "my-photos")  # named after the images' folder
    config = folder.load_config()
    assert (config.name, config.data.resolution, config.generations) == ("my-photos", 8, 3)
    again = invoke(*command, "--set", "generations=5")
    assert again.exit_code == 0 and "chosen" not in again.output
    assert folder.load_config().generations == 5
    whole = invoke("train", "my photos", *SETS, "--set", "generations=5", "--output", "whole")
    assert checksum(whole.output) == checksum(again.output)


def test_a_run_of_another_config_is_not_continued(photos, invoke):
    command = ("train", "my photos", "--resume", "auto", *SETS, "--set", "generations=1")
    assert invoke(*command).exit_code == 0
    other = invoke(*command, "--set", "backbone.width=8")
    assert other.exit_code == 2 and "another config" in other.output
    like = invoke(*command, "--like", "digits")
    assert like.exit_code == 0 and "--like is not used" in like.output


def test_without_output_the_run_lies_under_the_folders_name(photos, invoke, tmp_path):
    assert invoke("train", "my photos", *SETS, "--set", "generations=1").exit_code == 0
    (path,) = (tmp_path / "outputs").iterdir()
    assert re.fullmatch(r"my-photos-\d{8}-\d{6}", path.name)


def test_a_preset_takes_the_place_of_the_rules(photos):
    config, lines = config_for(photos, like="stylegan-avatars")
    assert config.backbone.name == "stylegan" and config.population.batch == 16
    assert config.data.source == "images" and config.data.resolution == 8
    assert config.evaluation.every is None  # the preset's space needs labels
    assert "all else is as in stylegan-avatars" in lines[1]
    config, _ = config_for(photos, ("population.batch=32",), like="images64")
    assert config.population.batch == 32 and config.data.flip


@pytest.mark.parametrize(
    ("like", "reason"),
    [
        ("cyclegan-emoji", "holds no pairs"),
        ("gaussians8", "it is for points"),
        ("imagse64", "did you mean 'images64'"),
    ],
)
def test_a_preset_that_does_not_fit_is_refused(photos, invoke, like, reason):
    done = invoke("train", photos, "--like", like)
    assert done.exit_code == 2 and reason in done.output


def test_two_sets_are_answered_with_the_presets_that_translate_them(tmp_path, invoke):
    for side in "AB":
        save(tmp_path / f"two/train{side}/1.png", (40, 40))
    done = invoke("train", tmp_path / "two")
    assert done.exit_code == 2
    assert "holds two sets" in done.output and "--like cyclegan-emoji" in done.output
    config, _ = config_for(tmp_path / "two", like="cyclegan-images")
    assert (config.data.source, config.data.size) == ("pairs", (32, 32))
    assert config.data.stored == (36, 36)  # 286 / 256 times as large, as in the preset
    config, _ = config_for(tmp_path / "two", ("data.labels=folders",))
    assert config.data.source == "images"


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda folder: folder.mkdir(), "no images found"),
        (lambda folder: save(folder / "a.png", (6, 30)), r"smallest image is 6 x 30 \(a\.png\)"),
        (lambda folder: [save(folder / f"{m}.png", mode=m) for m in ("L", "RGB")], "channels"),
        (save, "is one image"),
    ],
)
def test_what_cannot_be_trained_on_is_refused_in_a_line(tmp_path, invoke, make, reason):
    make(tmp_path / "set.png")
    done = invoke("train", tmp_path / "set.png", "--output", tmp_path / "run")
    assert done.exit_code == 2 and re.search(reason, done.output)
    assert done.output.count("\n") == 1 and not (tmp_path / "run").exists()


def test_a_runs_folder_is_no_folder_of_images(photos, invoke):
    assert invoke("train", "my photos", *SETS, "--set", "generations=1", "--output", "run")
    done = invoke("train", "run")
    assert done.exit_code == 2 and "resume run" in done.output


def test_what_counts_as_data(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "digits").mkdir()
    (tmp_path / "config").write_text("name: a")
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        archive.writestr("a.txt", "a")
    found = [is_data(name) for name in ("digits", "./digits", "config", "set.zip", "nothing")]
    assert found == [False, True, False, True, False]  # a preset's name stays a preset's
    assert [name_of(name) for name in ("./digits", "set.zip", "__")] == ["digits", "set", "images"]
