"""An artefact unit that was built by hand is found, and images are better without it."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from egan.backbones.function import NetworkFunction
from egan.backbones.networks import Networks
from egan.data import ImageSource
from egan.games import NoiseGame
from fitness.dissection.artefacts import distances
from runs.common.errors import ConfigError
from runs.dissection import repair_commands
from runs.dissection.repair_commands import FILE, PAGE, Asked
from runs.dissection.repairing import Search
from runs.evaluation.evaluator import Evaluator
from runs.sampling.repair import repaired
from runs.sampling.units import UnitsFile, read_units
from tests.runs.dissection.conftest import SIDE, UNIT_OF, UNITS, HandBuilt

ARTEFACT = UNIT_OF["blue"]  # no real has anything blue
COUNT = 100
SHAPES = {"objects": (UNITS, SIDE, SIDE)}


class Gated(HandBuilt):
    """Each unit is active in those images alone in which its place of the noise is positive."""

    def __init__(self):
        super().__init__()
        self.objects.register_forward_hook(
            lambda _, inputs, maps: maps * (inputs[0][:, :UNITS, None, None] > 0)
        )


@pytest.fixture(scope="module")
def flawed(subject):
    function = NetworkFunction(Gated, lambda module, generator: None)
    networks = Networks(function, function, 2 * UNITS, "normal")
    return replace(subject, sampler=replace(subject.sampler, game=NoiseGame(networks)))


@pytest.fixture(scope="module")
def evaluator(flawed):
    off = UnitsFile(layer="objects", units=[ARTEFACT], shares=[1.0])
    images = repaired(flawed.sampler, off)(COUNT, 99).transpose(0, 3, 1, 2)
    reals = ImageSource("reals", np.ascontiguousarray(images))
    return Evaluator(reals, images.shape[1:], ["kid"], "pixels", COUNT)


@pytest.fixture
def search(flawed, evaluator, tmp_path):
    def make(seed=0, number=None, folder=tmp_path):
        own = replace(flawed, seed=seed)
        return Search(own, SHAPES, evaluator, "data", "kid", COUNT, number, 4, folder)

    return make


def test_the_artefact_unit_is_found_and_images_are_better_without_it(search):
    found = search().run()
    assert found.chosen.units == (ARTEFACT,)
    order = dict(found.orders["objects"])
    assert order[ARTEFACT] > 1.3 * max(value for unit, value in order.items() if unit != ARTEFACT)
    before, after = found.before["kid"], found.after["kid"]
    assert before > 0.001 and abs(after) < 0.1 * before
    others = [one["kid"] for one in found.randoms]
    assert len(others) == 4 and min(others) > 5 * abs(after)


def test_a_unit_is_judged_by_its_most_active_images_and_a_dead_one_is_left_out():
    peaks = torch.tensor([[0.0, 1.0, 5.0], [0.0, 2.0, 4.0], [0.0, 3.0, 3.0], [0.0, 4.0, 2.0]])
    features = torch.tensor([[0.0], [1.0], [2.0], [3.0]])
    found = distances(peaks, features, lambda some: float(some.mean()))
    assert found.tolist() == [-np.inf, 2.5, 0.5]  # the two most active images of each


def test_the_same_seed_gives_the_same_bits_and_another_one_others(search):
    first = search().run()
    assert search().resumed > 0
    search().finished()
    assert search().resumed == 0
    assert search().run() == first
    search().finished()
    assert search(1).run().before != first.before


@pytest.mark.parametrize("passes", [1, 2, 4])
def test_what_is_killed_goes_on_to_the_same_result(search, tmp_path, monkeypatch, passes):
    whole = search().run()
    folder = tmp_path / "killed"
    folder.mkdir()
    calls, save = [], Search._save

    def killed(self):
        save(self)
        calls.append(1)
        if len(calls) == passes:
            raise KeyboardInterrupt

    monkeypatch.setattr(Search, "_save", killed)
    with pytest.raises(KeyboardInterrupt):
        search(folder=folder).run()
    monkeypatch.setattr(Search, "_save", save)
    again = search(folder=folder)
    assert again.resumed == passes and again.run() == whole


def test_so_many_units_are_taken_as_are_asked_for(search):
    units = search(number=3).run().chosen.units
    assert len(units) == 3 and units[0] == ARTEFACT
    with pytest.raises(ConfigError, match="no 9 units that are more active"):
        search(number=9).run()


def test_files_are_written_and_serve_samples(flawed, evaluator, tmp_path, monkeypatch):
    monkeypatch.setattr(repair_commands, "_evaluator", lambda *_: (evaluator, "data", "pixels"))
    asked = Asked(layer="objects", metric="kid", count=COUNT, draws=2, out=tmp_path)
    done = repair_commands.repair(flawed, asked)
    units = read_units(tmp_path / FILE, "--repair")
    assert units.units == [ARTEFACT] and units.weights == flawed.weights
    assert units.about["after"] == done.repair.after
    assert not (repaired(flawed.sampler, units)(20, 5)[..., 2]).any()
    page = (tmp_path / PAGE).read_text()
    assert f"unit {ARTEFACT}" in page and page.count("data:image/png") == 2
    assert "http" not in page
    assert {path.name for path in tmp_path.iterdir()} == {FILE, PAGE, "repair.lock"}


def test_a_generator_alone_has_no_reals(flawed):
    with pytest.raises(ConfigError, match="repair compares images with the data of a run"):
        repair_commands.repair(flawed, Asked())
    with pytest.raises(ConfigError, match="objects has units 0 to 7, and 8 is none"):
        repair_commands.repair(flawed, Asked(number=9))
