"""The commands on runs: files are written, and bad requests get one line."""

import json

import numpy as np
import pytest

from runs.common.errors import ConfigError
from runs.dissection.results import JSON, PAGE
from runs.sampling.generators import CARD, load_sampler, save_generator
from runs.sampling.opening import chosen_snapshot
from runs.sampling.units import read_units
from runs.store.folder import RunFolder


@pytest.fixture(scope="module", autouse=True)
def _own_cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def dissected(images_run, invoke):
    done = invoke("dissect", images_run, "--segmenter", "colours", "--count", 20)
    assert done.exit_code == 0, done.output
    return images_run / "dissection", done.output


def test_a_run_is_dissected_into_its_folder(dissected, images_run):
    folder, output = dissected
    found = json.loads((folder / JSON).read_text())
    assert list(found["layers"]) == ["layers.2"] and found["segmenter"] == "colours"
    assert "snapshot, generation 6; MLflow: this run has no MLflow record" in output
    assert str(folder / PAGE) in output


def test_the_classifier_of_the_data_is_a_segmenter(images_run, invoke, tmp_path):
    done = invoke(
        "dissect", images_run, "--segmenter", "classes", "--layer", "layers.1", "--count", 10,
        "--out", tmp_path,
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert json.loads((tmp_path / JSON).read_text())["classes"] == list("0123456789")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--segmenter", "colour"], "unknown segmenter 'colour'; did you mean 'colours'?"),
        (["--segmenter", "parts"], "knows the parts of avatars, and this run's data are digits"),
        (["--segmenter", "nowhere_to_be:found"], "cannot import 'nowhere_to_be'"),
        (["--segmenter", "torch.nn:ReLU"], "logits (N, K, 8, 8) of at least 2 classes"),
        (["--segmenter", "colours", "--layer", "layer.1"], "did you mean 'layers.1'?"),
        (["--segmenter", "classes", "--data", "there"], "digits, which lie at no path"),
        (["--segmenter", "colours", "--snapshot", "5"], "no snapshot of generation 5"),
    ],
)
def test_a_bad_request_gets_one_line(arguments, message, images_run, mistake, tmp_path):
    output = mistake("dissect", images_run, *arguments, "--out", tmp_path / "out")
    assert message in output and output.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_points_have_no_layers_of_maps(points_run, mistake):
    output = mistake("dissect", points_run[0], "--segmenter", "colours")
    assert "the samples are points" in output and output.count("\n") == 1


def test_units_are_edited(dissected, images_run, invoke, tmp_path):
    out = tmp_path / "edit.png"
    done = invoke("edit", images_run, "--off", "0,3", "--count", 2, "--out", out)
    assert done.exit_code == 0, done.output
    assert "units 0, 3 of layers.2 changed" in done.output and out.is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give one of --off, --class, --units and --optimise"),
        (["--off", "1", "--class", "a"], "give one of"),
        (["--off", "1,b"], "'1,b' is no list of numbers such as 3,17"),
        (["--off", "1", "--where", "1,2,3"], "--where takes four numbers"),
        (["--off", "1", "--insert", "--scale", "2"], "leave --scale out"),
        (["--off", "1", "--out", "a.gif"], "must end in .png"),
        (["--off", "99"], "has units 0 to 3, and 99 is none of them"),
        (["--class", "eyes"], "no class 'eyes'"),
        (["--optimise", "eyes"], "no class 'eyes'"),
        (["--units", "nowhere.json"], "no file of units"),
    ],
)
def test_a_bad_edit_gets_one_line(arguments, message, dissected, images_run, mistake):
    output = mistake("edit", images_run, *arguments)
    assert message in output and output.strip().splitlines()[-1].lower().startswith("error")


@pytest.fixture
def units(tmp_path):
    """A file that switches off all units of the layer before the last one."""
    path = tmp_path / "units.json"
    path.write_text('{"layer": "layers.2", "units": [0, 1, 2, 3], "shares": [1, 1, 1, 1]}')
    return path


@pytest.mark.parametrize("options", [(), ("--raw",), ("--snapshot", "newest")])
def test_samples_have_units_switched_off(images_run, units, invoke, tmp_path, options):
    out = tmp_path / "samples.npz"
    done = invoke("sample", images_run, "--count", 5, "--out", out, "--repair", units, *options)
    assert done.exit_code == 0, done.output
    assert "generation 6, without 4 units of layers.2" in done.output
    images = np.load(out)["images"]
    assert (images == images[0]).all()
    assert invoke("sample", images_run, "--count", 5, "--out", out, *options).exit_code == 0
    assert not (np.load(out)["images"] == images).all()


def test_a_generators_folder_keeps_its_repair(images_run, units, tmp_path):
    run = RunFolder(images_run)
    exported, _ = chosen_snapshot(run)
    folder, off = tmp_path / "generator", read_units(units)
    save_generator(folder, run.load_config(), run.load_data(), exported, off)
    sampler = load_sampler(folder)
    assert sampler.repair == off and np.ptp(sampler(5, 0), 0).max() == 0
    card = json.loads((folder / CARD).read_text())
    card["repair"]["units"] = [0, 9]
    (folder / CARD).write_text(json.dumps(card))
    with pytest.raises(ConfigError, match=r"repair: layers\.2 has units 0 to 3, and 9 is none"):
        load_sampler(folder)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{}", "no file of units"),
        ('{"layer": "layers.2", "units": [4], "shares": [1]}', "layers.2 has units 0 to 3"),
        ('{"layer": "layers.3", "units": [1], "shares": [1]}', "no layer 'layers.3' with maps"),
        ('{"layer": "layers.2", "units": [1], "shares": [1], "weights": "a"}', "of other weights"),
    ],
)
def test_a_repair_that_does_not_fit_gets_one_line(text, message, images_run, mistake, tmp_path):
    path, out = tmp_path / "units.json", tmp_path / "samples.png"
    path.write_text(text)
    output = mistake("sample", images_run, "--out", out, "--repair", path)
    assert message in output and output.count("\n") == 1 and not out.exists()


def test_a_mixture_of_survivors_is_not_repaired(images_run, units, mistake, tmp_path):
    out = tmp_path / "a.png"
    output = mistake("sample", images_run, "--out", out, "--repair", units, "--mixture")
    assert "--repair is for one generator" in output


@pytest.fixture(scope="module")
def found(images_run, invoke):
    done = invoke("repair", images_run, "--count", 20, "--draws", 2)
    assert done.exit_code == 0, done.output
    return images_run / "repair" / "repair.json", done.output


def test_units_that_make_artefacts_are_looked_for_and_serve_samples(
    found, images_run, invoke, tmp_path
):
    file, output = found
    about = read_units(file).about
    assert about["space"] == "classifier" and len(about["random"]) == 2
    assert f"--repair {file}" in output and "MLflow: this run has no MLflow record" in output
    for command, option in (("sample", "--repair"), ("edit", "--units")):
        done = invoke(command, images_run, "--count", 4, option, file, "--out", tmp_path / "a.png")
        assert done.exit_code == 0, done.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--layer", "layer.2"], "did you mean 'layers.2'?"),
        (["--layer", "layers.2", "--number", "5"], "layers.2 has units 0 to 3, and 4 is none"),
        (["--space", "classifer"], "did you mean 'classifier'?"),
        (["--data", "there"], "digits, which lie at no path"),
        (["--truncation", "0.5"], "only a stylegan generator has a mean of w"),
    ],
)
def test_a_bad_repair_gets_one_line(arguments, message, images_run, mistake, tmp_path):
    output = mistake("repair", images_run, *arguments, "--out", tmp_path / "out")
    assert message in output and output.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_points_are_not_repaired(points_run, mistake):
    assert "the samples are points" in mistake("repair", points_run[0])


@pytest.mark.parametrize("command", ["dissect", "repair"])
def test_ctrl_c_says_that_the_same_command_goes_on(command, monkeypatch, invoke):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("runs.cli.dissecting.asked_sampler", interrupted)
    done = invoke(command, "a-run")
    assert done.exit_code == 130
    assert done.output == "stopped; give the same command again to go on\n"
