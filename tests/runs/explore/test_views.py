"""What the page shows of small runs, and what it refuses; without Gradio."""

import io
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from egan.data import DataError
from runs.common.errors import ConfigError
from runs.dissection.results import FOLDER, Found, LayerFound, Statistics, UnitFound, write_results
from runs.dissection.subject import Subject
from runs.explore.catalogue import Catalogue
from runs.explore.drawings import MOST_PIXELS
from runs.explore.latents import Pick, Wish
from runs.explore.units import INSERT, dissected, files_of
from runs.explore.views import (
    VIEWS,
    A,
    B,
    Controls,
    columns_of,
    picked,
    picker,
    sheet,
    translation_view,
)
from runs.sampling.pictures import image_grid

ASKED = Controls(seed=3, count=4)


@pytest.fixture
def shown(digits):
    catalogue = Catalogue([digits])
    return [catalogue.open(name) for name in catalogue.usual]


@pytest.fixture
def looked_into(digits, tmp_path):
    """A copy of the run with a dissection: units 0 and 2 of a layer are ink, unit 1 is paper."""
    run = tmp_path / "digits"
    shutil.copytree(digits, run)
    one = Catalogue([run]).open("digits, newest")
    subject = Subject(run, one.what, one.sampler)
    layer, shape = next(iter(subject.layers().items()))
    count = shape[0]
    labels = ["ink" if unit in (0, 2) else "paper" for unit in range(count)]
    units = [
        UnitFound(unit=n, label=label, iou=0.5, ratio=0.1, threshold=0.1, detector=n < 3, top=[])
        for n, label in enumerate(labels)
    ]
    found = Found(
        subject=str(run), generator=one.what, weights=subject.weights, segmenter="hand",
        identity="", classes=["ink", "paper"], shares={"ink": 0.5, "paper": 0.5}, count=10, seed=0,
        rule="ratio", held_out_iou=None,
        layers={layer: LayerFound(shape=shape, detectors={"ink": 2, "paper": 1}, units=units)},
    )  # fmt: skip
    arrays = Statistics(*(np.zeros((count, 2)) for _ in range(4)), np.zeros(count))
    (run / FOLDER).mkdir()
    write_results(run / FOLDER, found, {layer: arrays})
    return run, layer


def of(run):
    return [Catalogue([run]).open("digits, newest")]


def png(array):
    content = io.BytesIO()
    Image.fromarray(array).save(content, "PNG")
    return content.getvalue()


def test_samples_are_those_of_the_command_sample(shown):
    asked = replace(ASKED, wish=Wish(classes=("7",)))
    (picture,) = VIEWS["Samples"](shown, asked)
    conditions = asked.wish.of(shown[0].sampler)[1].cycled(4)
    images = shown[0].sampler(4, 3, conditions).repeat(3, 3)
    large = images.repeat(16, 1).repeat(16, 2)
    np.testing.assert_array_equal(picture.pixels, image_grid(large, 2))
    assert picture.title.startswith("digits: generation 4 of 4")


def test_another_seed_or_class_gives_another_picture(shown):
    pictures = [
        VIEWS["Samples"](shown, asked)[0].pixels
        for asked in (
            ASKED,
            replace(ASKED, seed=4),
            replace(ASKED, wish=Wish(classes=("1",))),
        )
    ]
    assert (pictures[0] != pictures[1]).any() and (pictures[0] != pictures[2]).any()


def test_an_unknown_class_is_refused(shown):
    with pytest.raises(ConfigError, match="no class 'ten'"):
        VIEWS["Samples"](shown, replace(ASKED, wish=Wish(classes=("ten",))))


@pytest.mark.parametrize("mode", ["Samples", "Change A", "Walk"])
def test_several_generations_are_seen_side_by_side(digits, mode):
    catalogue = Catalogue([digits])
    both = [catalogue.open(name) for name in ("digits, newest", "digits, generation 2")]
    first, second = VIEWS[mode](both, ASKED)
    assert first.title.startswith("digits: generation 4 of 4")
    assert second.title.startswith("digits: generation 2 of 4")
    assert (first.pixels != second.pixels).any()


def test_only_styles_are_mixed(shown):
    with pytest.raises(ConfigError, match="only generators with styles"):
        VIEWS["Mix"](shown, ASKED)


def test_a_click_finds_the_sample_under_it():
    images = np.arange(9, dtype=np.uint8)[:, None, None, None].repeat(8, 1).repeat(8, 2)
    grid = sheet(images.repeat(3, 3), columns_of(9))
    for y in range(5, grid.shape[0], 40):
        for x in range(5, grid.shape[1], 40):
            if (value := grid[y, x, 0]) != 128:  # no margin
                assert picked(x, y, grid.shape, 9) == value
    assert picked(0, 0, grid.shape, 9) == 0
    assert picked(grid.shape[1] - 1, grid.shape[0] - 1, grid.shape, 9) == 8
    assert picked(grid.shape[1] - 1, grid.shape[0] - 1, grid.shape, 8) is None


def test_picked_samples_are_framed(shown):
    asked = replace(ASKED, a=Pick(3, 1), b=Pick(3, 2))
    pixels = picker(shown[0], asked)
    half = pixels.shape[0] // 2
    framed = [(pixels == colour).all(2) for colour in (A, B)]
    assert framed[0][:half, half:].sum() > 1000 > framed[0][half:].sum()
    assert framed[1][half:, :half].sum() > 1000 > framed[1][:half].sum()
    other = picker(shown[0], replace(asked, a=Pick(9, 1), b=Pick(9, 2)))
    assert not any((other == colour).all(2).any() for colour in (A, B))


def test_units_are_switched_off_by_class(looked_into):
    run, layer = looked_into
    (switch, other) = dissected(of(run)[0]).switches
    assert switch.name == f"ink: 2 detectors in {layer}" and set(switch.units) == {0, 2}
    assert other.name == f"paper: 1 detector in {layer}"
    plain, same, grey = VIEWS["Units"](of(run), ASKED)
    np.testing.assert_array_equal(plain.pixels, same.pixels)
    plain, off, grey = VIEWS["Units"](of(run), replace(ASKED, switches=(switch.name,)))
    assert (plain.pixels != off.pixels).any() and grey.pixels.max() == 255
    # constants are 0 here, so that insertion is ablation
    inserted = VIEWS["Units"](of(run), replace(ASKED, switches=(switch.name,), amount=INSERT))[1]
    np.testing.assert_array_equal(inserted.pixels, off.pixels)
    both = replace(ASKED, switches=(switch.name, other.name))
    assert (VIEWS["Units"](of(run), both)[1].pixels != off.pixels).any()


def test_a_repair_is_the_same_units_off(looked_into):
    run, layer = looked_into
    switch = dissected(of(run)[0]).switches[0]
    off = VIEWS["Units"](of(run), replace(ASKED, switches=(switch.name,)))[1]
    file = run / "repair" / "repair.json"
    file.parent.mkdir()
    file.write_text(json.dumps({"layer": layer, "units": [0, 2], "shares": [1, 1]}))
    assert files_of(of(run)[0]) == [str(file)]
    raw, repaired, _ = VIEWS["Repair"](of(run), replace(ASKED, repair=str(file)))
    np.testing.assert_array_equal(repaired.pixels, off.pixels)
    assert (raw.pixels != repaired.pixels).any()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"layer": "nowhere", "units": [0], "shares": [1]}', "no layer 'nowhere'"),
        ('{"layer": "LAYER", "units": [99], "shares": [1]}', "99 is none of"),
        ("{}", "no file of units"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(looked_into, text, message):
    run, layer = looked_into
    (run / "units.json").write_text(text.replace("LAYER", layer))
    with pytest.raises(ConfigError, match=message):
        VIEWS["Repair"](of(run), replace(ASKED, repair=str(run / "units.json")))


def test_what_was_not_dissected_says_how(shown):
    with pytest.raises(ConfigError, match="holds no dissection; make one first"):
        VIEWS["Units"](shown, ASKED)
    with pytest.raises(ConfigError, match="has none; find some"):
        VIEWS["Repair"](shown, ASKED)


def test_a_dissection_of_other_weights_is_refused(looked_into):
    run, _ = looked_into
    older = [Catalogue([run]).open("digits, generation 2")]
    with pytest.raises(ConfigError, match="the dissection is of the newest snapshot"):
        VIEWS["Units"](older, ASKED)


# ------------------------------------------------------------------------------- translators


@pytest.fixture
def translators(letters):
    return [Catalogue([letters]).open("letters, newest")]


def test_a_drawing_is_translated(translators):
    drawing = np.full((64, 64, 3), 255, np.uint8)
    drawing[20:40, 30:34] = 0
    given, made = translation_view(translators, png(drawing), "the drawing", True, False)
    translator = translators[0].translator
    small = np.array(Image.fromarray(drawing).convert("L").resize((16, 16), 3))[None, None]
    expected = translator.pictures(small)[0]
    shown = made.pixels[2:-2, 2:-2][12::24, 12::24]
    assert given.title == "given: the drawing"
    assert np.abs(shown.transpose(2, 0, 1).astype(int) - expected).max() <= 2


def test_nothing_is_shown_before_something_is_drawn(translators):
    assert translation_view(translators, None, "", True, False) == []


def test_an_image_may_keep_its_size(translators):
    content = png(np.zeros((20, 28), np.uint8))
    given, made = translation_view(translators, content, "a.png", False, False)
    assert given.pixels.shape == made.pixels.shape
    assert given.pixels.shape[1] > given.pixels.shape[0]


def test_bad_images_are_refused_in_plain_words(translators):
    with pytest.raises(DataError, match=r"a\.png: not an image in a format that is read"):
        translation_view(translators, b"hello", "a.png", True, False)
    side = int(MOST_PIXELS**0.5) + 1
    with pytest.raises(ConfigError, match=f"has {side} x {side} pixels"):
        translation_view(translators, png(np.zeros((side, side), np.uint8)), "a.png", False, False)
    with pytest.raises(ConfigError, match="a run of pairs translates one way alone"):
        translation_view(translators, png(np.zeros((8, 8), np.uint8)), "a.png", True, True)
