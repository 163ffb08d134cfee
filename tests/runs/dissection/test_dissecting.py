"""Dissection of a generator built by hand: it finds exactly the units of the objects."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from runs.common.errors import ConfigError
from runs.dissection import commands
from runs.dissection.dissecting import UNFINISHED, Dissection
from runs.dissection.results import ARRAYS, JSON, PAGE, layer_found, read_results
from runs.dissection.subject import second_half
from tests.runs.dissection.conftest import OBJECTS, UNIT_OF, UNITS

COUNT = 40


def dissection(subject, segmenter, folder, rule="ratio", count=COUNT):
    return Dissection(subject, subject.chosen("objects"), segmenter, count, rule, folder)


def found_in(layers):
    return layer_found(layers["objects"], (UNITS, 16, 16), OBJECTS)


def test_it_finds_the_unit_of_each_object_and_no_other(subject, segmenter, tmp_path):
    found, arrays = found_in(dissection(subject, segmenter, tmp_path).run())
    detectors = {unit.label: unit.unit for unit in found.units if unit.detector}
    assert detectors == UNIT_OF and found.detectors == dict.fromkeys(OBJECTS, 1)
    for name, unit in UNIT_OF.items():
        place = OBJECTS.index(name)
        assert arrays.iou[unit, place] > 0.9 and arrays.ratio[unit, place] > 0.8
        assert arrays.means[unit, place] == pytest.approx(0.85, abs=0.03)
        assert 0.95 < arrays.high[unit] <= 1
    others = [unit for unit in range(UNITS) if unit not in UNIT_OF.values()]
    assert arrays.iou[others].max() < 0.2


def test_the_simple_rule_takes_the_top_of_each_unit(subject, segmenter, tmp_path):
    layers = dissection(subject, segmenter, tmp_path, "quantile").run()
    _, arrays = found_in(layers)
    assert (arrays.thresholds == arrays.thresholds[:, :1]).all()
    choosing = layers["objects"].choosing
    assert torch.allclose(choosing.above / choosing.pixels, torch.tensor(0.005), atol=1e-4)


def test_scores_are_of_other_images_than_thresholds(subject, segmenter, tmp_path):
    layers = dissection(subject, segmenter, tmp_path).run()
    numbers = layers["objects"].tops
    assert numbers.min() >= second_half(COUNT) == 256
    choosing, scoring = layers["objects"].choosing, layers["objects"].scoring
    assert choosing.pixels == scoring.pixels and not torch.equal(choosing.sums, scoring.sums)


def test_the_most_active_images_are_those_of_the_largest_values(subject, segmenter, tmp_path):
    layer = dissection(subject, segmenter, tmp_path, count=300).run()["objects"]
    ((_, first), (_, second)) = subject.seen(second_half(300), 300, ["objects"])
    peaks = torch.cat([first["objects"], second["objects"]]).amax((2, 3))
    for unit in range(UNITS):
        best = sorted(range(300), key=lambda n: (-float(peaks[n, unit]), n))[:6]
        assert layer.tops[unit].tolist() == [512 + n for n in best]


def test_the_same_seed_gives_the_same_bits_and_another_one_others(subject, segmenter, tmp_path):
    def made(seed):
        own = replace(subject, seed=seed)
        layer = dissection(own, segmenter, tmp_path / str(seed)).run()["objects"]
        return layer.scoring.sums, layer.thresholds

    for name in "01":
        (tmp_path / name).mkdir()
    first, second, other = made(0), made(0), made(1)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert not torch.equal(first[0], other[0])


@pytest.mark.parametrize("calls", [1, 2, 4, 5])
def test_what_is_killed_goes_on_to_the_same_bits(subject, segmenter, tmp_path, monkeypatch, calls):
    """It is saved after every part, and killed after some; a part is 256 images."""
    count = 300  # two parts in each of three passes
    whole = dissection(subject, segmenter, tmp_path / "a", count=count)
    (tmp_path / "a").mkdir()
    wanted = found_in(whole.run())

    monkeypatch.setattr("runs.dissection.dissecting.PAUSE", -1.0)
    folder = tmp_path / "b"
    folder.mkdir()
    taken, take = [], Dissection._take

    def killed(self, *arguments):
        if len(taken) == calls:
            raise KeyboardInterrupt
        taken.append(1)
        take(self, *arguments)

    monkeypatch.setattr(Dissection, "_take", killed)
    with pytest.raises(KeyboardInterrupt):
        dissection(subject, segmenter, folder, count=count).run()
    monkeypatch.setattr(Dissection, "_take", take)
    again = dissection(subject, segmenter, folder, count=count)
    assert again.resumed == [0, 256, 300, 556, 600, 856][calls]
    found = found_in(again.run())
    assert found[0] == wanted[0]
    for one, other in zip(vars(found[1]).values(), vars(wanted[1]).values(), strict=True):
        assert np.array_equal(one, other)
    again.finished()
    assert not (folder / UNFINISHED).exists()


def test_an_unfinished_file_of_another_request_or_damaged_is_left_alone(
    subject, segmenter, tmp_path
):
    dissection(subject, segmenter, tmp_path).run()
    assert dissection(subject, segmenter, tmp_path).resumed == 3 * COUNT
    assert dissection(subject, segmenter, tmp_path, count=50).resumed == 0
    assert dissection(subject, segmenter, tmp_path, rule="quantile").resumed == 0
    path = tmp_path / UNFINISHED
    path.write_bytes(path.read_bytes()[:500])
    assert dissection(subject, segmenter, tmp_path).resumed == 0


@pytest.fixture(scope="module")
def written(subject, segmenter, tmp_path_factory):
    folder = tmp_path_factory.mktemp("written")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(commands, "open_segmenter", lambda *_: segmenter)
        return commands.dissect(subject, "all", "hand", COUNT, "ratio", folder)


def test_files_are_whole_and_are_read_back(written, subject):
    folder = written.folder
    assert {path.name for path in folder.iterdir()} == {ARRAYS, JSON, PAGE, "dissection.lock"}
    found, statistics = read_results(folder, subject.path)
    assert found == written.found
    assert json.loads((folder / JSON).read_text())["layers"]["objects"]["detectors"]["red"] == 1
    assert statistics["objects"].iou[UNIT_OF["red"], 0] > 0.9
    page = (folder / PAGE).read_text()
    assert page.count("<img src=") == 3 and "http" not in page
    assert "1 of" not in page and "3 of 8 units are detectors" in page


def test_a_folder_without_a_whole_dissection_says_what_to_do(written, subject, tmp_path):
    with pytest.raises(ConfigError, match=r"holds no dissection; make one first: .*dissect"):
        read_results(tmp_path, subject.path)
    (tmp_path / JSON).write_text('{"layers": 3}')
    with pytest.raises(ConfigError, match=r"no whole dissection.*make it again"):
        read_results(tmp_path, subject.path)


def test_layers_are_named_or_all_the_last_of_each_size(subject):
    assert subject.layers() == {"objects": (UNITS, 16, 16)}
    assert subject.chosen("all") == subject.chosen("objects")
    with pytest.raises(
        ConfigError, match=r"no layer 'object'.*did you mean 'objects'.*8 x 16 x 16"
    ):
        subject.chosen("object")


def test_points_have_no_maps(subject):
    with pytest.raises(ConfigError, match="the samples are points"):
        replace(subject, sampler=replace(subject.sampler, shape=(2,)))
