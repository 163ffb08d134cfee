"""Translators are dissected and edited on the test part of their data."""

import json

import numpy as np
import pytest
import torch

from runs.dissection.subject import Subject, second_half
from runs.sampling.repair import repaired
from runs.sampling.translations import Translations
from runs.sampling.units import UnitsFile
from runs.translation.opening import open_translator
from runs.translation.parts import open_part


@pytest.fixture
def translations(letters):
    def make(aligned, reverse=False):
        opened = open_translator(letters(aligned))
        translator = opened.translator.reversed() if reverse else opened.translator
        part = open_part(opened, "test", None, None)
        return Translations.of(translator, part.b if translator.backwards else part.a)

    return make


@pytest.mark.parametrize(
    ("aligned", "reverse"), [("true", False), ("false", False), ("false", True)]
)
def test_samples_are_the_translations_of_the_test_part(translations, letters, aligned, reverse):
    sampler = translations(aligned, reverse)
    subject = Subject(letters(aligned), "x", sampler)
    most = sampler.most
    wanted = torch.cat(list(sampler.translator(sampler.sources[:most], subject.seed)))
    found = torch.cat(list(subject.images(0, most)))
    assert torch.allclose(found, wanted, atol=1e-5)
    other = torch.cat(list(subject.images(second_half(most), most)))
    of_others = sampler.sources[most : 2 * most]
    wanted = torch.cat(list(sampler.translator(of_others, subject.seed, second_half(most))))
    assert torch.allclose(other, wanted, atol=1e-5)


@pytest.mark.parametrize("aligned", ["true", "false"])
def test_units_of_a_translator_are_switched_off(translations, letters, aligned):
    sampler = translations(aligned)
    subject = Subject(letters(aligned), "x", sampler)
    layer, shape = list(subject.layers().items())[-1]
    units = UnitsFile(layer=layer, units=list(range(shape[0])), shares=[1.0] * shape[0])
    off = Subject(letters(aligned), "x", repaired(sampler, units))
    plain, found = (torch.cat(list(each.images(0, 4))) for each in (subject, off))
    assert plain.shape == found.shape and not torch.equal(plain, found)
    assert off.identity != subject.identity


@pytest.mark.parametrize(("aligned", "options"), [("true", []), ("false", ["--reverse"])])
def test_a_translator_is_dissected_and_edited(letters, invoke, aligned, options, tmp_path):
    run = letters(aligned)
    done = invoke("dissect", run, "--segmenter", "colours", "--out", tmp_path, *options)
    assert done.exit_code == 0, done.output
    found = json.loads((tmp_path / "dissection.json").read_text())
    assert 2 <= found["count"] < 1000  # half of the images that there are
    layer, own = list(found["layers"].items())[-1]
    assert len(own["units"]) == own["shape"][0]
    out = tmp_path / "edit.png"
    done = invoke("edit", run, "--off", "0", "--layer", layer, "--out", out, *options)
    assert done.exit_code == 0 and out.is_file(), done.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--count", "9999"], "there are images for two sets of"),
        (["--truncation", "0.5"], "a translator of images takes none of them"),
        (["--segmenter", "parts"], "knows the parts of avatars, and this run's data are glyphs"),
        (["--segmenter", "classes"], "needs labels to learn from"),
        (["--reverse"], "--reverse: a run of pairs translates one way alone"),
        (["--layer", "up.0"], "did you mean 'ups.1.0'?"),
    ],
)
def test_a_bad_request_gets_one_line(letters, mistake, arguments, message, tmp_path):
    output = mistake(
        "dissect", letters("true"), "--count", "4", *arguments, "--out", tmp_path / "o"
    )
    assert message in output and not (tmp_path / "o").exists()


def test_units_of_a_translator_are_not_looked_for_as_artefacts(letters, mistake):
    output = mistake("repair", letters("true"))
    assert "this run translates images" in output and output.count("\n") == 1


def test_other_images_are_refused(translations):
    sampler = translations("true")
    with pytest.raises(ValueError, match="takes images of 1 x 16 x 16"):
        Translations.of(sampler.translator, np.zeros((3, 3, 16, 16), np.uint8))
