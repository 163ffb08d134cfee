"""A sampler with units switched off, and files of units that do not fit it."""

import numpy as np
import pytest
import torch

from runs.common.errors import ConfigError
from runs.dissection.editing import Edit, before_and_after
from runs.sampling.repair import check_fit, layers_of, repaired, weights_of
from runs.sampling.units import UnitsFile
from tests.runs.dissection.conftest import OBJECTS, UNIT_OF, UNITS


def units_of(*units, layer="objects", shares=None, **options):
    shares = [1.0] * len(units) if shares is None else shares
    return UnitsFile(layer=layer, units=list(units), shares=shares, **options)


@pytest.mark.parametrize("name", OBJECTS)
def test_exactly_the_object_of_the_unit_is_gone_from_all_samples(subject, name):
    plain = subject.sampler(20, 1)
    found = repaired(subject.sampler, units_of(UNIT_OF[name]))(20, 1)
    for place, other in enumerate(OBJECTS):
        if other == name:
            assert (found[..., place] == 0).all() and plain[..., place].any()
        else:
            assert np.array_equal(found[..., place], plain[..., place])
    assert np.array_equal(subject.sampler(20, 1), plain)  # it stays as it was


def test_it_is_what_the_edit_shows(subject):
    shares = (0.25, 1.0)
    _, after = before_and_after(subject, Edit("objects", (UNITS, 16, 16), (4, 1), shares), 10)
    sampler = repaired(subject.sampler, units_of(4, 1, shares=list(shares)))
    made = torch.cat(list(sampler.floats(sampler.inputs(10, subject.seed))))
    assert torch.allclose(made, after, atol=1e-6)


def test_a_repaired_sampler_has_other_images_and_so_another_identity(subject):
    sampler = repaired(subject.sampler, units_of(4))
    assert weights_of(sampler) == weights_of(subject.sampler)
    assert subject.__class__(subject.path, "", sampler).identity != subject.identity
    assert layers_of(sampler) == layers_of(subject.sampler)


def test_units_of_this_generator_fit(subject):
    check_fit(units_of(4, weights=weights_of(subject.sampler)), subject.sampler, "x", "--repair a")
    check_fit(units_of(4), subject.sampler, "x", "--repair a")


@pytest.mark.parametrize(
    ("units", "message"),
    [
        (units_of(1, layer="object"), "has no layer 'object' with maps; did you mean 'objects'?"),
        (units_of(8), "objects has units 0 to 7, and 8 is none of them"),
        (units_of(-1), "and -1 is none of them"),
        (units_of(), "no units of objects are named"),
        (units_of(1, 1), "each unit is named once"),
        (units_of(1, shares=[]), "each unit is named once, with one share"),
        (units_of(1, shares=[1.5]), "shares of units are from 0 to 1"),
        (units_of(1, weights="b", generator="newest snapshot"), "of other weights (newest sn"),
    ],
)
def test_units_that_do_not_fit_are_refused(subject, units, message):
    with pytest.raises(ConfigError) as caught:
        check_fit(units, subject.sampler, "generator", "--repair a.json")
    text = str(caught.value)
    assert text.startswith("--repair a.json: ") and message in text and "\n" not in text
