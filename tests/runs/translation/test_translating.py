"""Runs of translators, and the command that translates images with them."""

import json
import shutil
import zipfile

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from egan.data import DataError
from egan.data.deep import read_deep
from egan.data.pixels import to_float
from runs.cli.main import main
from runs.common.errors import ConfigError
from runs.config.loading import load_config
from runs.display.plots import draw_plots
from runs.sampling.opening import chosen_snapshot, open_sampler
from runs.sampling.translator_folder import save_translator
from runs.store.folder import RunFolder
from runs.training.driver import evolve, resume
from runs.translation.files import write_picture
from runs.translation.opening import find_translator, open_translator
from runs.translation.tiles import in_tiles, starts, whole

KINDS = ("true", "false")


def run(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def translate(*arguments, status=0):
    done = run("translate", *arguments)
    assert done.exit_code == status, done.output
    return done.output


@pytest.mark.parametrize("aligned", KINDS)
def test_a_run_has_grids_a_card_and_three_objectives(letters, aligned):
    folder = letters(aligned)
    card = RunFolder.open(folder).load_data()
    assert card.partner.shape == (1, 16, 16) and card.partner.aligned == (aligned == "true")
    grids = sorted(path.name for path in (folder / "samples").iterdir())
    assert grids[-1] == "generation-00000004.png"
    lines = [json.loads(line) for line in (folder / "journal.jsonl").read_text().splitlines()]
    entries = [line for line in lines if "scores" in line]
    assert {len(score) for line in entries for score in line["scores"]} == {3}
    assert entries[-1]["training"]["generator/gradient_ratio"] > 0
    draw_plots(RunFolder.open(folder))  # of three objectives; other tests leave the plots out
    assert (folder / "plots" / "scores.png").is_file()


@pytest.mark.parametrize("aligned", KINDS)
def test_a_resumed_run_ends_in_the_same_bits_pool_included(
    letters, aligned, without_plots, tmp_path
):
    whole_run = letters(aligned)
    config = load_config(whole_run / "config.yaml", overrides=["generations=3"])
    evolve(config, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "snapshots" / "generation-00000003")
    result = resume(tmp_path / "run", generations=4)
    states = [RunFolder(path).snapshots / "generation-00000004" for path in
              (whole_run, tmp_path / "run")]  # fmt: skip
    manifests = [json.loads((state / "manifest.json").read_text()) for state in states]
    assert manifests[0]["checksum"] == manifests[1]["checksum"] == result.checksum


@pytest.mark.parametrize("aligned", KINDS)
def test_a_translation_is_the_networks_of_the_image_alone(letters, images, look, aligned, tmp_path):
    opened = open_translator(letters(aligned))
    translate(letters(aligned), images, "--out", tmp_path / "out")
    for n in range(3):
        pixels = look(images / f"{n}.png")[None, None]
        made = opened.translator.pictures(pixels, 0, n)[0, 0]
        assert (look(tmp_path / "out" / f"{n}.png") == made).all()
    translate(letters(aligned), images / "0.png", "--out", tmp_path / "one.png")
    assert (look(tmp_path / "one.png") == look(tmp_path / "out" / "0.png")).all()


def test_both_ways_of_a_run_of_two_sets(letters, images, look, tmp_path):
    for name, options in (("there", ()), ("back", ("--reverse",))):
        translate(letters("false"), images / "1.png", "--out", tmp_path / f"{name}.png", *options)
    assert (look(tmp_path / "there.png") != look(tmp_path / "back.png")).any()
    game, _ = find_translator(letters("false"), reverse=True)
    assert game.pictures(look(images / "1.png")[None, None]).shape == (1, 1, 16, 16)


def test_archives_patterns_and_other_sizes_are_taken(letters, images, look, tmp_path):
    with zipfile.ZipFile(tmp_path / "some.zip", "w") as archive:
        archive.write(images / "0.png", "deep/0.png")
    Image.new("L", (37, 21), 200).save(images / "wide.png")
    given = (tmp_path / "some.zip", f"{images}/[1w]*.png")
    output = translate(letters("true"), *given, "--out", tmp_path / "out")
    assert "3 image(s)" in output
    assert look(tmp_path / "out" / "deep" / "0.png").shape == (16, 16)
    assert look(tmp_path / "out" / "wide.png").shape == (21, 37)
    translate(letters("true"), images / "wide.png", "--resize", "--out", tmp_path / "square.tif")
    assert look(tmp_path / "square.tif").shape == (16, 16)
    translate(letters("true"), images / "0.png", "--bits", "16", "--out", tmp_path / "deep.png")
    deep, plain = look(tmp_path / "deep.png"), look(tmp_path / "out" / "deep" / "0.png")
    assert deep.dtype == np.uint16 and (np.abs(deep / 257 - plain) <= 0.51).all()


def test_a_bad_file_does_not_stop_the_others(letters, images, tmp_path):
    (images / "1.png").write_bytes(b"\x89PNG nothing")
    Image.new("RGB", (16, 16)).save(images / "colour.png")
    output = translate(letters("true"), images, "--out", tmp_path / "out", status=1)
    assert "1.png" in output and "2 image(s)" in output
    assert "colour.png: has 3 channel(s), and the translator was trained on 1" in output
    alone = translate(letters("true"), images / "colour.png", "--out", tmp_path / "c", status=2)
    assert alone.startswith("not translated: ") and alone.count("\n") == 1
    translate(letters("true"), images / "colour.png", "--convert", "--out", tmp_path / "c.png")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("true", "none.png", "--out", "o"), "none.png: no such file or folder"),
        (("true", "none*.png", "--out", "o"), "no file has a name like this"),
        (("true", "IMAGES", "--out", "o.png"), "3 images need a folder"),
        (("true", "IMAGES", "--out", "o", "--reverse"), "pairs translates one way alone"),
        (("true", "IMAGES", "--out", "o", "--tile", "18"), "--tile 18: this network takes mult"),
        (("true", "IMAGES", "--out", "o", "--tile", "16", "--overlap", "16"), "--overlap 16: from"),
    ],
)
def test_what_cannot_be_translated_is_one_line(letters, images, arguments, message):
    kind, *rest = arguments
    rest = [images if argument == "IMAGES" else argument for argument in rest]
    output = translate(letters(kind), *rest, status=2)
    assert message in output and output.count("\n") == 1


def test_no_original_is_replaced(letters, images, tmp_path):
    (own := tmp_path / "own").mkdir()
    shutil.copy(images / "0.png", own / "a.png")
    before = (own / "a.png").read_bytes()
    for given, out in ((own / "a.png", own / "a.png"), (own, own), (own / "a.png", own)):
        assert "would be replaced" in translate(letters("true"), given, "--out", out, status=2)
    assert (own / "a.png").read_bytes() == before
    assert [path.name for path in own.iterdir()] == ["a.png"]


@pytest.mark.parametrize(
    ("out", "message"),
    [
        ("x.jpg", "written as .png, .tif, .tiff"),
        ("a-file/x.png", "cannot be written (File exists)"),
        ("a-file", "cannot be written (File exists)"),
    ],
)
def test_where_nothing_can_be_written_is_one_line(letters, images, tmp_path, out, message):
    (tmp_path / "a-file").write_text("mine")
    said = translate(letters("true"), images / "0.png", "--out", tmp_path / out, status=2)
    assert message in said and said.count("\n") == 1
    assert sorted(p.name for p in images.iterdir()) == ["0.png", "1.png", "2.png", "a-file"]


def test_runs_of_noise_translate_nothing_and_translators_make_no_samples(letters, without_plots):
    with pytest.raises(ConfigError, match=r"translates images, and makes none from noise"):
        open_sampler(letters("true"))
    config = load_config(
        "gaussians25",
        overrides=["generations=1", "tracking.enabled=false", "execution.executor=local",
                   "backbone.width=4", "evaluation.every=null"],
    )  # fmt: skip
    folder = letters("true").parent / "noise"
    evolve(config, folder)
    with pytest.raises(ConfigError, match="makes samples from noise, and translates no images"):
        open_translator(folder)


@pytest.mark.parametrize("aligned", KINDS)
def test_a_generators_folder_translates_as_its_run(letters, images, look, aligned, tmp_path):
    folder = RunFolder.open(letters(aligned))
    exported, _ = chosen_snapshot(folder)
    save_translator(tmp_path / "one", folder.load_config(), folder.load_data(), exported)
    reverse = () if aligned == "true" else ("--reverse",)
    for place in (folder.path, tmp_path / "one"):
        translate(place, images, "--out", tmp_path / f"by-{place.name}", *reverse)
    for n in range(3):
        own, again = (look(tmp_path / name / f"{n}.png") for name in ("by-run", "by-one"))
        assert (own == again).all()
    output = translate(tmp_path / "one", images, "--out", "o", "--snapshot", "2", status=2)
    assert "holds a generator alone: it has no snapshots" in output
    assert "take the command translate" in run("sample", tmp_path / "one", "--out", "o.png").output


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_colour_of_16_bits_is_written(name, tmp_path):
    pixels = np.arange(3 * 64, dtype=np.uint16).reshape(3, 8, 8) * 300
    write_picture(pixels, tmp_path / name)
    assert (read_deep((tmp_path / name).read_bytes()).pixels == pixels.transpose(1, 2, 0)).all()
    with pytest.raises(DataError, match=r"2 channels of 16 bits are written as PNG; name a \.png"):
        write_picture(pixels[:2], tmp_path / "b.tif")
    assert not (tmp_path / "b.tif").exists()


# ------------------------------------------------------------------------------------------- tiles


def blurred(images):
    """Return images, each pixel the mean of its 3 x 3 neighbours: what a convolution does."""
    x = np.pad(to_float(images).numpy(), [(0, 0), (0, 0), (1, 1), (1, 1)], mode="edge")
    h, w = images.shape[2:]
    parts = [x[:, :, i : i + h, j : j + w] for i in range(3) for j in range(3)]
    return np.mean(parts, 0).astype(np.float32)


@pytest.mark.parametrize("size", [(50, 70), (16, 100), (33, 33)])
def test_tiles_of_a_local_network_are_the_whole_without_a_seam(size):
    image = np.random.default_rng(0).integers(0, 256, (2, *size), np.uint8)
    tiled = in_tiles(image, 4, 24, 12, blurred)
    assert tiled.shape == image.shape
    inner = (slice(None), slice(1, -1), slice(1, -1))
    middle = np.abs(tiled - whole(image, 4, blurred))[inner]
    assert middle.mean() < 0.01
    flat = in_tiles(np.full((1, *size), 90, np.uint8), 4, 24, 12, blurred)
    assert np.ptp(flat) < 1e-5  # no seam


def test_tiles_cover_a_side():
    assert starts(10, 16, 4) == [0]
    assert starts(50, 24, 12) == [0, 12, 24, 26]
