"""Edits of a generator built by hand: an object vanishes alone, and its unit causes it most."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from runs.common.errors import ConfigError
from runs.dissection import commands, edit_commands
from runs.dissection.causal import Causes, Effect
from runs.dissection.edit_commands import Request, edit_images, optimise_units
from runs.dissection.editing import Edit, before_and_after
from runs.sampling.units import read_units
from tests.runs.dissection.conftest import OBJECTS, UNIT_OF, UNITS

SHAPE = (UNITS, 16, 16)


@pytest.fixture(scope="module", autouse=True)
def _by_hand(segmenter):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(commands, "open_segmenter", lambda *_: segmenter)
        yield


@pytest.fixture(scope="module")
def dissected(subject, tmp_path_factory):
    folder = tmp_path_factory.mktemp("dissected")
    commands.dissect(subject, "all", "hand", 40, "ratio", folder)
    return folder


def edit_of(*units, **options):
    return Edit("objects", SHAPE, units, (1.0,) * len(units), **options)


@pytest.mark.parametrize("name", OBJECTS)
def test_ablation_removes_exactly_that_object(subject, segmenter, name):
    before, after = before_and_after(subject, edit_of(UNIT_OF[name]), 20)
    seen, left = segmenter.masks(before), segmenter.masks(after)
    for place, other in enumerate(OBJECTS):
        assert seen[:, place].any((1, 2)).all()
        if other == name:
            assert not left[:, place].any()
        else:
            assert torch.equal(before[:, place], after[:, place])


def test_units_that_make_nothing_change_nothing(subject):
    others = [unit for unit in range(UNITS) if unit not in UNIT_OF.values()]
    before, after = before_and_after(subject, edit_of(*others), 10)
    assert torch.equal(before, after)


def test_images_before_are_those_of_sample_and_the_generator_is_left_as_it_was(subject):
    before, _ = before_and_after(subject, edit_of(4), 5)
    plain = subject.sampler(5, subject.seed)
    found = ((before + 1) * 127.5).round().permute(0, 2, 3, 1).byte().numpy()
    assert np.array_equal(found, plain)
    assert not any(m._forward_hooks for m in subject.function.module.modules())


def test_dampening_and_boosting_scale_and_a_region_bounds_them(subject):
    for scale in (0.5, 1.0, 2.0):
        before, after = before_and_after(subject, edit_of(4, scale=scale), 4)
        assert torch.allclose(after[:, 0] + 1, scale * (before[:, 0] + 1), atol=1e-6)
    before, after = before_and_after(subject, edit_of(4, where=(0, 0, 8, 16)), 10)
    assert torch.equal(before[..., 8:], after[..., 8:])
    assert (after[:, 0, :, :8] == -1).all() and (before[:, 0, :, :8] > -1).any()


def test_insertion_puts_the_object_where_it_was_not(subject, segmenter, dissected, tmp_path):
    asked = Request(label="red", insert=True, where=(0, 0, 4, 4), dissection=dissected,
                    out=tmp_path / "in.png")  # fmt: skip
    done = edit_images(subject, asked)
    assert done.edit.constants[0] == pytest.approx(0.85, abs=0.03)
    _, after = before_and_after(subject, done.edit, 10)
    assert segmenter.masks(after)[:, 0, :4, :4].all()
    assert done.shares[1] > done.shares[0]


def test_a_class_is_erased_and_the_picture_shows_it(subject, dissected, tmp_path):
    out = tmp_path / "edit.png"
    done = edit_images(subject, Request(label="green", dissection=dissected, out=out, count=4))
    assert done.edit.units == (UNIT_OF["green"],) and done.edit.layer == "objects"
    assert done.shares == (pytest.approx(25 / 256), 0)
    assert done.most == pytest.approx(85, abs=4)  # one of three channels falls by up to 255
    with Image.open(out) as picture:
        assert picture.height > 3 * 16


def test_the_units_of_the_class_are_found_to_cause_it(subject, dissected, tmp_path):
    asked = Request(dissection=dissected, out=tmp_path / "units.json")
    causes, file, picture = optimise_units(subject, "blue", None, 12, asked)
    assert causes.order[0] == UNIT_OF["blue"]
    (none, _, _), (count, effect, other) = causes.curve[:2]
    assert (none, count, causes.enough) == (0, 1, 1) and effect > 0.8 and other < effect - 0.3
    assert read_units(file).units == [UNIT_OF["blue"]] and picture.is_file()
    again, _, _ = optimise_units(subject, "blue", None, 12, asked)
    assert again == causes
    changes = Request(file=file, dissection=dissected, out=tmp_path / "a.png")
    edited = edit_images(subject, changes)
    assert edited.edit.units == (UNIT_OF["blue"],)
    assert edited.label == "blue" and edited.shares == (pytest.approx(25 / 256), 0)


def test_enough_units_have_three_quarters_of_the_largest_effect():
    curve = ((0, -0.8, -0.8), (1, -0.7, -0.8), (2, -0.15, -0.7), (4, 0.0, -0.6), (8, -0.1, -0.5))
    assert Causes((), (), curve).enough == 2
    assert Causes((), (), ((0, 0.1, 0.1), (1, 0.0, 0.0))).enough == 0


def test_insertion_is_read_at_its_own_place(subject, segmenter):
    """With the object's unit the class is wholly there where it is inserted, and not where cut."""
    constants = torch.full((UNITS,), 0.9)
    effect = Effect(subject, "objects", SHAPE, segmenter, 0, constants)
    shares = torch.zeros(UNITS)
    unchanged = float(effect(shares, 0))
    shares[UNIT_OF["red"]] = 1
    assert float(effect(shares, 0)) == pytest.approx(0.9, abs=1e-5)
    assert unchanged < -0.6  # the class is where it was, and seldom at random places


@pytest.mark.parametrize("at_once", [256, 64, 16, 1])
def test_each_step_has_other_images_however_many_are_made_at_a_time(
    subject, segmenter, monkeypatch, at_once
):
    effect = Effect(subject, "objects", SHAPE, segmenter, 0, torch.full((UNITS,), 0.9))
    noise = subject.sampler.inputs(256, subject.seed)
    monkeypatch.setattr("runs.sampling.sampler.PIXELS", at_once * 16**2)
    for first in (0, 32, 96, 224):
        rows, _ = effect._rows(first)
        assert torch.equal(rows, noise[first : first + min(32, at_once)])
        assert effect(torch.zeros(UNITS), first) < 0


def test_colours_are_those_of_as_many_images_however_few_are_made_at_a_time(subject, monkeypatch):
    def given(*arguments):
        return arguments[3]()

    monkeypatch.setattr(commands, "open_segmenter", given)
    whole = commands.opened_segmenter(subject, "colours")
    monkeypatch.setattr("runs.sampling.sampler.PIXELS", 16**2)
    assert torch.equal(commands.opened_segmenter(subject, "colours"), whole) and len(whole) == 64


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"off": (3, 8)}, "has units 0 to 7, and 8 is none"),
        ({"off": (3, 3)}, "named once"),
        ({"off": (3,), "layer": "object"}, r"did you mean 'objects'\?"),
        ({"label": "gren"}, r"no class 'gren'; did you mean 'green'\? The dissection has: red"),
        ({"label": "green", "layer": "painter"}, "'painter' was not dissected"),
        ({"off": (3,), "where": (4, 4, 4, 9)}, "in pixels of the image, with x0 < x1 <= 16"),
        ({"off": (3,), "where": (0, 0, 17, 9)}, "not 0,0,17,9"),
        ({"off": (3,), "count": 10**9}, "Ask for fewer"),
    ],
)
def test_what_cannot_be_is_refused(changes, message, subject, dissected, tmp_path):
    out = tmp_path / "edit.png"
    with pytest.raises(ConfigError, match=message):
        edit_images(subject, Request(dissection=dissected, out=out, **changes))
    assert not out.exists()


def test_a_dissection_of_another_generator_is_refused(subject, dissected):
    weights = subject.sampler.weights["generator"]
    other = replace(weights, params=weights.params + 1)
    moved = replace(subject, sampler=replace(subject.sampler, weights={"generator": other}))
    for call in (
        lambda: edit_images(moved, Request(label="red", dissection=dissected)),
        lambda: optimise_units(moved, "red", None, 2, Request(dissection=dissected)),
    ):
        with pytest.raises(ConfigError, match="the dissection is of the hand-built generator"):
            call()


def test_another_segmenter_than_the_dissections_is_refused(subject, dissected, monkeypatch):
    found = json.loads((dissected / "dissection.json").read_text())
    other = edit_commands.Found.model_validate(found | {"identity": "other"})
    with pytest.raises(ConfigError, match="is another one now than in the dissection"):
        edit_commands._segmenter(subject, other, None, None)


@pytest.mark.parametrize("text", ["", "[]", '{"layer": "a"}', '{"layer":"a","units":[1],"x":1}'])
def test_a_file_without_units_is_refused(tmp_path, text):
    path = tmp_path / "units.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match="no file of units"):
        read_units(path)
